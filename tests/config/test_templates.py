"""The files that ``lbcompanion init`` writes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lbcompanion.cli import main
from lbcompanion.config import read_crawler, read_node

ORIGIN = "https://www.example.com"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def init(folder: Path, nodes: str = "n1,n2", origin: str = ORIGIN) -> Result:
    return run("init", folder, "--nodes", nodes, "--origin", origin)


def test_init_writes_what_check_config_accepts(tmp_path: Path) -> None:
    assert init(tmp_path / "farm").exit_code == 0
    for name, kind in (("n1.toml", "node"), ("n2.toml", "node"), ("crawler.toml", "crawler")):
        done = run("check-config", tmp_path / "farm" / name, "--json")
        assert done.exit_code == 0
        assert json.loads(done.stdout) == {
            "file": str(tmp_path / "farm" / name),
            "ok": True,
            "kind": kind,
            "errors": [],
            "warnings": [],
        }
    node = read_node(tmp_path / "farm" / "n1.toml")
    crawler = read_crawler(tmp_path / "farm" / "crawler.toml")
    assert node.node.secret == crawler.crawler.secret
    assert node.node.public_origin == crawler.sites["main"].origin == ORIGIN
    assert set(crawler.sites["main"].nodes) == {"n1", "n2"}


def test_inits_secret_is_its_owners_only_and_new_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert init(tmp_path / name).exit_code == 0
        assert stat.S_IMODE((tmp_path / name / "farm.secret").stat().st_mode) == 0o600
    first, second = ((tmp_path / name / "farm.secret").read_text() for name in ("a", "b"))
    assert first != second
    assert len(first.strip()) >= 43


@pytest.mark.parametrize("name", ["farm.secret", "n2.toml", "crawler.toml"])
def test_init_writes_over_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    done = init(tmp_path)
    assert done.exit_code == 1
    assert name in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
