"""Tests of the checks of single configuration values."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion import checks
from lbcompanion.checks import Check
from lbcompanion.errors import InvalidValue

HERE = Path("/etc/farm")

GOOD: list[tuple[Check, object, object]] = [
    (checks.boolean, True, True),
    (checks.integer(1, 64), 64, 64),
    (checks.number(0, exclude_minimum=True), 1, 1.0),
    (checks.text(None, "a text", empty=True), "", ""),
    (checks.choice("a", "b"), "b", "b"),
    (checks.list_of(checks.boolean, "flags"), [True, False], (True, False)),
    (checks.mapping(checks.is_node_name, "a name", checks.boolean), {"n1": True}, {"n1": True}),
    (checks.origin(empty=False), "https://[::1]:8443", "https://[::1]:8443"),
    (checks.host_name, "Admin.Example.COM.", "admin.example.com"),
    (checks.prefix, "/shop/_lbc", "/shop/_lbc"),
    (checks.cookie_name, "/SRV[0-9]+/", "/SRV[0-9]+/"),
    (checks.cookie_pair, "SRV=n1", "SRV=n1"),
    (checks.path, "state", HERE / "state"),
    (checks.optional_path, "", None),
]
WRONG: list[tuple[Check, object]] = [
    (checks.boolean, 1),
    (checks.integer(1, 64), True),
    (checks.integer(1, 64), 65),
    (checks.number(0, exclude_minimum=True), 0),
    (checks.number(0), float("inf")),
    (checks.text(None, "a text"), ""),
    (checks.text(None, "a text"), "a\nb"),
    (checks.choice("a", "b"), ["a"]),
    (checks.list_of(checks.boolean, "flags", minimum=1), []),
    (checks.list_of(checks.boolean, "flags", unique=True), [True, True]),
    (checks.mapping(checks.is_node_name, "a name", checks.boolean), {"n 1": True}),
    (checks.origin(empty=False), "https://www.example.com/"),
    (checks.origin(empty=False), "https://www.example.com:0"),
    (checks.host_name, "example.com:80"),
    (checks.network, "10.0.0.1/8"),
    (checks.prefix, "/a/../b"),
    (checks.bytes_pattern, "("),
    (checks.cookie_name, "/(/"),
    (checks.cookie_pair, "SRV=a;b"),
    (checks.path, "a\0b"),
]


@pytest.mark.parametrize(("check", "value", "given"), GOOD)
def test_what_is_allowed(check: Check, value: object, given: object) -> None:
    assert check(value, HERE) == given


@pytest.mark.parametrize(("check", "value"), WRONG)
def test_what_is_refused(check: Check, value: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        check(value, HERE)
    assert caught.value.allowed


def test_a_refusal_below_a_table_names_the_key() -> None:
    with pytest.raises(InvalidValue) as caught:
        checks.mapping(checks.is_node_name, "a name", checks.boolean)({"n1": "yes"}, HERE)
    assert (caught.value.subkey, caught.value.shown_value) == ("n1", '"yes"')


def test_no_password_is_shown() -> None:
    with pytest.raises(InvalidValue) as caught:
        checks.origin(empty=False)("https://user:secret@www.example.com", HERE)
    assert caught.value.shown_value == '"https://...@www.example.com"'
    for url in ("redis://user:s@cret@db/0", "postgresql://user:s/cret@db/x", "mysql://user:s\ncret@db/x"):
        assert "cret" not in checks.hide_password(url)


@pytest.mark.parametrize(("value", "shown"), [({}, "a table"), ("x" * 100, '"' + "x" * 76 + "..."), (1.5, "1.5")])
def test_a_value_as_a_message_shows_it(value: object, shown: str) -> None:
    assert checks.format_value(value) == shown


def test_a_secret_has_no_white_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\n 0123456789abcdef \n")
    assert checks.read_secret(tmp_path / "secret") == b"0123456789abcdef"
    (tmp_path / "short").write_bytes(b"    short           ")
    for name in ("short", "none"):
        with pytest.raises(InvalidValue):
            checks.read_secret(tmp_path / name)
