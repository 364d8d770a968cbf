"""Commands, run in this process."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from lbcompanion.cli import main

ORIGIN = "https://www.example.com"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def init(folder: Path, nodes: str = "n1,n2", origin: str = ORIGIN) -> Result:
    return run("init", folder, "--nodes", nodes, "--origin", origin)
