"""The house stands: which room may look into which (docs/house.rst), and what the pure rooms may not know."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.house_map import DISTRICT_FLOOR_OF, DISTRICTS, FLOOR_OF, imported_names, imports, statements

PACKAGE = "lbcompanion"
ROOT = Path(__file__).parent.parent / PACKAGE

#: Rooms of one floor that are strangers all the same.
STRANGERS = ({"node", "crawler"}, {"doctor", "demo"})
#: May look everywhere, and is looked into by nobody but tests.
GUEST = "testing"

PURE = ("errors", "model", "bounded_cache", "failing_parts", "protocol", "http1", "html", "sticky")
IMPURE_MODULES = {
    *("twisted", "asyncio", "socket", "socketserver", "ssl", "select", "selectors", "threading", "multiprocessing"),
    *("subprocess", "signal", "os", "io", "shutil", "tempfile", "time", "random", "secrets", "uuid", "logging"),
    *("sqlalchemy", "sqlite3", "treq", "requests", "importlib", "pathlib"),
}
#: Does what an ``import`` does, and no more: the dialects are loaded by their names.
PURE_IMPORTS = {"importlib.import_module"}
METHOD_CALL = re.compile(r"\.(\w+)\(")
IMPURE_CALLS = {"now", "utcnow", "today", "urandom"}
VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "base", "misc"}

MODULES = sorted(path for path in ROOT.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name: str) -> str | None:
    """The room of a module of ours; None for the package itself and for foreign modules."""
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 and parts[1] in (*FLOOR_OF, GUEST) else None


@cache
def source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def imported(path: Path) -> frozenset[str]:
    return frozenset(imported_names(source(path)))


def called_methods(path: Path) -> set[str]:
    return set(METHOD_CALL.findall(source(path)))


def of_the_world(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in IMPURE_MODULES


def may_look(room: str, into: str) -> bool:
    if room in (GUEST, into):
        return True
    if into == GUEST or FLOOR_OF[into] > FLOOR_OF[room]:
        return False
    return not any({room, into} == pair for pair in STRANGERS)


def test_every_room_has_its_floor() -> None:
    rooms = {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if not path.name.startswith("__")}
    code = {room for room in rooms if (ROOT / room).is_dir() or (ROOT / f"{room}.py").is_file()}
    assert code == {*FLOOR_OF, GUEST}


def test_arrows_point_downwards() -> None:
    wrong = []
    for path in MODULES:
        room = room_of(module_name(path))
        looked_into = {found for name in imported(path) if (found := room_of(name))}
        wrong += [(module_name(path), into) for into in looked_into if room is None or not may_look(room, into)]
    assert sorted(wrong) == []


def test_no_two_rooms_look_into_each_other() -> None:
    arrows: dict[str, set[str]] = {room: set() for room in FLOOR_OF}
    for path in MODULES:
        room = room_of(module_name(path))
        if room is not None and room != GUEST:
            arrows[room] |= {into for name in imported(path) if (into := room_of(name)) and into != room}
    done: set[str] = set()
    while ready := {room for room, into in arrows.items() if room not in done and into <= done}:
        done |= ready
    assert set(arrows) - done == set(), "these rooms form a ring"


def district_of(name: str) -> str | None:
    """The district, or the module beside the districts, within a room that has some."""
    parts = name.split(".")
    if len(parts) < 3 or parts[0] != PACKAGE or parts[1] not in DISTRICTS:
        return None
    return ".".join(parts[1:3])


@pytest.mark.parametrize("room", DISTRICTS)
def test_every_district_has_its_floor(room: str) -> None:
    inside = {path.stem for path in (ROOT / room).iterdir() if not path.name.startswith("__")}
    assert inside == {name.partition(".")[2] for name in DISTRICT_FLOOR_OF if name.startswith(f"{room}.")}


def test_arrows_point_downwards_within_a_room() -> None:
    wrong = []
    for path in MODULES:
        if own := district_of(module_name(path)):
            into = {found for one in imported(path) if (found := district_of(one)) and found != own}
            higher = [one for one in into if DISTRICT_FLOOR_OF.get(one, 99) >= DISTRICT_FLOOR_OF[own]]
            wrong += [(module_name(path), one) for one in higher]
    assert sorted(wrong) == []


def test_no_modules_import_each_other() -> None:
    """No circle of imports anywhere, those for annotations included."""
    names = {module_name(path) for path in MODULES}
    arrows: dict[str, set[str]] = {}
    for path in MODULES:
        name = module_name(path)
        found = {one if one in names else one.rpartition(".")[0] for one in imported(path)}
        arrows[name] = {one for one in found if one in names and one != name}
    done: set[str] = set()
    while ready := {name for name, into in arrows.items() if name not in done and into <= done}:
        done |= ready
    assert set(arrows) - done == set(), "these modules form a ring, or look into one"


def test_pure_rooms_know_no_world() -> None:
    pure = [path for path in MODULES if room_of(module_name(path)) in PURE]
    wrong = [(module_name(path), name) for path in pure for name in imported(path) - PURE_IMPORTS if of_the_world(name)]
    wrong += [(module_name(path), name) for path in pure for name in called_methods(path) & IMPURE_CALLS]
    assert sorted(wrong) == []


def test_no_module_has_a_vague_name() -> None:
    assert [module_name(path) for path in MODULES if path.stem in VAGUE] == []


@pytest.mark.slow  # it parses all modules
def test_what_is_read_of_imports_is_what_python_parses() -> None:
    differing = [
        module_name(path)
        for path in MODULES
        if imported(path) != set(imports(statements(ast.parse(source(path), str(path)))))
    ]
    assert differing == []


@pytest.mark.network
def test_no_import_touches_the_reactor() -> None:
    names = [name for path in MODULES if not (name := module_name(path)).endswith("__main__")]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'twisted.internet.reactor' not in sys.modules, name\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=False, cwd=ROOT.parent
    )
    assert done.returncode == 0, done.stderr
