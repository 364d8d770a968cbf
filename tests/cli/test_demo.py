"""``demo``."""

from __future__ import annotations

import pytest

from tests.support.cli import run


@pytest.mark.parametrize("arguments", [("--balancer", "none"), ("--nodes", "0"), ("--visits", "0")])
def test_a_demo_that_cannot_be_is_exit_2(arguments: tuple[str, str]) -> None:
    done = run("demo", "--once", *arguments)
    assert done.exit_code == 2
    assert arguments[0] in done.stderr
