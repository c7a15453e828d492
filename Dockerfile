# The daemon, without a shell in its way: `kcontroller run`, as the user 65532, from a virtual environment.
#
#   docker build -t kcontroller:0.1.0 .
#
# It runs what it is told: by arguments, or in an image of your own:
#
#   FROM kcontroller:0.1.0
#   USER 0
#   COPY dist/widgets-1.0-py3-none-any.whl /tmp/
#   RUN ["pip", "--python", "/opt/kcontroller", "install", "--no-cache-dir", "/tmp/widgets-1.0-py3-none-any.whl"]
#   USER 65532:65532
#   ENV KCONTROLLER_PLUGIN=widgets

# glibc, because the wheels of pycurl carry a libcurl with HTTP/2 for it.
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .
RUN python -m venv --without-pip /opt/kcontroller
# Binaries only: a pycurl that is compiled here would lack what its wheel carries.
RUN pip --python /opt/kcontroller install --only-binary :all: "$(echo /wheels/*.whl)[secure-metrics]"

FROM python:${PYTHON}-slim
COPY --from=build /opt/kcontroller /opt/kcontroller
# Threads share two arenas of the allocator, so that what one frees another uses. Nothing is written beside the code.
ENV PATH=/opt/kcontroller/bin:$PATH HOME=/tmp MALLOC_ARENA_MAX=2 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["kcontroller"]
CMD ["run"]
