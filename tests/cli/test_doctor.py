"""``doctor``."""

from __future__ import annotations

import pytest

from tests.support.cli import run


@pytest.mark.parametrize(
    "arguments",
    [(), ("www.example.com",), ("ftp://x/",), ("http://x/", "--connect", "x"), ("http://x/", "--connect", "x:0")],
)
def test_doctor_refuses_what_cannot_be(arguments: tuple[str, ...]) -> None:
    assert run("doctor", *arguments).exit_code == 2
