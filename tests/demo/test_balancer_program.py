from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.demo import balancer_program
from lbcompanion.demo.balancer_program import find_program


def test_a_program_outside_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(balancer_program, "_FOLDERS", (str(tmp_path / "none"), str(tmp_path / "sbin")))
    assert find_program("balancer") is None
    (tmp_path / "sbin").mkdir()
    program = tmp_path / "sbin" / "balancer"
    program.touch(0o755)
    assert find_program("balancer") == str(program)
