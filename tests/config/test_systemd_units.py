"""The systemd units of ``init``, judged by systemd itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lbcompanion.config.systemd_units import CRAWLER_UNIT, NODE_UNIT, crawler_commands, node_commands, units
from tests.support.programs import need_program


def test_only_low_ports_get_the_capability_for_them() -> None:
    plain, low = units("/opt/bin/lbcompanion", [8080], 9200), units("/opt/bin/lbcompanion", [80], 9200)
    assert "CapabilityBoundingSet=\n" in plain[NODE_UNIT]
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in low[NODE_UNIT]
    assert "PrivateUsers=no\n" in low[NODE_UNIT]
    assert low[CRAWLER_UNIT] == plain[CRAWLER_UNIT]


def test_commands_install_the_files_of_one_node_only() -> None:
    commands = node_commands("farm", "n1")
    assert "farm/n1.toml farm/farm.secret /etc/lbcompanion/" in commands[2]
    assert "crawler" not in " ".join(commands)
    assert commands[-1] == "systemctl daemon-reload && systemctl enable --now lbcompanion-node@n1"


def test_commands_install_the_crawler() -> None:
    commands = crawler_commands("farm")
    assert "farm/crawler.toml farm/farm.secret /etc/lbcompanion/" in commands[2]
    assert f"farm/{CRAWLER_UNIT} " in commands[3]
    assert commands[-1] == "systemctl daemon-reload && systemctl enable --now lbcompanion-crawler"


@pytest.mark.programs
@pytest.mark.slow
@pytest.mark.parametrize("port", [8080, 80])
def test_systemd_finds_them_right_and_little_exposed(tmp_path: Path, port: int) -> None:
    analyze = need_program("systemd-analyze")
    program = tmp_path / "lbcompanion"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name, text in units(str(program), [port], 9200).items():
        file = tmp_path / name.replace("@.", "@n1.")
        file.write_text(text)
        checked = subprocess.run([analyze, "verify", file], capture_output=True, text=True, timeout=60, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
        judged = subprocess.run(
            [analyze, "security", "--offline=true", file], capture_output=True, text=True, timeout=60, check=True
        )
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", judged.stdout)
        assert exposure is not None
        assert float(exposure[1]) < 2.0
