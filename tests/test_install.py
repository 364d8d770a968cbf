"""The wheel, installed in an environment of its own, has the command and both twistd plugins."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.house_map import imports, statements

pytestmark = [pytest.mark.network, pytest.mark.slow]

ROOT = Path(__file__).parent.parent
_BUILT = ("lbcompanion", "twisted", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("build")
    for name in _BUILT:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "dropin.cache")
            )
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, work / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", work / "out", ".", cwd=work)
    (made,) = (work / "out").iterdir()
    return made


@pytest.fixture(name="bin_folder", scope="module")
def _bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it depends on is borrowed from the running one, to be quick."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    run(
        sys.executable,
        *("-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", "--disable-pip-version-check"),
        wheel,
        cwd=home,
    )
    site = next((home / "lib").glob("python3*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    twistd = home / "bin" / "twistd"
    twistd.write_text(f"#!{python}\nfrom twisted.scripts.twistd import run\nrun()\n")
    twistd.chmod(0o755)
    return home / "bin"


def test_the_wheel_holds_what_it_should(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "twisted/plugins/lbcompanion_plugin.py" in names
    assert not names & {"twisted/__init__.py", "twisted/plugins/__init__.py"}
    assert not [name for name in names if name.startswith(("tests/", "docs/", "bench/")) or "__pycache__" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    code = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "lbcompanion").rglob("*")
        if path.suffix in (".py", ".js", ".html", ".css", ".svg", ".typed")
    }
    assert code - names == set()


def test_the_command_is_there(bin_folder: Path) -> None:
    said = run(bin_folder / "lbcompanion", "--help", cwd=bin_folder)
    for command in ("demo", "init", "check-config", "node", "crawler", "explain", "fetch"):
        assert re.search(rf"^  {command} ", said, re.MULTILINE), command
    where = run(bin_folder / "python", "-c", "import lbcompanion; print(lbcompanion.__file__)", cwd=bin_folder)
    assert where.startswith(str(bin_folder.parent))


def test_twistd_lists_both_plugins(bin_folder: Path) -> None:
    said = run(bin_folder / "twistd", "--help", cwd=bin_folder)
    assert re.search(r"^\s+lbcompanion\s", said, re.MULTILINE)
    assert re.search(r"^\s+lbcompanion-crawler\s", said, re.MULTILINE)
    for plugin in ("lbcompanion", "lbcompanion-crawler"):
        assert "--config" in run(bin_folder / "twistd", plugin, "--help", cwd=bin_folder)


#: Extras that users install, for what not everybody needs.
_EXTRAS = ("redis", "postgres", "mysql", "object-store")


def dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [needed for extra in _EXTRAS for needed in project["optional-dependencies"][extra]]
    return {re.split(r"[\[<>=!~; ]", needed)[0] for needed in [*project["dependencies"], *extras]}


def test_no_extra_is_imported_before_it_is_asked_for() -> None:
    extras = {"redis", "psycopg", "pymysql", "obstore"}
    tried = f"import sys, lbcompanion.node.service, lbcompanion.crawler.service; print(*{extras} & {{*sys.modules}})"
    assert run(sys.executable, "-c", tried, cwd=ROOT).strip() == ""


def test_every_dependency_is_explained() -> None:
    manual = (ROOT / "docs" / "dependencies.rst").read_text()
    assert {name for name in dependencies() if f"``{name}``" not in manual} == set()


def test_every_import_is_a_dependency() -> None:
    declared = {re.sub(r"[-_.]+", "-", name).lower() for name in dependencies()}
    providers = packages_distributions()
    imported = {
        name.split(".")[0]
        for path in (ROOT / "lbcompanion").rglob("*.py")
        if path.relative_to(ROOT).parts[1] != "testing"  # for those who write tests, with what tests need
        for name in imports(statements(ast.parse(path.read_text())))
    }
    # Python has ``compression`` of its own from 3.14 on.
    for name in imported - set(sys.stdlib_module_names) - {"lbcompanion", "compression"}:
        by = {re.sub(r"[-_.]+", "-", one).lower() for one in providers.get(name) or [name]}
        assert by & declared, f"{name} comes from {by}"
