"""Docstrings document what exists: each ``:param`` is a parameter, each ``:ivar`` an attribute of its class."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "lbcompanion"
_PARAM = re.compile(r":param (\w+):")
_FIELD = re.compile(r":(?:ivar|param) (\w+):")


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in every if argument is not None}


def code_names(node: ast.ClassDef) -> set[str]:
    """The names that occur in a class outside of its docstrings."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    names |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    names |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    return names | {each.name for each in ast.walk(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def unknown_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            known, documented = parameters(node), _PARAM.findall(ast.get_docstring(node) or "")
        elif isinstance(node, ast.ClassDef):
            known, documented = code_names(node), _FIELD.findall(ast.get_docstring(node) or "")
        else:
            continue
        yield from (f"{node.name}: {name}" for name in documented if name not in known)


@pytest.mark.slow
def test_documented_names_exist() -> None:
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sorted(ROOT.rglob("*.py"))
        if (found := list(unknown_names(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert wrong == {}
