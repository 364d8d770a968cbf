from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
from attrs import evolve

from lbcompanion.checks import network
from lbcompanion.crawler.access.passwords import PasswordHash
from lbcompanion.crawler.access.users_file import User
from tests.support.access_case import COST, USERS, AccessCase, add_users
from tests.support.crawler_api import BASE

pytestmark = pytest.mark.slow


class LogInTests(AccessCase):
    def test_a_session(self) -> None:
        response, _ = self.log_in("vera", "vera's password", next="/recordings?node=n1")
        self.assertEqual((response.code, response.headers.getRawHeaders("location")), (303, ["/recordings?node=n1"]))
        cookie = response.headers.getRawHeaders("set-cookie")[0]
        self.assertRegex(cookie, r"^lbc-admin=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax$")
        session = {"Cookie": cookie.partition(";")[0]}
        self.assertIn(b"vera", self.ask("/", headers=session)[1])
        self.assertEqual(self.status("/api/audit", headers=session), 403)
        self.assertEqual(self.lines()[0], ("vera", "password", "log-in", "allowed"))
        response, _ = self.ask("/logout", "POST", {**session, "Origin": BASE})
        self.assertIn("Max-Age=0", response.headers.getRawHeaders("set-cookie")[0])
        self.assertEqual(self.status("/", headers=session), 401)
        self.assertEqual(self.lines()[-1], ("vera", "password", "log-out", "allowed"))

    def test_wrong_names_and_passwords_look_alike(self) -> None:
        answers = []
        for name, password in (("vera", "wrong"), ("nobody", "wrong"), ("vera", ""), ("", "")):
            response, body = self.log_in(name, password)
            self.assertEqual(response.code, 403)
            self.assertIsNone(response.headers.getRawHeaders("set-cookie"))
            answers.append(re.sub(rb'value="[^"]*"|autofocus', b"", body))
        self.assertEqual(len({re.sub(rb"\s+", b"", each) for each in answers}), 1)
        self.assertNotIn("nobody", {line[0] for line in self.lines()})

    def test_unknown_names_take_as_long(self) -> None:
        checked = []
        original = PasswordHash.matches
        self.patch(
            PasswordHash, "matches", lambda hashed, given: checked.append(hashed.cost) or original(hashed, given)
        )
        add_users(self.users_file, User("app", "viewer", None, "0" * 64))
        for name in ("vera", "nobody", "app", ""):
            self.log_in(name, "wrong")
        self.assertEqual(checked, [COST] * 4)

    def test_each_log_in_has_an_id_of_its_own(self) -> None:
        """Session fixation: an id from elsewhere is never used, and the old session ends."""
        first = self.cookie("vera", "vera's password")
        response, _ = self.log_in("vera", "vera's password", {"Cookie": first})
        second = response.headers.getRawHeaders("set-cookie")[0].partition(";")[0]
        self.assertNotEqual(first, second)
        self.assertEqual(self.status("/", headers={"Cookie": first}), 401)
        response, _ = self.log_in("vera", "vera's password", {"Cookie": "lbc-admin=chosen"})
        self.assertNotIn("chosen", response.headers.getRawHeaders("set-cookie")[0])
        self.assertEqual(self.status("/", headers={"Cookie": "lbc-admin=chosen"}), 401)

    def test_a_session_ends(self) -> None:
        cookie = {"Cookie": self.cookie("vera", "vera's password")}
        for _ in range(7):
            self.seconds += 6000
            self.assertEqual(self.status("/", headers=cookie), 200)
        self.seconds += 6000
        self.assertEqual(self.status("/", headers=cookie), 401)
        cookie = {"Cookie": self.cookie("vera", "vera's password")}
        self.seconds += 7200
        self.assertEqual(self.status("/", headers=cookie), 401)

    def test_another_password_ends_the_sessions(self) -> None:
        cookie = {"Cookie": self.cookie("vera", "vera's password")}
        add_users(self.users_file, evolve(USERS[1], password=PasswordHash.of("another one", COST)))
        self.assertEqual(self.status("/", headers=cookie), 401)
        self.assertEqual(self.log_in("vera", "vera's password")[0].code, 403)

    def test_guessing_is_slowed_down(self) -> None:
        statuses = [self.log_in("vera", f"guess{number}")[0].code for number in range(9)]
        self.assertEqual(statuses, [403] * 5 + [429] * 4)
        response, body = self.log_in("vera", "vera's password")
        self.assertEqual((response.code, response.headers.getRawHeaders("retry-after")), (429, ["2"]))
        self.assertIn(b"try again", body)
        results = [line[3] for line in self.lines()]
        self.assertEqual(results, ["failed"] * 5 + ["refused"])
        self.seconds += 31
        self.assertEqual(self.log_in("vera", "vera's password")[0].code, 303)

    def test_other_sites_cannot_log_a_browser_in(self) -> None:
        for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}):
            self.assertEqual(self.log_in("vera", "vera's password", headers)[0].code, 403)
        form = b"name=vera&password=vera%27s+password"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.ask("/login", "POST", kind, form)[0].code, 403)
        for kind in ({"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"}, {}):
            response, _ = self.ask("/login", "POST", {**kind, "Origin": BASE}, form)
            self.assertIn(response.code, (400, 415))

    def test_a_password_in_the_address_is_not_read(self) -> None:
        response, _ = self.ask(
            "/login?name=vera&password=vera%27s+password",
            "POST",
            {"Content-Type": "application/x-www-form-urlencoded", "Origin": BASE},
            b"",
        )
        self.assertEqual(response.code, 403)

    def test_where_to_go_after_the_log_in(self) -> None:
        for given in (
            *(
                "//evil.test/",
                "/\\evil.test",
                "https://evil.test/",
                "javascript:alert(1)",
                "",
                "evil",
                "/a\nb",
                "/a\tb",
            ),
            *("/\t/evil.test", "/%0d%0aSet-Cookie:x\r\nx", "/login?next=/", "/logout", "\\\\evil.test", "/é"),
        ):
            response, _ = self.log_in("vera", "vera's password", next=given)
            self.assertEqual(response.headers.getRawHeaders("location"), ["/"], given)
        response, _ = self.log_in("vera", "vera's password", next="/recording/a?b=c&d=e#f")
        self.assertEqual(response.headers.getRawHeaders("location"), ["/recording/a?b=c&d=e#f"])

    def test_the_page_escapes_what_is_given(self) -> None:
        _, body = self.log_in('"><script>x</script>', "wrong", next='/"><script>')
        self.assertNotIn(b"<script>x", body)
        self.assertNotIn(b'/"><script>', self.ask("/login?next=/%22%3E%3Cscript%3E")[1])

    def test_a_form_that_is_too_large(self) -> None:
        self.assertEqual(self.log_in("vera", "x" * 9000)[0].code, 413)
        self.assertEqual(self.log_in("vera", "x", **{f"f{number}": "1" for number in range(20)})[0].code, 400)

    def test_many_at_once_do_not_wait(self) -> None:
        waiting: list[Any] = []

        def in_thread(call: Any, *args: Any) -> Any:
            from twisted.internet.defer import Deferred

            waiting.append(Deferred())
            return waiting[-1]

        from lbcompanion.crawler.admin.listener import AdminResource
        from lbcompanion.crawler.admin.login import MAX_WAITING, LogIn

        self.listen(AdminResource(LogIn(self.access, in_thread).endpoints()))
        self.access.pace._free = 100
        for number in range(MAX_WAITING):
            form = f"name=n{number}&password=x".encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": BASE}
            self.http.request("POST", f"{BASE}/login", headers=kind, data=form)
        self.assertEqual(len(waiting), MAX_WAITING)
        self.assertEqual(self.log_in("vera", "vera's password")[0].code, 429)


class BehindTlsTests(AccessCase):
    settings: ClassVar[Any] = {"admin_proxies": (network("127.0.0.1/32", None),)}  # type: ignore[arg-type]

    def test_over_tls_only_the_safe_name_counts(self) -> None:
        https = {"X-Forwarded-Proto": "https"}
        response, _ = self.log_in("vera", "vera's password", https)
        cookie = response.headers.getRawHeaders("set-cookie")[0]
        self.assertRegex(cookie, r"^__Host-lbc-admin=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax; Secure$")
        value = cookie.partition(";")[0].partition("=")[2]
        self.assertEqual(self.status("/", headers={**https, "Cookie": f"__Host-lbc-admin={value}"}), 200)
        self.assertEqual(self.status("/", headers={**https, "Cookie": f"lbc-admin={value}"}), 401)
