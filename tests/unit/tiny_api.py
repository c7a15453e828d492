"""An API server of one kind, v1 ConfigMap, on a real socket: discovery, lists and watches."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from typing import Self

DISCOVERY = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}],
}


def config_map(name: str, version: int, *, namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


class TinyApi:
    """Serves while its ``with`` block runs; `gate` holds every list and watch back until it is set."""

    def __init__(self, *names: str) -> None:
        self.objects = [config_map(name, number + 1) for number, name in enumerate(names)]
        self.version = len(names) + 1
        self.gate = threading.Event()
        self.gate.set()
        self.ended = threading.Event()
        self.asked: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    api: TinyApi

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go when they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(0.2)  # An idle connection must not keep the server.

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.server.api.asked.append(self.path)
        if parts.path == "/api/v1":
            self._answer(DISCOVERY)
        elif not parts.path.endswith("/configmaps"):
            self._answer({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)
        elif "watch" in query:
            self.server.api.gate.wait(10)
            self._watch(initial="sendInitialEvents" in query)
        else:
            self.server.api.gate.wait(10)
            api = self.server.api
            metadata = {"resourceVersion": str(api.version)}
            self._answer({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": api.objects})

    def _answer(self, body: object, *, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _watch(self, *, initial: bool) -> None:
        api = self.server.api
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if initial:
            for each in api.objects:
                self._event("ADDED", each)
            metadata = {"resourceVersion": str(api.version), "annotations": {"k8s.io/initial-events-end": "true"}}
            self._event("BOOKMARK", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        while not api.ended.wait(0.02) and self._connected():
            pass
        self.close_connection = True

    def _event(self, kind: str, body: object) -> None:
        data = json.dumps({"type": kind, "object": body}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _connected(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def log_message(self, *_: object) -> None:
        """Say nothing."""
