"""Each configuration is one that its balancer itself finds good, without a warning."""

from __future__ import annotations

import re
import subprocess

import pytest

from lbcompanion import balancer_config
from lbcompanion.balancer_config.pool import pool_of
from tests.support.balancer_programs import CHECKS
from tests.support.configured_nodes import node

pytestmark = pytest.mark.programs


CLOSE = [node(f"n{at}", f"tcp:808{at}:interface=127.0.0.1", f"tcp:910{at}:interface=127.0.0.1") for at in (1, 2, 3)]
FAR = [node(f"n{at}", f"tcp:8080:interface=10.0.0.{at}", f"tcp:9101:interface=10.9.0.{at}") for at in (1, 2, 3)]
#: Admin listeners out of reach; names that a balancer could take for words of its own; one alone; IPv6.
HIDDEN = [node(name, f"tcp:8080:interface=10.0.0.{at}") for at, name in enumerate(("default", "hostnames", "N-1_x"), 1)]
ALONE = [node("n1", r"tcp6:8080:interface=2001\:db8\:\:1", r"tcp6:9101:interface=2001\:db8\:\:1", cookies=("MINE",))]
FARMS = {"close": CLOSE, "far": FAR, "hidden": HIDDEN, "alone": ALONE}


def made(product, nodes, listen=("127.0.0.1", 8500)):
    return balancer_config.configuration(product, pool_of([("", one) for one in nodes], listen))


@pytest.mark.parametrize("farm", FARMS)
@pytest.mark.parametrize("product", balancer_config.PRODUCTS)
def test_the_balancer_accepts_it(product, farm, tmp_path):
    file = tmp_path / f"balancer.{'yaml' if product == 'envoy' else 'conf'}"
    file.write_text(made(product, FARMS[farm], ("", 8500) if farm == "far" else ("127.0.0.1", 8500)))
    command = CHECKS[product](file, tmp_path)
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, said
    assert [line for line in said.splitlines() if "warn" in line.lower() and "deprecat" not in line] == [], said


@pytest.mark.parametrize("product", balancer_config.PRODUCTS)
def test_the_configured_cookie_is_used_and_reported(product):
    text = made(product, ALONE)
    assert '#     cookies = ["MINE"]' in text
    assert balancer_config.PRODUCTS[product].COOKIE not in text.replace("$lbc", "").split("MINE", 1)[1].split()


@pytest.mark.parametrize("product", ["haproxy", "envoy"])
def test_ready_is_asked_at_the_admin_listener(product):
    text = made(product, FAR)
    assert "/readyz" in text
    assert "10.9.0.1" in text
    assert text.count("10.9.0.") == 3
    assert "9101" in text
    assert re.search(r"[Hh]ost:? localhost\b", text)  # others than nodes' names and addresses get 421
