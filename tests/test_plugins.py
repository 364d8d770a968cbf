"""Dialects from outside: the example of the manual works, and what cannot work stops the start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbcompanion import plugins
from lbcompanion.errors import ConfigError
from lbcompanion.settings import StickyTable
from lbcompanion.sticky import dialects
from lbcompanion.sticky.dialects.haproxy_insert import HaproxyInsert
from lbcompanion.sticky.explain import explain
from lbcompanion.sticky.reader import CookieReader

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "dialect"

#: As a module outside would have them.
TWICE = dialects.by_name("envoy")
MINE = HaproxyInsert(
    name="mine", cookie_names=("MINE",), separator="|", keeps_separator=False, form=r"[a-z0-9]+", samples=()
)
HALF = object()


@pytest.fixture(autouse=True)
def _in_tree_only() -> Iterator[None]:
    yield
    dialects.use_plugin_dialects(())


@pytest.fixture(name="example")
def _example(tmp_path: Path) -> Path:
    """A copy: Twisted and Hypothesis write caches beside what they find."""
    return shutil.copytree(EXAMPLE, tmp_path / "example")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(one) for one in (folder, ROOT))
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
    )


def plugin(name: str) -> plugins.DialectPlugin:
    return plugins.DialectPlugin(f"{__name__}.{name}")


def test_a_dialect_from_outside_is_one_like_the_others() -> None:
    assert plugins.load_dialects([plugin("MINE")]) == (MINE,)
    assert dialects.by_name("mine") is MINE
    assert "mine" in dialects.known_names()
    assert [cookie.value for cookie in CookieReader(StickyTable("mine")).read({"MINE": "n1|Z3SFg"})] == ["n1"]
    assert [cookie.value for cookie in CookieReader(StickyTable()).read({"MINE": "n1|Z3SFg"})] == ["n1"]
    assert explain("MINE=n1")[0].dialect == "mine"
    assert "MINE" in CookieReader(StickyTable()).names_for_script()


def test_without_plugins_there_are_those_in_the_tree() -> None:
    plugins.load_dialects([plugin("MINE")])
    assert plugins.load_dialects([]) == ()
    assert dialects.known() == dialects.ALL
    assert dialects.known_names() == dialects.NAMES


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("TWICE",), "two dialects are named envoy"),
        (("HALF",), "no dialect"),
        (("MISSING",), "not loadable"),
        (("MINE", "HALF"), "no dialect"),
    ],
)
def test_what_cannot_be_used_stops_the_start(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        plugins.load_dialects([plugin(name) for name in names])
    assert "twisted/plugins" in str(caught.value)
    assert dialects.known() == dialects.ALL


@pytest.mark.network
def test_the_example_of_the_manual_is_found(example: Path) -> None:
    done = run(example, "-m", "lbcompanion.cli", "explain", "ACME_NODE=v1-web1-8f2c9a", "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)["findings"][0]
    assert (first["dialect"], first["node"], first["replay"]) == ("acme", "web1", "v1-web1-")


@pytest.mark.network
def test_the_example_of_the_manual_keeps_the_contract(example: Path) -> None:
    done = run(example, "-m", "unittest", "-q", "test_acme")
    assert done.returncode == 0, done.stderr


@pytest.mark.network
@pytest.mark.parametrize("command", [("-m", "lbcompanion.cli", "explain", "--list"), ("-m", "twisted", "lbcompanion")])
def test_a_name_that_is_taken_is_exit_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = tmp_path / "twisted" / "plugins"
    folder.mkdir(parents=True)
    (tmp_path / "other.py").write_text("from lbcompanion.sticky.dialects.caddy import DIALECT\n")
    (folder / "other_plugin.py").write_text(
        'from lbcompanion.plugins import DialectPlugin\n\nother = DialectPlugin("other.DIALECT")\n'
    )
    more = () if "explain" in command else ("--config", "none.toml")
    done = run(tmp_path, *command, *more)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "two dialects are named caddy" in done.stderr
