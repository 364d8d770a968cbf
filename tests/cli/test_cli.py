"""The group of commands: help, usage, and how errors become lines and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion import __version__
from lbcompanion.cli import main
from tests.support.cli import ORIGIN, init, run

COMMANDS = sorted(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage:")


def test_the_version_is_reported() -> None:
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize("arguments", [("nothing",), ("node",), ("explain",), ("demo", "--nodes", "x"), ("--no",)])
def test_bad_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.fixture(name="bad")
def _bad(tmp_path: Path) -> Path:
    assert init(tmp_path).exit_code == 0
    for name in ("n1.toml", "crawler.toml"):
        text = (tmp_path / name).read_text().replace("state_dir", "state_dri").replace("dialect = ", "dialect = 5 #")
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "name"),
    [("node", "n1.toml"), ("crawler", "crawler.toml"), ("check-config", "n1.toml"), ("check-config", "crawler.toml")],
)
def test_a_bad_configuration_exits_2_and_is_reported_in_full(bad: Path, command: str, name: str) -> None:
    done = run(command, *([] if command == "check-config" else ["--config"]), bad / name)
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    for line, key, value, right in zip(
        lines, ("state_dri", "dialect"), ("no known key", "5"), ("did you mean state_dir?", '"auto"'), strict=True
    ):
        assert line.startswith(f"lbcompanion: {bad / name}: ")
        assert f"{key} is {value}; allowed: {right}" in line


@pytest.mark.parametrize("command", ["node", "crawler", "fetch"])
def test_a_missing_configuration_is_exit_2(tmp_path: Path, command: str) -> None:
    more = [f"{ORIGIN}/"] if command == "fetch" else []
    done = run(command, *more, "--config", tmp_path / "none.toml")
    assert done.exit_code == 2
    assert "none.toml is not readable" in done.stderr
