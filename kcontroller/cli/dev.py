"""``kcontroller dev``: the embedded API server in the foreground, with a kubeconfig for everything else."""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from kcontroller.cli.failures import EPILOG, Unusable, told_in_one_line
from kcontroller.cli.options import GroupedCommand, Option
from kcontroller.process import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.embedded.server import EmbeddedServer

_MARK: Final = "# Written by `kcontroller dev`; removed when it ends.\n"
_INSTALL: Final = "pip install 'kcontroller[embedded]'"
_MOST_PROJECTS: Final = 1000
_CONNECT_SECONDS: Final = 1.0


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, group="Server", scope="dev", show_default=True, **settings)


@click.command("dev", cls=GroupedCommand, epilog=EPILOG)
@_option(
    "--projects",
    type=click.IntRange(min=0, max=_MOST_PROJECTS),
    default=0,
    metavar="N",
    help="Serve N Milo projects, each with a control plane and a context of its own.",
)
@_option(
    "--port", type=click.IntRange(min=0, max=65535), default=0, metavar="PORT", help="Where to listen; 0 for any free."
)
@_option(
    "--kubeconfig-out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("kcontroller-dev.kubeconfig"),
    metavar="FILE",
    help="Where to write the kubeconfig; removed at the end.",
)
@_option("--force", is_flag=True, help="Replace FILE although something else wrote or serves it.")
@_option("-v", "--verbose", is_flag=True, help="Log at level debug, with tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Serve the Kubernetes API from this process until Ctrl-C.

    Nothing is kept on disk, and it listens on 127.0.0.1 only. It has every built-in kind, watches, apply and
    CustomResourceDefinitions, but runs no pods. Use kubectl, kcontroller run or any other client with the kubeconfig
    that it writes.
    """
    logs.configure(sys.stderr, log_format=None, level="debug" if options["verbose"] else "warning", verbose=False)
    with told_in_one_line(verbose=options["verbose"]):
        _serve(**{name: options[name] for name in ("projects", "port", "kubeconfig_out", "force")})
    ctx.exit(0)


def _serve(*, projects: int, port: int, kubeconfig_out: Path, force: bool) -> None:
    # Imported here, because --help and usage errors should not pay for the server.
    from kcontroller.errors import ControlPlaneError  # noqa: PLC0415
    from kcontroller.process.signals import SignalWait  # noqa: PLC0415

    _refuse_to_replace(kubeconfig_out, force=force)
    names = [f"project-{number}" for number in range(1, projects + 1)]
    with SignalWait() as signals:
        server = _server(port, names)
        try:
            server.start()
        except ControlPlaneError as error:
            raise Unusable(str(error)) from error
        with server, _kubeconfig(server, names, kubeconfig_out):
            click.echo(_welcome(server.url, names, kubeconfig_out))
            signals.wait()


def _server(port: int, projects: list[str]) -> EmbeddedServer:
    try:
        from kcontroller.embedded.milo import Milo  # noqa: PLC0415
        from kcontroller.embedded.server import EmbeddedServer  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").startswith("kcontroller"):
            raise
        msg = f"the embedded API server needs {error.name}, which is not installed; {_INSTALL}"
        raise Unusable(msg) from error
    return EmbeddedServer(port=port, milo=Milo(projects=tuple(projects)) if projects else None)


def _refuse_to_replace(path: Path, *, force: bool) -> None:
    if force:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.startswith(_MARK):
        msg = f"--kubeconfig-out: {path} is there, and kcontroller dev did not write it; choose another, or use --force"
        raise Unusable(msg)
    if url := _running(text):
        msg = (
            f"--kubeconfig-out: {path} belongs to a kcontroller dev that runs at {url}; choose another file, stop that "
            f"one, or use --force"
        )
        raise Unusable(msg)


def _running(text: str) -> str:
    """Find the server of a kubeconfig; empty if it is gone, even where another one has its port by now."""
    import yaml  # noqa: PLC0415 - see the test about help

    try:
        cluster = yaml.safe_load(text)["clusters"][0]["cluster"]
        url = str(cluster["server"])
        host, port = urlsplit(url).hostname, urlsplit(url).port
        tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as line:
            tls.wrap_socket(line, server_hostname=host).close()
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return ""
    return url


@contextlib.contextmanager
def _kubeconfig(server: EmbeddedServer, projects: list[str], path: Path) -> Iterator[None]:
    """Write the file, and remove it if it is still the one that was written."""
    from kcontroller.embedded.web.kubeconfigs import write_private  # noqa: PLC0415

    text = _MARK + server.kubeconfig(*projects)
    try:
        write_private(path, text)
    except OSError as error:
        msg = f"--kubeconfig-out: cannot write {path}: {error.strerror}"
        raise Unusable(msg) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


def _welcome(url: str, projects: list[str], path: Path) -> str:
    lines = [
        f"The API server listens on {url}. Ctrl-C ends it, and removes {path}.",
        "",
        f"  export KUBECONFIG={shlex.quote(os.fspath(path.absolute()))}",
        "  kubectl get namespaces",
        "  kubectl apply -f crd.yaml             # your CustomResourceDefinition",
        "  kcontroller run controller.py         # your Reconcilers",
    ]
    if projects:
        last = f" to {projects[-1]}" if len(projects) > 1 else ""
        lines += [
            "",
            f"Each project is a control plane of its own, with a context: {projects[0]}{last}.",
            "CustomResourceDefinitions are the same in all of them.",
            "",
            "  kubectl get projects",
            f"  kubectl --context {projects[0]} get namespaces",
            "  kcontroller run --provider milo controller.py  # your Reconcilers in every project",
        ]
    return "\n".join(lines)
