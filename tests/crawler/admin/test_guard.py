from __future__ import annotations

import json
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from attrs import evolve

from lbcompanion.checks import network
from lbcompanion.crawler.access.users_file import change_users
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, json_response
from lbcompanion.crawler.admin.guard import AccessGuard
from lbcompanion.crawler.admin.listener import AdminResource
from lbcompanion.crawler.queue.database import BacklogError
from tests.support.access_case import OPERATOR_TOKEN, USERS, VIEWER_TOKEN, AccessCase, add_users, bearer
from tests.support.crawler_api import BASE

pytestmark = pytest.mark.slow

PROXY = {"admin_proxies": (network("127.0.0.1/32", None),)}  # type: ignore[arg-type]


class TokenTests(AccessCase):
    def test_without_a_token_nothing_is_shown(self) -> None:
        for path in (
            "/api/recordings",
            f"/api/recordings/{self.tokens[0]}/page",
            "/metrics",
            "/api/audit",
            "/",
            "/live",
        ):
            response, body = self.ask(path)
            self.assertEqual(response.code, 401, path)
            self.assertEqual(response.headers.getRawHeaders("www-authenticate"), ['Bearer realm="lbcompanion"'])
            self.assertNotIn(b"example", body)
        self.assertEqual([line[2] for line in self.lines()], [])

    def test_a_browser_is_led_to_the_log_in_page(self) -> None:
        accept = {"Accept": "text/html,*/*"}
        for path, where in (
            ("/", "/login"),
            ("/recordings?node=n1&after=3", "/login?next=/recordings%3Fnode%3Dn1%26after%3D3"),
        ):
            response, _ = self.ask(path, headers=accept)
            self.assertEqual((response.code, response.headers.getRawHeaders("location")), (303, [where]))
        self.assertEqual(self.status("/api/recordings", headers=accept), 401)
        self.assertEqual(self.status("/", "POST", headers=accept), 405)

    def test_health_style_and_log_in_page_are_for_anybody(self) -> None:
        for path in ("/healthz", "/dashboard.css", "/icon.svg", "/login"):
            self.assertEqual(self.status(path), 200)

    def test_a_viewer_sees_and_an_operator_may_do_more(self) -> None:
        self.assertEqual(self.status("/api/recordings", headers=bearer(VIEWER_TOKEN)), 200)
        response, _ = self.ask("/api/audit", headers=bearer(VIEWER_TOKEN))
        self.assertEqual(response.code, 403)
        self.assertIn("insufficient_scope", response.headers.getRawHeaders("www-authenticate")[0])
        self.assertEqual(self.status("/api/audit", headers=bearer(OPERATOR_TOKEN)), 200)
        self.assertEqual(
            self.lines(),
            [
                ("vera", "token", "view audit log", "refused"),
                ("olga", "token", "view audit log", "allowed"),
            ],
        )

    def test_a_role_is_not_changed_by_names_of_methods(self) -> None:
        for headers in ({"X-HTTP-Method-Override": "GET"}, {"X-Method-Override": "GET"}, {"X-HTTP-Method": "HEAD"}):
            self.assertEqual(self.status("/api/audit", "POST", {**bearer(VIEWER_TOKEN), **headers}), 405)
        for method in ("HEAD", "GET"):
            self.assertEqual(self.status("/api/audit", method, bearer(VIEWER_TOKEN)), 403)

    def test_what_is_no_token_is_refused(self) -> None:
        for value in (
            "Bearer",
            "Bearer ",
            "Bearer x",
            f"Bearer {VIEWER_TOKEN} x",
            f"Basic {VIEWER_TOKEN}",
            VIEWER_TOKEN,
            "",
        ):
            response, _ = self.ask("/api/stats", headers={"Authorization": value})
            self.assertEqual(response.code, 401, value)
            self.seconds += 3600
        self.assertEqual(self.status("/api/stats", headers={"Authorization": f"bearer  {VIEWER_TOKEN}"}), 200)

    def test_two_authorizations_are_refused(self) -> None:
        both = {"Authorization": [f"Bearer {VIEWER_TOKEN}", f"Bearer {OPERATOR_TOKEN}"]}
        self.assertEqual(self.status("/api/stats", headers=both), 400)

    def test_a_wrong_token_is_not_replaced_by_a_session(self) -> None:
        cookie = self.cookie("olga", "olga's password")
        self.assertEqual(self.status("/api/stats", headers={"Cookie": cookie}), 200)
        self.assertEqual(self.status("/api/stats", headers={"Cookie": cookie, **bearer("wrong")}), 401)

    def test_guessing_is_slowed_down_and_right_tokens_are_not(self) -> None:
        statuses = [self.status("/api/stats", headers=bearer(f"guess{number}")) for number in range(8)]
        self.assertEqual(statuses, [401] * 5 + [429] * 3)
        self.assertEqual(len([line for line in self.lines() if line[3] == "failed"]), 5)
        self.assertEqual(self.status("/api/stats", headers=bearer(VIEWER_TOKEN)), 200)

    def test_a_removed_user_is_refused_at_once(self) -> None:
        cookie = self.cookie("vera", "vera's password")
        change_users(self.users_file, lambda users: users.__delitem__("vera"))
        for headers in (bearer(VIEWER_TOKEN), {"Cookie": cookie}):
            self.assertEqual(self.status("/api/stats", headers=headers), 401)

    def test_another_role_holds_at_once(self) -> None:
        cookie = self.cookie("olga", "olga's password")
        self.assertEqual(self.status("/api/audit", headers={"Cookie": cookie}), 200)
        add_users(self.users_file, evolve(USERS[0], role="viewer"))
        self.assertEqual(self.status("/api/audit", headers={"Cookie": cookie}), 403)

    def test_a_file_that_others_can_read_lets_nobody_in(self) -> None:
        self.users_file.chmod(0o640)
        self.assertEqual(self.status("/api/stats", headers=bearer(OPERATOR_TOKEN)), 503)
        self.assertIn("chmod 600", " ".join(self.health.lines()))
        self.users_file.chmod(0o600)
        self.assertEqual(self.status("/api/stats", headers=bearer(OPERATOR_TOKEN)), 200)
        self.assertEqual(self.health.lines(), [])

    def test_a_missing_file_lets_nobody_in(self) -> None:
        self.users_file.unlink()
        for path in ("/api/stats", "/login"):
            self.assertEqual(self.status(path, headers=bearer(OPERATOR_TOKEN)), 503 if path != "/login" else 200)

    def test_metrics_may_be_open(self) -> None:
        self.assertEqual(self.status("/metrics"), 401)
        crawler = evolve(self.rig.settings.crawler, users_file=self.users_file, open_metrics=True)
        self.build(crawler)
        self.assertEqual(self.status("/metrics"), 200)
        self.assertEqual(self.status("/api/stats"), 401)


class AuditTests(AccessCase):
    def test_who_looked_at_what(self) -> None:
        self.rig.take(self.farm.nodes["n1"].capture(b"x"), {}, visitor="v1")
        token = self.rig.backlog.recordings(1)[0]["token"]
        self.ask(f"/api/recordings/{token}/page", headers=bearer(VIEWER_TOKEN))
        body = json.loads(self.ask("/api/audit?action=view+page", headers=bearer(OPERATOR_TOKEN))[1])
        (line,) = body["audit"]
        self.assertEqual((line["user"], line["how"], line["address"]), ("vera", "token", "127.0.0.1"))
        self.assertEqual((line["token"], line["visitor"], line["result"]), (token, "v1", "allowed"))

    def test_whose_walk_was_looked_at(self) -> None:
        pseudonym = "v1" + "a" * 22

        async def found(_call: Call) -> Response:
            return json_response({})

        endpoint = Endpoint("/walk/{visitor}", found, action="view session")
        self.listen(AdminResource([endpoint], guard=AccessGuard(self.access)))
        for path in (f"/walk/{pseudonym}", "/walk/secret-cookie", f"/walk/x?visitor={pseudonym}&a=t1&b=t2"):
            self.assertEqual(self.status(path, headers=bearer(VIEWER_TOKEN)), 200)
        found_lines = [(row["visitor"], row["detail"]) for row in self.audit.entries(9)[::-1]]
        self.assertEqual(found_lines, [(pseudonym, ""), (None, ""), (None, "t1, t2")])

    def test_nothing_is_shown_that_cannot_be_logged(self) -> None:
        path = f"/api/recordings/{self.tokens[0]}/page"
        with patch.object(self.audit, "write", side_effect=BacklogError("the disk is full")):
            response, body = self.ask(path, headers=bearer(VIEWER_TOKEN))
            self.assertEqual(response.code, 503)
            self.assertNotIn(b"script", body)
            self.assertEqual(self.status("/api/recordings", headers=bearer(VIEWER_TOKEN)), 200)
            self.assertEqual(self.log_in("olga", "olga's password")[0].code, 503)
        self.assertIn("the audit log cannot be written", " ".join(self.health.lines()))
        self.assertEqual(self.status(path, headers=bearer(VIEWER_TOKEN)), 200)
        self.assertEqual(self.health.lines(), [])

    def test_pages_and_filters(self) -> None:
        for _ in range(3):
            self.ask(f"/api/recordings/{self.tokens[0]}/page", headers=bearer(VIEWER_TOKEN))
        first = json.loads(self.ask("/api/audit?limit=2&user=vera", headers=bearer(OPERATOR_TOKEN))[1])
        again = json.loads(
            self.ask(f"/api/audit?limit=2&user=vera&after={first['next']}", headers=bearer(OPERATOR_TOKEN))[1]
        )
        self.assertEqual([len(first["audit"]), len(again["audit"]), again["next"]], [2, 1, None])
        self.assertEqual(self.status("/api/audit?user=%00", headers=bearer(OPERATOR_TOKEN)), 400)


class SessionTests(AccessCase):
    def test_cookies_of_neighbours(self) -> None:
        """Another server of the same host can add cookies: only those of sessions count; two sessions are refused."""
        cookie = self.cookie("vera", "vera's password")
        for header in (f"lbc-admin=tossed; {cookie}", f"{cookie}; lbc-admin=", f"a=b; {cookie}; {cookie}"):
            self.assertEqual(self.status("/api/stats", headers={"Cookie": header}), 200, header)
        self.assertEqual(self.status("/api/stats", headers={"Cookie": ["lbc-admin=tossed", cookie]}), 200)
        other = self.cookie("olga", "olga's password")
        for both in (f"{cookie}; {other}", [cookie, other]):
            self.assertEqual(self.status("/api/stats", headers={"Cookie": both}), 400)
        flood = "; ".join(f"lbc-admin={number}" for number in range(500))
        self.assertEqual(self.status("/api/stats", headers={"Cookie": flood}), 401)

    def test_other_names_of_the_cookie(self) -> None:
        value = self.cookie("vera", "vera's password").partition("=")[2]
        for name in ("LBC-ADMIN", "__Host-lbc-admin", "lbc_admin", "$lbc-admin"):
            self.assertEqual(self.status("/api/stats", headers={"Cookie": f"{name}={value}"}), 401, name)

    def test_changes_need_the_browsers_word(self) -> None:
        cookie = self.cookie("olga", "olga's password")
        plain = self.ask("/logout", "POST", {"Cookie": cookie})[0]
        self.assertEqual(plain.code, 403)
        for headers in ({"Origin": "null"}, {"Origin": "http://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
            self.assertEqual(self.status("/logout", "POST", {"Cookie": cookie, **headers}), 403, headers)
        self.assertEqual(self.status("/api/stats", headers={"Cookie": cookie}), 200)
        self.assertEqual(self.status("/logout", "POST", {"Cookie": cookie, "Origin": BASE}), 303)
        self.assertEqual(self.status("/api/stats", headers={"Cookie": cookie}), 401)


class ProxyTests(AccessCase):
    settings: ClassVar[Any] = {**PROXY, "forward_auth_header": "X-Forwarded-User"}

    def test_the_proxy_names_the_user(self) -> None:
        self.assertEqual(self.status("/api/audit", headers={"X-Forwarded-User": "olga"}), 200)
        self.assertEqual(self.status("/api/audit", headers={"X-Forwarded-User": "vera"}), 403)
        self.assertEqual(self.status("/api/stats", headers={"X-Forwarded-User": "nobody"}), 403)
        self.assertEqual(self.status("/api/stats"), 401)
        # What the browser sent to the proxy does not count.
        given = {"X-Forwarded-User": "vera", "Authorization": "Basic x"}
        self.assertEqual(self.status("/api/stats", headers=given), 200)

    def test_one_name_only(self) -> None:
        for value in (["vera", "olga"], "vera, olga", "", "vera\tolga", "ol ga"):
            self.assertEqual(self.status("/api/stats", headers={"X-Forwarded-User": value}), 400, value)

    def test_addresses(self) -> None:
        given = {"X-Forwarded-User": "vera", "X-Forwarded-For": "1.1.1.1, 192.0.2.7, 127.0.0.1"}
        self.ask(f"/api/recordings/{self.tokens[0]}/page", headers=given)
        self.assertEqual(self.audit.entries(1)[0]["address"], "192.0.2.7")


class RoleHeaderTests(AccessCase):
    settings: ClassVar[Any] = {**PROXY, "forward_auth_header": "X-Forwarded-User", "forward_auth_role_header": "X-Role"}
    has_users = False

    def test_the_proxy_names_the_role(self) -> None:
        user = {"X-Forwarded-User": "ann"}
        self.assertEqual(self.status("/api/audit", headers={**user, "X-Role": "operator"}), 200)
        self.assertEqual(self.status("/api/audit", headers={**user, "X-Role": "viewer"}), 403)
        for role in ("", "anybody", "Operator", "viewer, operator", ["viewer", "operator"]):
            self.assertEqual(self.status("/api/stats", headers={**user, "X-Role": role}), 403, role)
            self.seconds += 3600
        self.assertEqual(self.status("/login"), 404)


class ForgedHeaderTests(AccessCase):
    settings: ClassVar[Any] = {
        "forward_auth_header": "X-Forwarded-User",
        "admin_proxies": (network("192.0.2.0/24", None),),  # type: ignore[arg-type]
    }

    def test_another_peer_is_refused(self) -> None:
        for headers in ({}, bearer(OPERATOR_TOKEN)):
            response, body = self.ask("/api/stats", headers={"X-Forwarded-User": "olga", **headers})
            self.assertEqual(response.code, 403)
            self.assertIn(b"admin_proxies", body)
        self.assertEqual(self.lines()[0], ("", "proxy", "log-in", "failed"))
        self.assertEqual(self.status("/api/stats", headers=bearer(OPERATOR_TOKEN)), 200)


class OpenTests(AccessCase):
    has_users = False

    def test_without_log_in_all_is_allowed_and_said(self) -> None:
        self.assertEqual(self.status("/api/audit"), 200)
        self.assertIn(b"No log-in is configured", self.ask("/")[1])
        self.assertEqual(self.status("/login"), 404)
        self.ask(f"/api/recordings/{self.tokens[0]}/page")
        self.assertEqual(self.lines()[-1], ("", "open", "view page", "allowed"))


class CommandTests(AccessCase):
    command_token = "lbc_command"

    def test_the_crawlers_own_commands(self) -> None:
        self.assertEqual(self.status("/api/audit", headers=bearer("lbc_command")), 200)
        self.assertEqual(self.lines(), [("command", "command", "view audit log", "allowed")])
