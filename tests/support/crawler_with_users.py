"""A crawler's process whose admin listener has users."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from tests.support.access_case import OPERATOR_TOKEN, USERS, VIEWER_TOKEN, add_users
from tests.support.children import Children, wait_for
from tests.support.farm import listens
from tests.support.ports import free_port

__all__ = ["OPERATOR_TOKEN", "VIEWER_TOKEN", "CrawlerWithUsers"]


class CrawlerWithUsers:
    """A crawler without nodes.

    :ivar port: of its admin listener.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        self.folder, self.config, self.users = folder, folder / "crawler.toml", folder / "users"
        self.port = free_port()
        (folder / "farm.secret").write_bytes(b"0123456789abcdef-secret\n")
        add_users(self.users, *USERS)
        self.config.write_text(
            "\n".join(
                (
                    "[crawler]",
                    'listen = "tcp:0:interface=127.0.0.1"',
                    f'admin = "tcp:{self.port}:interface=127.0.0.1"',
                    'users_file = "users"',
                    'secret_file = "farm.secret"',
                    *lines,
                    "[sites.main]",
                    'origin = "http://127.0.0.1:9"',
                )
            )
        )
        self._children = Children(folder)
        child = self._children.lbcompanion("crawler", "crawler", "--config", str(self.config))
        wait_for("crawler", lambda: listens(self.port, "/healthz"), 60, child)

    def ask(self, method: str, path: str, token: str = "", body: Any = None, **fields: str) -> tuple[int, Any]:
        """Send a request, on a connection of its own; the status and the JSON."""
        headers = {"Host": "localhost", **fields}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {} if body is None else {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def audit(self, **filters: str) -> list[tuple[str, str, str, str]]:
        """The audit log, oldest first: user, how, action, result; without the reading of it."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        status, found = self.ask("GET", f"/api/audit?limit=1000&{query}", OPERATOR_TOKEN)
        assert status == 200
        keys = ("user", "how", "action", "result")
        lines = [tuple(line[key] or "" for key in keys) for line in found["audit"][::-1]]
        return [line for line in lines if line[2] != "view audit log"]  # type: ignore[misc]

    def close(self) -> None:
        """End it."""
        self._children.kill()
