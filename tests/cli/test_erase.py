"""``erase``: its options, its output, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lbcompanion.cli import main
from lbcompanion.crawler import erase_command
from lbcompanion.errors import CompanionError
from tests.support.cli import init, run

DONE = {"dry_run": False, "recordings": 1, "archived": 1, "losses": 0, "routes": 0, "records": 2}
DONE |= {"files": 1, "files_waiting": 0}


@pytest.fixture(name="orders")
def _orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    assert init(tmp_path, nodes="n1").exit_code == 0
    orders: list[dict[str, Any]] = []

    def erase(_settings: object, given: dict[str, Any], **more: Any) -> dict[str, Any]:
        orders.append({**given, **{name: value for name, value in more.items() if value}})
        return {**DONE, "bytes": 9, "waiting": len(given.get("token", ())) - 1 if "token" in given else 0}

    monkeypatch.setattr(erase_command, "erase", erase)
    return orders


def test_criteria_are_passed_on(tmp_path: Path, orders: list[dict[str, Any]]) -> None:
    (tmp_path / "old.secret").write_bytes(b"old\n")
    (tmp_path / "visitors").write_text("bob\n\ncarol\n")
    arguments = ["erase", "--config", tmp_path / "crawler.toml", "--url", "http://a/", "--before", "2026-11-23"]
    arguments += ["--visitor", "-", "--visitor-file", tmp_path / "visitors", "--old-secret", tmp_path / "old.secret"]
    done = CliRunner().invoke(main, [str(each) for each in (*arguments, "--dry-run", "--json")], input="alice\n")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["recordings"] == 1
    assert orders == [
        {
            "url": ["http://a/"],
            "visitor": ["alice", "bob", "carol"],
            "before": "2026-11-23",
            "old_secrets": (b"old",),
            "dry_run": True,
        }
    ]


def test_the_result_is_a_sentence(tmp_path: Path, orders: list[dict[str, Any]]) -> None:
    done = run("erase", "--config", tmp_path / "crawler.toml", "--token", "t1")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "erased 1 recording: 2 records in 1 archive files, 0 losses, 0 routes\n"
    assert orders == [{"token": ["t1"]}]


def test_records_that_wait_are_exit_1(tmp_path: Path, orders: list[dict[str, Any]]) -> None:
    done = run("erase", "--config", tmp_path / "crawler.toml", "--token", "t1", "--token", "t2")
    assert done.exit_code == 1
    assert "the records of 1 recordings, and 0 old files, could not be removed" in done.stderr
    assert len(orders) == 1


@pytest.mark.parametrize("arguments", [(), ("--visitor", "-")])
def test_without_a_criterion_it_is_exit_2(
    tmp_path: Path, orders: list[dict[str, Any]], arguments: tuple[str, ...]
) -> None:
    assert run("erase", "--config", tmp_path / "crawler.toml", *arguments).exit_code == 2
    assert orders == []


def test_a_failure_is_exit_1(tmp_path: Path, orders: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise CompanionError("it failed")

    monkeypatch.setattr(erase_command, "erase", fail)
    done = run("erase", "--config", tmp_path / "crawler.toml", "--token", "t1")
    assert (done.exit_code, done.stderr) == (1, "lbcompanion: it failed\n")


def test_files_that_are_not_searched_are_exit_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert init(tmp_path, nodes="n1").exit_code == 0
    results = [
        {**DONE, "bytes": 9, "waiting": 0, "files_unsearched": 2},
        {"dry_run": True, "recordings": 0, "archived": 0, "file_records": 3},
    ]
    monkeypatch.setattr(erase_command, "erase", lambda *_of, **_more: results.pop(0))
    done = run("erase", "--config", tmp_path / "crawler.toml", "--url", "http://a/x.css")
    assert done.exit_code == 1
    assert "2 archive files are not searched" in done.stderr
    done = run("erase", "--config", tmp_path / "crawler.toml", "--url", "http://a/x.css", "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "3 records of files of other pages" in done.stdout
