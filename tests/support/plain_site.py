"""A small application: pages that are never twice the same, a style sheet, and a session cookie of its own."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests.support.served_pages import from_environment

SESSION = "sid"
_CSS = b"body { color: #123; }\n"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer."""
    path = environ["PATH_INFO"]
    if path == "/style.css":
        start_response("200 OK", [("Content-Type", "text/css"), ("Content-Length", str(len(_CSS)))])
        return [_CSS]
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-cache")]
    if f"{SESSION}=" not in environ.get("HTTP_COOKIE", ""):
        headers.append(("Set-Cookie", f"{SESSION}={secrets.token_urlsafe(24)}; Path=/; HttpOnly"))
    text = "".join(f"<p>{secrets.token_hex(20)} – café\n" for _ in range(40))
    page = f'<!DOCTYPE html><html><head><title>{path}</title><link rel=stylesheet href="/style.css"></head>\n{text}'
    body = page.encode()
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(port: int, application: Any) -> None:
    """Serve, for good."""
    make_server("127.0.0.1", port, application, _Server, _Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), from_environment(application))
