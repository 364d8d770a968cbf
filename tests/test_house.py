"""The tests' own house: test modules stand alone, and what they share lives in ``tests/support``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.house_map import imports

ROOT = Path(__file__).parent.parent
#: All that may import helpers of the tests.
MODULES = sorted(path for folder in ("tests", "fuzz", "bench") for path in (ROOT / folder).rglob("*.py"))


def is_test_module(name: str) -> bool:
    return any(part.startswith("test_") or part == "conftest" for part in name.split("."))


def test_no_test_module_is_imported() -> None:
    """A test that another file needs cannot be moved, and its fixtures come along unseen."""
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imports(ast.parse(path.read_bytes()))
        if name.startswith("tests.") and is_test_module(name)
    ]
    assert not found, "what tests share belongs into tests/support:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("name", "so"),
    [("tests.node.test_service.WAIT", True), ("tests.conftest.need", True), ("tests.support.commands.WAIT", False)],
)
def test_what_a_test_module_is(name: str, so: bool) -> None:
    assert is_test_module(name) is so
