"""Every module of the package has a test file of its name at the mirrored place, and every test file mirrors a module.

``lbcompanion/http1/heads.py`` is tested by ``tests/http1/test_heads.py``, ``lbcompanion/config/__init__.py`` by
``tests/config/test_config.py``. One aspect of a module may have a file of its own: ``test_MODULE_ASPECT.py``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "lbcompanion"

#: Folders of tests that cross the package's folders.
FOLDERS = {
    "bench": "mirrors the folder bench",
    "e2e": "the whole farm, or a whole process in front of real programs",
    "fuzz": "mirrors the folder fuzz",
    "golden": "what can be seen from outside, whatever module makes it",
    "vtest": "conversations in VTest's language",
}
#: Test files that cross the package's modules.
FILES = {
    "crawler/test_cost.py": "what one message costs, whatever room handles it",
    "html/test_cases.py": "cases as data, through policy, injection and copy",
    "node/transports/test_early_response.py": "all transports to the application",
    "node/test_cost.py": "what one message costs, whatever room handles it",
    "sticky/dialects/test_formulas.py": "vectors of many dialects",
    "sticky/test_dialects_table.py": "the manual's table of dialects",
    "stores/test_outages.py": "all stores that have a server",
    "stores/test_sharing.py": "all stores that nodes can share",
    "test_arrows.py": "the whole package",
    "test_balancer_pages.py": "the manual's pages on balancers",
    "test_filenames.py": "the whole package",
    "test_docstrings.py": "the docstrings of all modules",
    "test_distribution_python.py": "all modules that read pages",
    "test_house.py": "the tests themselves",
    "test_install.py": "the wheel",
    "test_manual.py": "the manual",
    "test_manual_search.py": "the index of the manual",
    "test_manual_troubleshooting.py": "the manual's page of symptoms",
    "test_support.py": "helpers of the tests",
}
#: Families of modules that one suite tests; a member may have a file of its own besides.
FAMILIES = {
    "lbcompanion/sticky/dialects/*.py": "sticky/dialects/test_dialects.py runs the contract suite for each dialect",
}
#: Modules without a test file of their name, and why.
EXEMPT = {
    "lbcompanion/cli/__main__.py": "one call; test_plugins.py runs it",
    "lbcompanion/crawler/archive/errors.py": "classes only",
    "lbcompanion/crawler/access/roles.py": "an enumeration only",
    "lbcompanion/demo/run.py": "a whole demo: e2e/test_demo_once.py",
    "lbcompanion/demo/session.py": "a whole demo: e2e/test_demo_once.py",
    "lbcompanion/doctor/prober.py": "asks a real site: e2e/test_doctor.py",
    "lbcompanion/http1/coding_libraries.py": "imports only",
    "lbcompanion/node/proxy/context.py": "protocols and values",
    "lbcompanion/node/transports/twisted_transport.py": "real processes: node/transports/test_listening.py",
    "lbcompanion/run/crawler_tap.py": "run/test_tap.py runs each test with both plugins",
    "lbcompanion/run/worker.py": "a process of a node: node/processes/test_supervisor.py",
    "lbcompanion/settings.py": "values and their defaults: config/test_config.py, test_manual.py",
    "lbcompanion/stores/interface.py": "the interface; the contract suite tests it in each store",
    "lbcompanion/stores/redis_scripts.py": "scripts run in a real server: stores/test_redis.py",
    "lbcompanion/testing/application.py": "a part of the farm in memory: testing/test_farm.py",
    "lbcompanion/testing/balancer.py": "a part of the farm in memory: testing/test_farm.py",
    "lbcompanion/testing/balancer_products.py": "models of products, compared with the real ones by e2e/test_oracle.py",
    "lbcompanion/testing/strategies.py": "Hypothesis strategies, which other tests draw from",
    "lbcompanion/testing/clients.py": "a part of the farm in memory: testing/test_farm.py",
}


def holds_code(path: Path) -> bool:
    """Whether a module says more than a docstring, imports and names."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for one in body)


def modules_of(root: Path) -> list[str]:
    """The modules of the package; an ``__init__`` counts where it holds code."""
    found = sorted((root / PACKAGE).rglob("*.py"))
    return [path.relative_to(root).as_posix() for path in found if path.name != "__init__.py" or holds_code(path)]


def all_test_files(root: Path) -> list[str]:
    """The test files, from the tests' folder on."""
    return sorted(path.relative_to(root / "tests").as_posix() for path in (root / "tests").rglob("test_*.py"))


def place_of(module: str) -> str:
    """Where the tests of a module belong."""
    path = PurePosixPath(module).relative_to(PACKAGE)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return (path.parent / f"test_{name}.py").as_posix()


def without_tests(
    modules: Iterable[str], files: Iterable[str], exempt: Iterable[str], families: Iterable[str]
) -> set[str]:
    """The modules that have neither a test file of their name nor a reason."""
    there, families = set(files), list(families)
    return {
        module
        for module in set(modules) - set(exempt)
        if place_of(module) not in there and not any(fnmatchcase(module, family) for family in families)
    }


def stale(modules: Iterable[str], files: Iterable[str], exempt: Iterable[str], families: Iterable[str]) -> set[str]:
    """The exemptions whose module is gone, or has a test file by now."""
    modules, files = set(modules), set(files)
    gone = {module for module in exempt if module not in modules or place_of(module) in files}
    return gone | {family for family in families if not any(fnmatchcase(module, family) for module in modules)}


def mirrors_nothing(modules: Iterable[str], files: Iterable[str], folders: Iterable[str]) -> set[str]:
    """The test files that are named for no module of the mirrored place."""
    wanted = {place_of(module).removesuffix(".py") for module in modules}
    found = set()
    for file in files:
        words = file.removesuffix(".py").split("_")
        if file.split("/")[0] not in folders and not any(
            "_".join(words[:n]) in wanted for n in range(len(words), 1, -1)
        ):
            found.add(file)
    return found


def listed(names: Iterable[str]) -> str:
    return "\n" + "\n".join(sorted(names))


MODULES, TESTS = modules_of(ROOT), all_test_files(ROOT)


def test_every_module_has_a_test_file_of_its_name() -> None:
    found = without_tests(MODULES, TESTS, EXEMPT, FAMILIES)
    assert not found, "write these, or name a reason in EXEMPT:" + listed(f"tests/{place_of(one)}" for one in found)


def test_no_exemption_is_stale() -> None:
    found = stale(MODULES, TESTS, EXEMPT, FAMILIES)
    assert not found, "these need no exemption:" + listed(found)


def test_every_test_file_mirrors_a_module() -> None:
    found = mirrors_nothing(MODULES, TESTS, FOLDERS) - set(FILES)
    assert not found, "these are named for no module; see docs/testing.rst:" + listed(f"tests/{one}" for one in found)


def test_no_listed_place_is_stale() -> None:
    gone = {folder for folder in FOLDERS if not any(file.startswith(f"{folder}/") for file in TESTS)}
    assert not gone | (set(FILES) - mirrors_nothing(MODULES, TESTS, FOLDERS))


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("lbcompanion/checks.py", "test_checks.py"),
        ("lbcompanion/http1/field_lines.py", "http1/test_field_lines.py"),
        ("lbcompanion/config/__init__.py", "config/test_config.py"),
        ("lbcompanion/node/copies/peers.py", "node/copies/test_peers.py"),
    ],
)
def test_where_tests_belong(module: str, file: str) -> None:
    assert place_of(module) == file


def test_what_is_found() -> None:
    modules = ["lbcompanion/a/one.py", "lbcompanion/a/two.py", "lbcompanion/b/three.py"]
    files = ["a/test_one.py", "a/test_one_in_parts.py", "b/test_two.py", "e2e/test_all.py"]
    assert without_tests(modules, files, ["lbcompanion/a/two.py"], ["lbcompanion/b/*.py"]) == set()
    assert without_tests(modules, files, [], []) == {"lbcompanion/a/two.py", "lbcompanion/b/three.py"}
    assert mirrors_nothing(modules, files, ["e2e"]) == {"b/test_two.py"}
    assert stale(modules, files, ["lbcompanion/a/one.py", "lbcompanion/a/two.py"], []) == {"lbcompanion/a/one.py"}
    assert stale(modules, files, ["lbcompanion/gone.py"], ["lbcompanion/c/*.py"]) == {
        "lbcompanion/gone.py",
        "lbcompanion/c/*.py",
    }
