"""The tests' own house: test modules stand alone, and what they share lives in ``tests/support``."""

from __future__ import annotations

import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import pytest

from tests.support import marks, programs, quick
from tests.support.house_map import imported_names

ROOT = Path(__file__).parent.parent
#: All that may import helpers of the tests.
MODULES = sorted(path for folder in ("tests", "fuzz", "bench") for path in (ROOT / folder).rglob("*.py"))

#: Ways to leave a test out. The cases of varnishtest that are left out name what the companion does not speak.
_SKIPPING = re.compile(r"importorskip\(|\bskip(?:if|If|Unless|Test)?\(|raise [\w.]*Skip\w*")


def is_test_module(name: str) -> bool:
    return any(part.startswith("test_") or part == "conftest" for part in name.split("."))


def test_no_test_module_is_imported() -> None:
    """A test that another file needs cannot be moved, and its fixtures come along unseen."""
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imported_names(path.read_text())
        if name.startswith("tests.") and is_test_module(name)
    ]
    assert not found, "what tests share belongs into tests/support:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("name", "so"),
    [("tests.node.test_service.WAIT", True), ("tests.conftest.need", True), ("tests.support.commands.WAIT", False)],
)
def test_what_a_test_module_is(name: str, so: bool) -> None:
    assert is_test_module(name) is so


@pytest.mark.parametrize("count", [1, quick.CASES, quick.CASES + 1, 7 * quick.CASES + 3])
def test_of_a_long_table_few_cases_are_quick(count: int) -> None:
    kept = quick.spread(count)
    assert len(kept) == min(count, quick.CASES)
    assert kept <= set(range(count))
    assert 0 in kept


class _Item:
    """The part of a test that :func:`marks.long_files_first` uses."""

    def __init__(self, file: str, *names: str) -> None:
        self.path = Path(file)
        self.marks = [pytest.Mark(name, (), {}, _ispytest=True) for name in names]

    def iter_markers(self) -> list[pytest.Mark]:
        return self.marks


def test_long_files_come_first_and_stay_together() -> None:
    items: list[Any] = [
        _Item("a", "slow"),
        _Item("b"),
        _Item("b", "network"),
        _Item("c", "network"),
        _Item("c", "programs"),
        _Item("d", "browser"),
        _Item("e"),
    ]
    marks.long_files_first(items)
    assert "".join(str(item.path) for item in items) == "ccdbbae"


def test_what_a_module_imports_is_read_without_parsing_it() -> None:
    text = "import a.b as c, d\nfrom e import (\n    f,  # this, that\n    g as h,\n)\nif 1:\n    from i.j import k\n"
    assert set(imported_names(text)) == {"a.b", "d", "e.f", "e.g", "i.j.k"}


@pytest.mark.slow
def test_what_is_missing_is_counted() -> None:
    """A test leaves itself out by ``tests.support.programs`` alone, which fails where ``CI=true``."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in MODULES
        if path.relative_to(ROOT).as_posix() not in ("tests/support/programs.py", "tests/vtest/test_vtest.py")
        for match in _SKIPPING.finditer(path.read_text())
    ]
    assert not found, "use need_program, need_library or leave_out:\n" + "\n".join(found)


def test_a_missing_library_fails_where_everything_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(unittest.SkipTest, match=f"{programs.LEFT_OUT}no_such_library, which"):
        programs.need_library("no_such_library")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match=f"{programs.LEFT_OUT}no_such_library"):
        programs.need_library("no_such_library")
    assert programs.need_library("json").__name__ == "json"


@pytest.mark.network
def test_what_make_quick_runs_needs_no_extra() -> None:
    """Modules that need a server are left out before they are imported; no other may need a client of one."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_EXTRAS], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "tests/stores/test_urls.py" in done.stdout


_WITHOUT_EXTRAS = """
import sys
import pytest

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"psycopg", "redis", "pymysql"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
marks = "not slow and not programs and not browser and not network"
sys.exit(pytest.main(["-qq", "--collect-only", "-p", "no:cacheprovider", "-m", marks, "tests"]))
"""
