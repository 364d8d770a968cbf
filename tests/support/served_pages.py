"""A WSGI wrapper that records every HTML answer of an application, independently of companions."""

from __future__ import annotations

import gzip
import json
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import frozen

#: The name of the answer's entry; the visitor gets it with the page.
PAGE_ID = "X-Page-Id"


@frozen
class ServedPage:
    """One HTML answer as the application made it, content coding undone."""

    node: str
    method: str
    path: str
    status: int
    body: bytes


class ServedPagesRecorder:
    """Wraps a WSGI application.

    :param node: whose application it is.
    :param folder: gets two files for every HTML answer.
    """

    def __init__(self, application: Any, node: str, folder: Path) -> None:
        self._application = application
        self._node = node
        self._folder = folder

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        page_id = secrets.token_hex(8)
        told: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            told[:] = [int(status.split(maxsplit=1)[0]), {name.lower(): value for name, value in headers}]
            return start_response(status, [*headers, (PAGE_ID, page_id)], exc_info)

        parts = self._application(environ, start)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        status, headers = told
        if headers.get("content-type", "").startswith("text/html") and environ["REQUEST_METHOD"] != "HEAD":
            self._write_entry(
                page_id, environ, status, gzip.decompress(body) if "content-encoding" in headers else body
            )
        return [body]

    def _write_entry(self, page_id: str, environ: dict[str, Any], status: int, body: bytes) -> None:
        query = environ.get("QUERY_STRING")
        path = environ["PATH_INFO"] + (f"?{query}" if query else "")
        entry = {"node": self._node, "method": environ["REQUEST_METHOD"], "path": path, "status": status}
        (self._folder / f"{page_id}.body").write_bytes(body)
        half = self._folder / f"{page_id}.half"
        half.write_text(json.dumps(entry))
        half.rename(self._folder / f"{page_id}.json")


def from_environment(application: Any) -> ServedPagesRecorder:
    """Wrap it as the environment says: LBC_TEST_NODE, LBC_TEST_LEDGER."""
    return ServedPagesRecorder(application, os.environ["LBC_TEST_NODE"], Path(os.environ["LBC_TEST_LEDGER"]))


def served_page(folder: Path, page_id: str) -> ServedPage:
    """Look an entry up."""
    entry = json.loads((folder / f"{page_id}.json").read_text())
    return ServedPage(**entry, body=(folder / f"{page_id}.body").read_bytes())
