"""The frame of the examples: what it says and leaves behind where an example does not work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.example_farm import EXAMPLES


def test_without_the_packages_it_says_how_to_install_them(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "python3").write_text("#!/bin/sh\necho 'ModuleNotFoundError: attrs' >&2; exit 1\n")
    (tmp_path / "python3").chmod(0o755)
    script = tmp_path / "examples" / "run-farm"
    script.write_text((EXAMPLES / "run-farm").read_text())
    run = subprocess.run(
        ["sh", str(script), str(EXAMPLES / "java")],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "make .venv/.ready" in run.stderr
    assert "ModuleNotFoundError" not in run.stderr


@pytest.mark.parametrize(
    ("scripts", "said"),
    [
        ({"prepare": "echo no disk >&2; exit 3"}, ("prepare failed", "no disk")),
        ({"application": "echo no port >&2; exit 1"}, ("application-n1 ended", "no port")),
    ],
)
def test_a_program_that_fails_ends_the_example_with_the_end_of_its_log(tmp_path: Path, scripts, said):
    example, temporary = tmp_path / "broken", tmp_path / "temporary"
    example.mkdir()
    temporary.mkdir()
    (example / "sticky.toml").write_text("")
    for name, text in scripts.items():
        (example / name).write_text(text)
    run = subprocess.run(
        ["sh", str(EXAMPLES / "run-farm"), str(example)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert all(text in run.stderr for text in said), run.stderr
    assert list(temporary.iterdir()) == []
