"""HAProxy itself finds its configuration good."""

from __future__ import annotations

import subprocess

import pytest

from lbcompanion.demo import haproxy
from lbcompanion.demo.backends import Backend
from lbcompanion.demo.balancer_program import find_program
from tests.support.programs import need_program

pytestmark = pytest.mark.programs

BACKENDS = [Backend("n1", "127.0.0.1:8001", "127.0.0.1:9001"), Backend("n2", "127.0.0.1:8002")]


@pytest.mark.parametrize("mode", [haproxy.INSERT, haproxy.INSERT_HIDDEN])
def test_haproxy_accepts_it(mode, tmp_path):
    need_program("haproxy")
    file = tmp_path / "haproxy.cfg"
    file.write_text(haproxy.configuration(8000, BACKENDS, "SRV", mode))
    program = find_program("haproxy")
    assert program is not None
    checked = subprocess.run([program, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_a_backend_is_checked_where_it_can_be():
    lines = haproxy.configuration(8000, BACKENDS).splitlines()
    assert "    server n1 127.0.0.1:8001 cookie n1 check port 9001" in lines
    assert "    server n2 127.0.0.1:8002 cookie n2" in lines


def test_it_stays_in_the_foreground(tmp_path):
    assert haproxy.command("haproxy", tmp_path)[:2] == ["haproxy", "-db"]
