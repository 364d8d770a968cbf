"""The contract of every dialect of stickiness; authors of further ones run their own through it.

.. code-block:: python

    class MineTests(dialect_contract(mine.DIALECT)):
        pass
"""

# ruff: noqa: PT009

from __future__ import annotations

import re
from collections.abc import Mapping
from unittest import TestCase

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import is_pattern, parse, safe_to_send
from lbcompanion.sticky.dialects.interface import Dialect, NodeFacts
from lbcompanion.sticky.dialects.old_names import with_new_names
from lbcompanion.testing.strategies import cookie_names, cookies, node_texts

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
#: Sessions of well-known frameworks. Nobody who finds what was read of them may act as the visitor.
SESSIONS = {
    "JSESSIONID": "4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C",
    "PHPSESSID": "u8mq2v7rj4d5k1h3n6t9c0s2b4",
    "sessionid": "z4k1x9v7q2w8e5r3t6y0u1i9o8p7a6s5",
    "connect.sid": "s%3AqK3jv8Zl1pW0bY7tR5uE2sM9fJd4GaC6.oKiPxVbWzQrS6eYhNlUjDmAgFc",
    "laravel_session": "eyJpdiI6InE4bVp2N3JqNGQ1azFoM242dDlj",
    "ASP.NET_SessionId": "q2w8e5r3t6y0u1i9o8p7a6s5",
    "csrftoken": "b7yTtE5uHs2MfJd9GaC4oKiPxVbWzQrS",
    "auth_token": "kR3vX8Zq1Lw0nB7yTtE5uHs2MfJd9GaC",
}

#: A slow or busy machine is no fault of a dialect.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _parsed_again(found: tuple[RoutingCookie, ...]) -> dict[str, str]:
    return {cookie.name: cookie.value for cookie in found}


def dialect_contract(dialect: Dialect) -> type[TestCase]:
    """The tests for one dialect, as a class to be subclassed."""
    renamed = with_new_names(dialect)
    dialect = renamed if isinstance(renamed, Dialect) else dialect

    class DialectContract(TestCase):
        """The tests that every dialect passes."""

        def test_it_is_named(self) -> None:
            """Product first, mode after it."""
            self.assertRegex(dialect.name, _NAME)

        def test_it_has_all_verbs(self) -> None:
            """And all properties; what is missing would show in a running farm only."""
            self.assertIsInstance(dialect, Dialect)

        def test_there_is_evidence(self) -> None:
            """At least one header that is read, unless nothing is ever recorded; and each with its source."""
            self.assertTrue(dialect.samples)
            self.assertEqual(not dialect.never_record, any(sample.reads for sample in dialect.samples))
            self.assertTrue(all(sample.source for sample in dialect.samples))

        def test_samples_are_read_and_revealed(self) -> None:
            """Each sample is read as its evidence says."""
            for sample in dialect.samples:
                with self.subTest(sample.cookie):
                    read = dialect.read(parse(sample.cookie), sample.names, sample.allow)
                    self.assertEqual(sample.reads, tuple((cookie.name, cookie.value) for cookie in read))
                    self.assertTrue(safe_to_send(read))
                    self.assertEqual(sample.node, dialect.node_of(read[0]) if read else None)

        def test_what_was_read_is_recognised_when_the_whole_was(self) -> None:
            """Evidence under the dialect's own names; cutting down may lose it, but then it was not in the name."""
            for sample in dialect.samples:
                for name, value in () if sample.names or sample.allow else sample.reads:
                    self.assertTrue(dialect.recognises(name, value), sample.cookie)

        @_patient
        @given(cookies(), st.lists(cookie_names(), max_size=3))
        def test_any_cookies_are_accepted(self, found: Mapping[str, str], names: list[str]) -> None:
            """No cookies raise an exception; a replay is read as itself, and names the same node."""
            wanted = tuple(name for name in names if not is_pattern(name))
            read = dialect.read(found, wanted)
            self.assertEqual(read, dialect.read(_parsed_again(read), wanted))
            self.assertLessEqual({cookie.name for cookie in read}, set(found))
            for name, value in found.items():
                dialect.recognises(name, value)
                dialect.node_of(RoutingCookie(name, value))

        @_patient
        @given(st.text(max_size=40), st.text(max_size=40))
        def test_any_text_is_accepted(self, name: str, value: str) -> None:
            """Even text that no header can contain raises no exception."""
            dialect.read({name: value}, ())
            dialect.recognises(name, value)
            dialect.node_of(RoutingCookie(name, value))
            dialect.compute(NodeFacts(value, value, value), ())
            dialect.detects_move((RoutingCookie(name, value),), (f"{name}={value}", name, value))

        def test_a_cookie_handed_out_again_says_nothing_of_a_move(self) -> None:
            """Whole or cut down; nor does an answer without cookies."""
            for sample in dialect.samples:
                read = dialect.read(parse(sample.cookie), sample.names, sample.allow)
                whole = tuple(f"{name}={value}; Path=/" for name, value in parse(sample.cookie).items())
                for lines in ((), whole, tuple(f"{cookie.name}={cookie.value}" for cookie in read)):
                    self.assertIsNot(dialect.detects_move(read, lines), True, sample.cookie)

        def test_no_session_is_read(self) -> None:
            """A session is not read, even if the configuration names it."""
            for name, value in SESSIONS.items():
                for names in ((), (name,), ("/./",)):
                    for text in (value, f"n1~{value}", f"{value}.n1"):
                        read = dialect.read({name: text}, names)
                        self.assertFalse([cookie for cookie in read if value in cookie.value], name)

        def test_names_decide(self) -> None:
            """A cookie with another name than the configured ones is not read."""
            for sample in dialect.samples:
                self.assertEqual((), dialect.read(parse(sample.cookie), ("no-such-name",), ("/./",)))

        def test_secrets_are_not_shown(self) -> None:
            """Neither the ``repr`` of a dialect nor a computed cookie contains the key."""
            cookie = dialect.compute(NodeFacts("n1", "10.0.0.11:8080", "hidden-key"), ("a_name",))
            self.assertNotIn("hidden-key", f"{dialect!r} {'' if cookie is None else cookie.value}")

        @_patient
        @given(node_texts())
        def test_what_is_forged_names_its_node(self, node: str) -> None:
            """And is read as itself."""
            cookie = dialect.compute(NodeFacts(node, node, "a key"), ("a_name",))
            if cookie is not None:
                self.assertEqual((cookie,), dialect.read({cookie.name: cookie.value}, ("a_name",)))
                self.assertIn(dialect.node_of(cookie), (node, None))
                self.assertTrue(safe_to_send([cookie]))

    DialectContract.__name__ = DialectContract.__qualname__ = f"DialectContract[{dialect.name}]"
    return DialectContract
