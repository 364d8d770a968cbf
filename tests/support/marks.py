"""Enforces the markers: a test without markers opens no socket and starts no process.

``make quick`` leaves out what is marked. A mark that was forgotten fails the test, wherever it runs.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent.parent
#: Folders all of whose tests have these marks, and the files in them that have others.
FOLDERS = {"e2e": ("programs",), "vtest": ("programs",)}
FILES: dict[str, tuple[str, ...]] = {"e2e/test_farm_machine.py": ()}
#: Any of these allows sockets and processes.
_OUTSIDE = {"network", "programs", "browser"}
_PROGRAMS = {"programs", "browser"}
_EVENTS = {"socket.bind", "socket.connect", "subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty"}
_PYTESTMARK = re.compile(r"^pytestmark = (.+)$", re.MULTILINE)
_MARK = re.compile(r"pytest\.mark\.(\w+)")

_items: list[pytest.Item] = []
_seen: set[str] = set()


@cache
def of_folder(path: Path) -> tuple[str, ...]:
    """The marks of all tests in a test module's folder."""
    if not path.is_relative_to(_TESTS):
        return ()
    name = path.relative_to(_TESTS)
    return FILES.get(name.as_posix(), FOLDERS.get(name.parts[0], ()))


@cache
def of_module(path: Path) -> frozenset[str]:
    """The marks of all tests in a module, read without importing it: an extra that it needs may be missing."""
    if not path.name.startswith("test_") or path.suffix != ".py":
        return frozenset()
    found = _PYTESTMARK.search(path.read_text())
    return frozenset(of_folder(path)) | frozenset(_MARK.findall(found[1]) if found else ())


def left_out(expression: str) -> set[str]:
    """The marks that ``-m`` leaves out whatever else a test has: ``not A and not B``, and nothing more difficult."""
    parts = [part.split() for part in (expression or "").split(" and ")]
    return {part[1] for part in parts} if all(len(part) == 2 and part[0] == "not" for part in parts) else set()


def _note(event: str, _: object) -> None:
    if event in _EVENTS and _items:
        _seen.add(event)


@cache
def watch() -> None:
    """Note sockets and processes from now on."""
    sys.addaudithook(_note)


@contextmanager
def watching(item: pytest.Item) -> Iterator[None]:
    """Attribute what is opened here to this test."""
    _seen.clear()
    _items.append(item)
    try:
        yield
    finally:
        _items.remove(item)


def long_files_first(items: list[pytest.Item]) -> None:
    """Let the files that need programs come first, then those that need the network.

    With ``--dist loadfile`` a process takes one file after the other. Were a long one the last, the others would wait.
    """
    files: defaultdict[Path, set[str]] = defaultdict(set)
    for item in items:
        files[item.path].update(mark.name for mark in item.iter_markers())
    items.sort(key=lambda item: (not files[item.path] & _PROGRAMS, not files[item.path] & _OUTSIDE))


def check(item: pytest.Item) -> None:
    """Fail where the test opened what its marks do not allow."""
    if _seen and not {mark.name for mark in item.iter_markers()} & _OUTSIDE:
        pytest.fail(f"{', '.join(sorted(_seen))}: mark this test `network`, `programs` or `browser`", pytrace=False)


def check_program(name: str) -> None:
    """The same for one that asks for a program, which may be missing here."""
    for item in _items:
        if not {mark.name for mark in item.iter_markers()} & _PROGRAMS:
            pytest.fail(f"it needs {name}: mark this test `programs` or `browser`", pytrace=False)
