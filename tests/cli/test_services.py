"""``node``, ``crawler`` and ``drain``: tests/run/test_foreground.py runs them; here is what ends before they run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import init, run


@pytest.mark.network
def test_drain_where_nothing_runs_is_exit_1(tmp_path: Path) -> None:
    assert init(tmp_path, nodes="n1").exit_code == 0
    done = run("drain", "--config", tmp_path / "n1.toml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("lbcompanion: ")


@pytest.mark.network
@pytest.mark.parametrize("command", ["node", "crawler", "drain"])
def test_help_imports_neither_a_reactor_nor_what_only_others_need(command: str) -> None:
    code = (
        "import sys\nfrom lbcompanion.cli import main\nmain(sys.argv[1:], standalone_mode=False)\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('lbcompanion.' + 'node')]\n"
        "assert 'rich' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
