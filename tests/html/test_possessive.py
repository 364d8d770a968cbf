"""Possessive repetitions are right in every version of Python, and no pattern has another kind."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcompanion
from lbcompanion.html.possessive import one_or_more

_PACKAGE = Path(lbcompanion.__file__).parent
# A possessive repetition of a group whose last alternative is not empty; an atomic group may end with one. Within a set
# of characters "()*+" is no group.
_UNSAFE = re.compile(r"(?<![|(\\])\)(?:[*?]\+|\{[0-9,]*\}\+|\+\+)|\(\?>|\|\)(?:\+\+|\{[0-9,]*\}\+)")


def _literals(source: str) -> list[tuple[int, str]]:
    """The texts of a module, with their lines; docstrings are left out."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(text, str):
                found.append((node.lineno, text))
    return found


def test_no_pattern_repeats_a_group_that_can_fail() -> None:
    found = [
        f"{path.relative_to(_PACKAGE)}:{line}: {text}"
        for path in sorted(_PACKAGE.rglob("*.py"))
        # Parsing takes longer than all the rest.
        if _UNSAFE.search(source := path.read_text())
        for line, text in _literals(source)
        if _UNSAFE.search(text)
    ]
    assert not found, "see lbcompanion/html/possessive.py"


@pytest.mark.parametrize(
    "unsafe", ["(?:ab?c)*+", "(?:ab?c)++", "(?:a)?+", "(?:a){2}+", "(?>(?:ab?c)+)", ")*+x", "(a|)++"]
)
def test_what_is_unsafe(unsafe: str) -> None:
    assert _UNSAFE.search(unsafe)


@pytest.mark.parametrize(
    "safe", ["(?:ab?c|)*+", "(?:a|)?+", "[a-z]*+", "[()]*+", "!$&'()*+,", r"\(\)++", "(a)+", "(a)*?"]
)
def test_what_is_safe(safe: str) -> None:
    assert not _UNSAFE.search(safe)


def _repeated(text: str) -> int:
    """The end of as many of ``ab?c`` and ``d`` as follow each other; -1 for none."""
    position = 0
    while found := re.compile("ab?c|d").match(text, position):
        position = found.end()
    return position or -1


@given(st.text("abcd", max_size=12))
def test_one_or_more(text: str) -> None:
    found = re.match(one_or_more("ab?c|d"), text)
    assert (found.end() if found else -1) == _repeated(text)
    in_bytes = re.match(one_or_more(rb"ab?c|d"), text.encode())
    assert (in_bytes.end() if in_bytes else -1) == _repeated(text)


def test_nothing_is_given_back() -> None:
    assert re.match(one_or_more("ab?c") + "abc", "abcabc") is None
