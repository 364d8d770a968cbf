"""The admin listener with users, over the API of a small archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import treq
from attrs import evolve
from treq.testing import StubTreq

from lbcompanion.crawler.access.passwords import Cost, PasswordHash, token_hash
from lbcompanion.crawler.access.users_file import User, change_users
from lbcompanion.crawler.admin.access import build_access
from lbcompanion.crawler.admin.audit_trail import AuditTrail
from lbcompanion.crawler.queue.audit import AuditLog
from lbcompanion.settings import CrawlerTable
from tests.support.crawler_api import BASE, ApiCase, admin_resource
from tests.support.simulated_farm import immediately

#: Cheap, for tests.
COST = Cost(2, 1, 1)
OPERATOR_TOKEN, VIEWER_TOKEN = "lbc_operator", "lbc_viewer"
USERS = (
    User("olga", "operator", PasswordHash.of("olga's password", COST), token_hash(OPERATOR_TOKEN)),
    User("vera", "viewer", PasswordHash.of("vera's password", COST), token_hash(VIEWER_TOKEN)),
)


def add_users(path: Path, *users: User) -> None:
    """Add users to a file."""
    change_users(path, lambda found: found.update({user.name: user for user in users or USERS}))


class AccessCase(ApiCase):
    """Tests of the listener with users."""

    settings: ClassVar[Mapping[str, Any]] = {}
    has_users = True
    command_token = ""

    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.rig.settings.crawler.state_dir)
        self.users_file = folder / "users"
        if self.has_users:
            add_users(self.users_file)
        crawler = evolve(self.rig.settings.crawler, users_file=self.users_file if self.has_users else None)
        self.audit = AuditLog(self.rig.database)
        self.seconds = 1000.0
        self.build(evolve(crawler, **self.settings))

    def build(self, crawler: CrawlerTable) -> None:
        """Build the listener."""
        trail = AuditTrail(self.audit, defer=immediately, health=self.health, now=self.farm.now)
        self.access = build_access(
            crawler,
            trail,
            health=self.health,
            metrics=self.rig.metrics,
            clock=lambda: self.seconds,
            command_token=token_hash(self.command_token) if self.command_token else "",
        )
        self.listen(admin_resource(self.rig, health=self.health, access=self.access, open_metrics=crawler.open_metrics))

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, Any] | None = None, data: bytes | None = None
    ) -> tuple[Any, bytes]:
        """Send a request, and return the response and its body. Redirects are not followed, cookies are not kept."""
        response = self.successResultOf(
            StubTreq(self.admin).request(
                method, BASE + path, headers=dict(headers or {}), data=data, allow_redirects=False
            )
        )
        return response, self.successResultOf(treq.content(response))

    def status(self, path: str, method: str = "GET", headers: Mapping[str, Any] | None = None) -> int:
        return int(self.ask(path, method, headers)[0].code)

    def log_in(
        self, name: str, password: str, headers: Mapping[str, Any] | None = None, **more: str
    ) -> tuple[Any, bytes]:
        """Send the log-in form."""
        form = urlencode({"name": name, "password": password, **more}).encode()
        given = {"Content-Type": "application/x-www-form-urlencoded", "Origin": BASE, **(headers or {})}
        return self.ask("/login", "POST", given, form)

    def cookie(self, name: str, password: str) -> str:
        """Log in, and return the cookie."""
        response, _ = self.log_in(name, password)
        self.assertEqual(response.code, 303)
        return str(response.headers.getRawHeaders("set-cookie")[0]).partition(";")[0]

    def lines(self) -> list[tuple[str, ...]]:
        """The audit log, oldest first: user, how, action, result."""
        rows = self.audit.entries(100)[::-1]
        return [(row["user"], row["how"], row["action"], row["result"]) for row in rows]


def bearer(token: str) -> dict[str, str]:
    """The header field of an access token."""
    return {"Authorization": f"Bearer {token}"}
