"""``fetch``: its bad arguments; what it prints is checked with a farm, in ``tests/e2e``."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import init, run


def test_fetch_needs_a_token_and_a_crawlers_configuration(tmp_path: Path) -> None:
    assert init(tmp_path).exit_code == 0
    assert run("fetch").exit_code == 2
    done = run("fetch", "A" * 22 + "n1", "--config", tmp_path / "n1.toml")
    assert done.exit_code == 2
    assert "n1.toml" in done.stderr
