"""The common behaviour of the shapes of dialects."""

from __future__ import annotations

import pytest

from lbcompanion.sticky.dialects.shapes import WholeValue


@pytest.mark.parametrize(
    ("name", "value", "allowed", "recorded"),
    [
        ("lb", "n1", False, True),
        ("own_session", "n1x7q2", False, True),
        ("PHPSESSID", "q1w2e3", False, False),
        ("PHPSESSID", "q1w2e3", True, True),
        ("lb", "eyJ" + "x" * 20, False, False),
    ],
)
def test_what_may_be_recorded(name: str, value: str, allowed: bool, recorded: bool) -> None:
    dialect = WholeValue(name="x", samples=(), cookie_names=("own_session",))
    assert dialect.may_be_recorded(name, value, allowed) is recorded
    assert dialect.reduce(name, value, allowed) == (value if recorded else None)


def test_a_value_that_is_a_session_by_definition() -> None:
    dialect = WholeValue(name="x", samples=(), only_allowed=True)
    assert dialect.reduce("lb", "n1", False) is None
    assert dialect.reduce("lb", "n1", True) == "n1"


def test_the_form_under_the_own_name() -> None:
    dialect = WholeValue(name="x", samples=(), cookie_names=("route",), form="[a-z0-9]+", own_form="[0-9a-f]{4}")
    assert dialect.recognises("route", "00ff")
    assert not dialect.recognises("route", "n1")
    assert not dialect.recognises("other", "00ff")
    assert dialect.reduce("route", "n1", False) == "n1"
