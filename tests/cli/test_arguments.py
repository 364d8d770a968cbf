"""How hosts, ports and the console are understood."""

from __future__ import annotations

import io

import click
import pytest

from lbcompanion.cli.arguments import console, host_and_port


@pytest.mark.parametrize(
    ("text", "host_required", "found"),
    [("80", False, ("", 80)), ("web:65535", True, ("web", 65535)), ("[::1]:8080", True, ("::1", 8080))],
)
def test_host_and_port(text: str, host_required: bool, found: tuple[str, int]) -> None:
    assert host_and_port(text, "--listen", host_required) == found


@pytest.mark.parametrize("text", ["", "x", "web:", "web:0", "web:65536", "::1:80", "80 ", "\u0661"])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(click.BadParameter, match="allowed: PORT or HOST:PORT"):
        host_and_port(text, "--listen")


def test_a_port_alone_where_a_host_is_needed() -> None:
    with pytest.raises(click.BadParameter, match="allowed: HOST:PORT"):
        host_and_port("80", "--connect", host_required=True)


def test_a_pipe_is_not_folded_at_80_columns() -> None:
    written = io.StringIO()
    console(written).print("x" * 300)
    assert written.getvalue() == "x" * 300 + "\n"
