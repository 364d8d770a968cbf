"""Balancers of all sorts for the doctor to look at, in front of companions or of plain applications."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lbcompanion import balancer_config
from lbcompanion.balancer_config.pool import Member, Pool
from lbcompanion.demo import haproxy
from lbcompanion.demo.backends import Backend
from lbcompanion.demo.processes import companion_command
from tests.support import builtin_balancer
from tests.support.balancer_programs import RUNS
from tests.support.programs import need_program

#: ``command(folder, port, ports of the nodes)``.
RunBalancer = Callable[[Path, int, Mapping[str, int]], Sequence[str]]

_ROOT = Path(__file__).resolve().parents[2]


def haproxy_with(mode: str = "insert", change: Callable[[str], str] = str) -> RunBalancer:
    """HAProxy, its configuration changed a little."""

    def command(folder: Path, port: int, nodes: Mapping[str, int]) -> Sequence[str]:
        backends = [Backend(name, f"127.0.0.1:{at}") for name, at in nodes.items()]
        return _run("haproxy", folder, change(haproxy.configuration(port, backends, "SRV", mode)))

    return command


def without_cookie(text: str) -> str:
    lines = [line.partition(" cookie ")[0] for line in text.splitlines() if not line.startswith("    cookie ")]
    return "\n".join(lines) + "\n"


def with_rules(*rules: str) -> Callable[[str], str]:
    """Add rules to HAProxy's frontend."""

    def change(text: str) -> str:
        lines = "".join(f"    {rule}\n" for rule in rules)
        return text.replace("    default_backend nodes\n", f"{lines}    default_backend nodes\n")

    return change


def by_source(text: str) -> str:
    return without_cookie(text).replace("balance roundrobin", "balance source")


def two_tiers(folder: Path, port: int, nodes: Mapping[str, int]) -> Sequence[str]:
    """Two HAProxys behind a third one, each with a cookie of its own; one of them has one node only."""
    names = list(nodes)
    groups = {"a": names[:1], "b": names[1:]}
    lines = ["global", "    maxconn 512", "defaults", "    mode http"]
    lines += [f"    timeout {what} 20s" for what in ("connect", "client", "server")]
    lines += ["frontend visitors", f"    bind 127.0.0.1:{port}", "    default_backend tier"]
    lines += ["backend tier", "    balance roundrobin", "    cookie TIER insert indirect"]
    lines += [f"    server {group} abns@lbc-doctor-{port}-{group} cookie {group}" for group in groups]
    for group, members in groups.items():
        lines += [f"frontend in_{group}", f"    bind abns@lbc-doctor-{port}-{group}", f"    default_backend {group}"]
        lines += [f"backend {group}", "    balance roundrobin", "    cookie SRV insert"]
        lines += [f"    server {name} 127.0.0.1:{nodes[name]} cookie {name}" for name in members]
    return _run("haproxy", folder, "\n".join(lines) + "\n")


def printed(product: str) -> RunBalancer:
    """The output of ``lbcompanion balancer-config``."""

    def command(folder: Path, port: int, nodes: Mapping[str, int]) -> Sequence[str]:
        members = tuple(Member(name, "127.0.0.1", at) for name, at in nodes.items())
        return _run(product, folder, balancer_config.configuration(product, Pool(members, "", "127.0.0.1", port)))

    return command


def nginx_hash(cookie: str, more: str = "") -> RunBalancer:
    """nginx, ``hash $cookie_...``."""

    def command(folder: Path, port: int, nodes: Mapping[str, int]) -> Sequence[str]:
        servers = "".join(f"server 127.0.0.1:{at};" for at in nodes.values())
        text = (
            "events {}\nhttp {\n"
            f"proxy_cache_path {folder}/cache keys_zone=pages:1m;\n"
            f"upstream nodes {{ hash $cookie_{cookie} consistent; {servers} }}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://nodes;"
            f" proxy_set_header Host $http_host; {more} }} }}\n}}\n"
        )
        return _run("nginx", folder, text)

    return command


def builtin(folder: Path, port: int, nodes: Mapping[str, int]) -> Sequence[str]:
    """The demo's own."""
    return [sys.executable, "-m", builtin_balancer.__name__, str(port), *(f"{name}={at}" for name, at in nodes.items())]


def _run(product: str, folder: Path, text: str) -> Sequence[str]:
    need_program({"apache": "apache2"}.get(product, product))
    file = folder / f"{product}.{'yaml' if product == 'envoy' else 'conf'}"
    file.write_text(text)
    return RUNS[product](file, folder)


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command = companion_command("doctor", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90, cwd=_ROOT, env=environment)
