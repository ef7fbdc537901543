"""Something that takes metrics as a Pushgateway does, over real HTTP."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer


@dataclass
class Pushgateway:
    """What was pushed: method and path, headers, body."""

    url: str
    pushed: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextlib.contextmanager
def pushgateway(
    status: int = 200, answer: bytes = b"", tls: ssl.SSLContext | None = None, location: str = ""
) -> Iterator[Pushgateway]:
    taken: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            taken.append((f"{self.command} {self.path}", headers, body))
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust it is no reason to write to standard error."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="pushgateway")
        thread.start()
        try:
            yield Pushgateway(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", taken)
        finally:
            server.shutdown()
            thread.join()
