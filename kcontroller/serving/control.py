"""What the control socket answers: why an object is where it is, where each cluster stands, and what is paused.

It takes commands to pause and to resume, too.
Pages are asked with GET, commands given with POST; both take their parameters in the query and answer with JSON. What
is wrong with a question comes back as one line of text.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.controller.names import ANY, NotKnown
from kcontroller.errors import ConfigError
from kcontroller.process.logs import Log, one_line, redact
from kcontroller.serving import control_socket
from kcontroller.serving.dispatch import Answer, Application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from wsgiref.types import StartResponse

    from kcontroller.controller.commands import Commands
    from kcontroller.controller.explaining import Explainer
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.serving.dispatch import Handler, Question
    from kcontroller.serving.http import HttpServer

JSON: Final = "application/json"
OPTION: Final = "--control-socket"

_log: Final = Log("kcontroller.serving")


class About(msgspec.Struct, frozen=True):
    """Which process this is.

    Attributes:
        pid: its number.
        command: its command line.
        controllers: their names.
        leads: whether it may write for controllers that need the lease.
        holder: who holds the lease; "" if nobody or not known.
    """

    pid: int
    command: str
    controllers: tuple[str, ...]
    leads: bool
    holder: str


class Control:
    """The WSGI application of a control socket.

    Args:
        explainer: answers why.
        commands: what `pause` and `resume` act on.
        about: tells which process this is.
        clusters: tells where each cluster stands; it becomes JSON.
        debug: pages below ``/debug``.
    """

    def __init__(
        self,
        *,
        explainer: Explainer,
        commands: Commands,
        about: Callable[[], About],
        clusters: Callable[[], Any],
        debug: Handler,
    ) -> None:
        self._explainer = explainer
        self._commands = commands
        self._about = about
        self._pages = Application(
            {
                "/about": lambda _question: _json(self._about()),
                "/clusters": lambda _question: _json(clusters()),
                "/explain": self._explain,
                "/pauses": lambda _question: _json(self._commands.all()),
                "/debug": debug,
            }
        )
        self._acts = Application({"/pause": self._pause, "/resume": self._resume})

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["REQUEST_METHOD"] == "POST":
            return self._acts({**environ, "REQUEST_METHOD": "GET"}, start_response)
        return self._pages(environ, start_response)

    def _explain(self, question: Question) -> Answer:
        try:
            key = Key.parse(_one(question, "key"))
            return _json(self._explainer.explain(_one(question, "cluster"), _one(question, "kind"), key))
        except NotKnown as error:
            return refused(HTTPStatus.NOT_FOUND, error)
        except ValueError as error:
            return refused(HTTPStatus.BAD_REQUEST, error)

    def _pause(self, question: Question) -> Answer:
        why = _one(question, "why")
        return self._act(question, lambda controller, cluster: self._commands.pause(controller, cluster, why=why))

    def _resume(self, question: Question) -> Answer:
        return self._act(question, self._commands.resume)

    def _act(self, question: Question, act: Callable[[str, str], tuple[str, ...] | None]) -> Answer:
        cluster, names = _one(question, "cluster") or ANY, self._explainer.names
        try:
            ended = act(_one(question, "controller") or ANY, names.target(cluster))
        except ConfigError as error:
            return refused(HTTPStatus.NOT_FOUND, error)
        doubt = "" if cluster == ANY else names.doubt(cluster)  # One that comes may be meant, or it is mistyped.
        paused = self._commands.all()
        return _json({"about": self._about(), "ended": ended or (), "paused": paused, "doubt": doubt})


class ControlServer:
    """The control socket of one process.

    Args:
        path: of the socket; see `control_socket.listen`.
        app: what it answers.
    """

    def __init__(self, path: str, app: Any) -> None:
        self._path = path
        self._app = app
        self._server: HttpServer | None = None
        self._place: Path | None = None

    def bind(self) -> None:
        """Make the socket. Where nobody has named one, the process works without if it cannot be had.

        Raises:
            ConfigError: the one that was named cannot be had.
        """
        from kcontroller.serving.http import HttpServer  # noqa: PLC0415 - who serves nothing need not load a web server

        try:
            listener, self._place = control_socket.listen(self._path, option=OPTION)
        except ConfigError as error:
            if self._path != control_socket.AUTOMATIC:
                raise
            _log.warning("kcontroller explain, clusters, pause and resume cannot reach this process: %s", error)
            return
        self._server = HttpServer(
            address=str(self._place),
            app=self._app,
            name="control",
            option=OPTION,
            workers=1,
            opened=lambda: listener,
            admits=control_socket.admits,
        )
        self._server.bind()

    def start(self, threads: ThreadGroup) -> None:
        """Answer from now on."""
        if self._server is not None:
            self._server.start(threads)

    def stop(self, *, timeout: float = 5.0) -> None:
        """Close it, and take its file away."""
        if self._server is not None:
            self._server.stop(timeout=timeout)
        if self._place is not None:
            self._place.unlink(missing_ok=True)
            self._place = None

    @property
    def place(self) -> Path | None:
        """Where the socket is, after `bind`."""
        return self._place


def refused(status: HTTPStatus, error: Exception) -> Answer:
    """Say in one line what is wrong with a question."""
    return Answer(status, f"{one_line(redact(str(error)))}\n".encode())


def _json(value: Any) -> Answer:
    return Answer(HTTPStatus.OK, msgspec.json.encode(value), JSON)


def _one(question: Question, name: str) -> str:
    return question.query.get(name, [""])[0]
