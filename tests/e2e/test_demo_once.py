"""The whole journey as a user runs it: ``lbcompanion demo --once --json``, for each balancer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lbcompanion.demo.processes import companion_command
from tests.support.programs import need_program

pytestmark = pytest.mark.programs

VISITS = 12
SECONDS = 90


def demo(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = companion_command("demo", *options)
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)


@pytest.mark.parametrize("balancer", ["builtin", "haproxy", "haproxy-indirect"])
def test_every_page_is_archived_from_the_node_that_made_it(balancer, tmp_path):
    if balancer != "builtin":
        need_program("haproxy")
    ran = demo("--once", "--visits", str(VISITS), "--balancer", balancer, "--json", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = json.loads(ran.stdout)
    assert (said["balancer"], said["archived"], said["lost"]) == (balancer, VISITS, 0)
    assert len(said["visits"]) == VISITS
    assert all(one["ok"] and one["sha256"] == one["served_sha256"] for one in said["visits"])
    assert {one["origin_node"] for one in said["visits"]} == {"n1", "n2", "n3"}
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_table(tmp_path):
    ran = demo("--once", "--visits", "3", "--nodes", "2", "--balancer", "builtin", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 of 3" in ran.stdout


@pytest.mark.parametrize("options", [("--balancer", "none-such"), ("--nodes", "0"), ("--nodes", "21")])
def test_bad_usage_is_reported_and_exits_2(options, tmp_path):
    ran = demo("--once", *options, folder=tmp_path)
    assert ran.returncode == 2
    assert f"{options[0]} is {options[1]}; allowed: " in ran.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_of_it(how, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = companion_command("demo", "--nodes", "1", "--balancer", "builtin", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as running:
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        running.send_signal(how)
        assert running.wait(60) == 0
    assert first["ok"], first
    assert list(tmp_path.iterdir()) == []
    assert _gone(str(tmp_path))


def _gone(text: str) -> bool:
    """Whether no process has this text in its command line, within half a minute."""
    for _ in range(300):
        lines = [_command_line(one) for one in Path("/proc").glob("[0-9]*")]
        if not any(text.encode() in line for line in lines):
            return True
        time.sleep(0.1)
    return False


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
