"""Our models of balancers are right: random walks through the real ones and the models agree on every choice that a
model claims to know, on the cookies handed out, and on those that the node gets to see.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from lbcompanion import balancer_config
from lbcompanion.balancer_config.pool import Member, Pool
from lbcompanion.demo.ports import ReservedPorts
from lbcompanion.testing import balancer_products
from lbcompanion.testing.balancer_models import BalancerModel
from tests.support import echo_node
from tests.support.balancer_programs import RUNS
from tests.support.children import Children, wait_for
from tests.support.programs import need_program
from tests.support.random_walk import RandomWalk, ask, moved_off

NODES = ("n1", "n2", "n3")
#: Always the same walk, but for those who came for long (``make fuzz``).
BY_CHANCE = not settings().derandomize
STEPS = 5000 if BY_CHANCE else 450
SHORT = 300


@pytest.fixture
def rng() -> random.Random:
    seed = int.from_bytes(os.urandom(4)) if BY_CHANCE else 20261123
    print(f"the walk's seed: {seed}")
    return random.Random(seed)


class OracleFarm:
    """Three nodes, each a process, and ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = ReservedPorts()
        self.children = Children(folder)
        self.nodes = {name: self.ports.take() for name in NODES}
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in self.nodes.items()}
        for name, port in self.nodes.items():
            self.children.module(name, echo_node.__name__, f"{name}={port}")
        for port in self.nodes.values():
            wait_for("a node", lambda port=port: _answers(port))  # type: ignore[misc]

    def printed(self, product: str) -> int:
        """Run what ``balancer-config`` prints; the port."""
        need_program({"apache": "apache2"}.get(product, product))
        port = self.ports.take()
        members = tuple(Member(name, "127.0.0.1", at) for name, at in self.nodes.items())
        file = self.folder / f"{product}.{'yaml' if product == 'envoy' else 'conf'}"
        file.write_text(balancer_config.configuration(product, Pool(members, "", "127.0.0.1", port)))
        self.run(product, file, port)
        return port

    def run(self, product: str, file: Path, port: int) -> None:
        child = self.children.start(product, RUNS[product](file, self.folder))
        wait_for(product, lambda: _answers(port), 60, child)

    def stop(self) -> None:
        self.children.kill()
        self.ports.release()


def _answers(port: int) -> bool:
    with suppress(OSError, ValueError, IndexError):
        return ask(port).status == 200
    return False


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[OracleFarm]:
    made = OracleFarm(tmp_path)
    try:
        yield made
    finally:
        made.stop()


_HAPROXY = """global
    nbthread 1
    stats socket ipv4@127.0.0.1:{stats} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
"""


class Haproxy:
    """One HAProxy with a farm for each mode; nodes are turned through its runtime API, at once."""

    def __init__(self, farm: OracleFarm, modes: Mapping[str, tuple[str, ...]]) -> None:
        need_program("haproxy")
        self.stats = farm.ports.take()
        self.ports = {mode: farm.ports.take() for mode in modes}
        text = _HAPROXY.format(stats=self.stats)
        for mode, lines in modes.items():
            text += f"listen {mode}\n    bind 127.0.0.1:{self.ports[mode]}\n    balance roundrobin\n"
            text += "".join(f"    {line}\n" for line in lines)
            for name, at in farm.nodes.items():
                text += f"    server {name} 127.0.0.1:{at} cookie {name}\n"
        file = farm.folder / "haproxy.cfg"
        file.write_text(text)
        farm.run("haproxy", file, next(iter(self.ports.values())))

    def turn(self, mode: str, node: str, state: str) -> None:
        with socket.create_connection(("127.0.0.1", self.stats), timeout=60) as line:
            line.sendall(f"set server {mode}/{node} state {state}\n".encode())
            said = b""
            while got := line.recv(4096):
                said += got
        assert not said.strip(), said


MODES: Mapping[str, tuple[tuple[str, ...], str, BalancerModel]] = {
    "insert": (("cookie SRV insert",), "SRV", balancer_products.haproxy_insert()),
    "indirect": (("cookie SRV insert indirect",), "SRV", balancer_products.haproxy_insert(indirect=True)),
    "prefix": (("cookie sess prefix",), "sess", balancer_products.haproxy_prefix()),
    "rewrite": (("cookie SRV rewrite",), "SRV", balancer_products.haproxy_rewrite()),
    "table": (
        (
            "stick-table type string len 64 size 10k expire 1h",
            "stick on req.cook(sess)",
            "stick store-response res.cook(sess)",
        ),
        "sess",
        balancer_products.haproxy_table(),
    ),
}


def test_haproxy(farm: OracleFarm, rng: random.Random) -> None:
    haproxy = Haproxy(farm, {mode: lines for mode, (lines, _, _) in MODES.items()})
    steps = 0
    for mode, (_, name, model) in MODES.items():
        random_walk = RandomWalk(haproxy.ports[mode], model, name, NODES, rng, turned=NODES)
        random_walk.turn = lambda node, state, mode=mode: haproxy.turn(mode, node, state)  # type: ignore[misc]
        random_walk.sets = mode not in ("insert", "indirect") or rng.random() < 0.5
        random_walk.steps(STEPS)
        _covered_enough(random_walk)
        steps += random_walk.counted.total()
    assert steps >= 2000


def _covered_enough(random_walk: RandomWalk) -> None:
    """Each way in which a request may end occurred."""
    ends = {kind.rpartition(", ")[2] for kind in random_walk.counted}
    assert {"by_cookie", "free"} <= ends, random_walk.counted


def test_two_tiers_of_haproxy(farm: OracleFarm, rng: random.Random) -> None:
    need_program("haproxy")
    groups = {"east": ("n1", "n2"), "west": ("n3",)}
    outer, stats = farm.ports.take(), farm.ports.take()
    inner = {group: farm.ports.take() for group in groups}
    text = _HAPROXY.format(stats=stats)
    text += f"listen outer\n    bind 127.0.0.1:{outer}\n    cookie DC insert\n"
    text += "".join(f"    server {group} 127.0.0.1:{at} cookie {group}\n" for group, at in inner.items())
    for group, nodes in groups.items():
        text += f"listen {group}\n    bind 127.0.0.1:{inner[group]}\n    cookie SRV insert\n"
        text += "".join(f"    server {node} 127.0.0.1:{farm.nodes[node]} cookie {node}\n" for node in nodes)
    file = farm.folder / "haproxy.cfg"
    file.write_text(text)
    farm.run("haproxy", file, outer)
    random_walk = RandomWalk(outer, balancer_products.haproxy_tiers(groups), "SRV", NODES, rng)
    random_walk.steps(SHORT)
    _covered_enough(random_walk)


@pytest.mark.parametrize("product", ["apache", "caddy", "envoy"])
def test_others(product: str, farm: OracleFarm, rng: random.Random) -> None:
    port = farm.printed(product)
    name, model = {
        "apache": ("ROUTEID", balancer_products.apache_route()),
        "caddy": ("lb", balancer_products.caddy(farm.addresses)),
        "envoy": ("SERVERID", balancer_products.envoy(farm.addresses, "SERVERID")),
    }[product]
    random_walk = RandomWalk(port, model, name, NODES, rng)
    # Health checks may have to be waited for: Envoy takes no node for being up before its first one.
    wait_for("all nodes", lambda: {ask(port).node for _ in range(12)} == set(NODES))
    random_walk.steps(SHORT)
    _covered_enough(random_walk)
    farm.children["n2"].kill()
    random_walk.states["n2"] = "maint"
    time.sleep(2.5)
    wait_for("n2 being taken for down", lambda: moved_off(random_walk, "n2"))
    random_walk.steps(SHORT // 3)
