"""The console lines of the manual do what it says, on a farm that its own ``init`` line set up."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import define

from lbcompanion.demo.ports import ReservedPorts
from tests.support.balancer_programs import RUNS
from tests.support.children import Children, wait_for
from tests.support.farm import listens
from tests.support.manual_console import NOT_RUN, ROOT, SERVICES, beginning_of, console_lines, lines_to_run
from tests.support.programs import need_program
from tests.support.visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.network]

INIT = next(line for page, line in console_lines() if page == "running.rst" and line.startswith("lbcompanion init"))
#: The programs that the lines call, as they are here.
PROGRAMS = {
    "lbcompanion": f'exec {shlex.quote(sys.executable)} -m lbcompanion.cli "$@"',
    "twistd": f"exec {shlex.quote(sys.executable)} -c 'from twisted.scripts.twistd import run; run()' \"$@\"",
    "python": f'exec {shlex.quote(sys.executable)} "$@"',
    "curl": 'exec "$LBC_CURL" --silent --show-error --fail "$@"',
}
PAGE = "/cart"


@define
class ManualFarm:
    """The farm of the page "Running", moved to free ports of this machine."""

    folder: Path
    children: Children
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    tokens: Mapping[str, str]

    def here(self, line: str) -> str:
        """A line with the addresses, the tokens and the dates of this farm."""
        today = datetime.now(UTC).date()
        line = line.replace("https://www.example.com", f"http://127.0.0.1:{self.ports['site']}")
        for port in ("9101", "9201"):
            line = line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[port]}")
        line = line.replace("2026-11-01", str(today - timedelta(2))).replace("2026-12-01", str(today + timedelta(2)))
        line = line.replace("/recordings/stream?", "/recordings/stream?seconds=1&")  # else it does not end
        kind = "waiting" if "fetch" in line else "erased" if "erase" in line else "archived"
        return re.sub(r"\bTOKEN\b", self.tokens.get(kind, "TOKEN"), line)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in the farm's folder."""
        command = ["bash", "-o", "pipefail", "-c", self.here(line)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, cwd=self.folder, env=self.environment
        )

    def service(self, name: str, line: str) -> None:
        """Start a line that does not end."""
        inside = f"cd {shlex.quote(str(self.folder))} && exec {self.here(line)}"
        self.children.start(name, ["bash", "-c", inside], **self.environment)

    def answers(self, port: str, path: str) -> bool:
        """Whether an admin listener is well."""
        return listens(self.ports[port], path)

    def recordings(self) -> list[dict[str, str]]:
        """What the crawler knows."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['9201']}/api/recordings", timeout=30) as answer:
            return list(json.loads(answer.read())["recordings"])


def moved(text: str, ports: Mapping[str, int]) -> str:
    """A file of ``init`` with this farm's ports: all nodes and the crawler are on this machine."""
    text = text.replace("https://www.example.com", f"http://127.0.0.1:{ports['site']}")
    text = text.replace("bind *:80", f"bind 127.0.0.1:{ports['site']}")
    for number in ("1", "2"):
        text = text.replace(f"10.0.0.{number}:8080", f"127.0.0.1:{ports[f'n{number}']}")
        text = re.sub(rf"(?m)^(    server n{number} .* port )9101$", rf"\g<1>{ports[f'910{number}']}", text)
    text = text.replace('intake = "http://10.0.0.9:9200"', f'intake = "http://127.0.0.1:{ports["9200"]}"')
    text = text.replace("tcp:9200:interface=10.0.0.9", f"tcp:{ports['9200']}:interface=127.0.0.1")
    return text.replace("tcp:9201:", f"tcp:{ports['9201']}:")


def moved_node(text: str, number: str, ports: Mapping[str, int]) -> str:
    """A node's file: it has addresses of its own besides."""
    text = text.replace('"tcp:8080"', f'"tcp:{ports[f"n{number}"]}:interface=127.0.0.1"')
    text = text.replace("tcp:127.0.0.1:8000", f"tcp:127.0.0.1:{ports['application']}")
    return text.replace(f"tcp:9101:interface=10.0.0.{number}", f"tcp:{ports[f'910{number}']}:interface=127.0.0.1")


@pytest.fixture(name="farm", scope="module")
def _farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManualFarm]:
    place = tmp_path_factory.mktemp("manual")
    (place / "bin").mkdir()
    for name, text in PROGRAMS.items():
        (place / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / "bin" / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LBC_CURL": need_program("curl"),
        "VALUE": "the value of a visitor's cookie",
    }
    reserved, children = ReservedPorts(), Children(place)
    names = ("site", "application", "n1", "n2", "9101", "9102", "9200", "9201")
    farm = ManualFarm(place / "farm", children, environment, {name: reserved.take() for name in names}, {})
    try:
        subprocess.run(["bash", "-c", INIT], check=True, capture_output=True, cwd=place, env=environment, timeout=60)
        third = INIT.replace("init farm", "init three").replace("n2=10.0.0.2", "n2=10.0.0.2,n3=10.0.0.3")
        subprocess.run(["bash", "-c", third], check=True, capture_output=True, cwd=place, env=environment, timeout=60)
        (place / "three" / "n3.toml").rename(farm.folder / "n3.toml")
        for file in farm.folder.iterdir():
            text = moved(file.read_text(), farm.ports)
            file.write_text(moved_node(text, file.stem[1], farm.ports) if file.stem in ("n1", "n2") else text)
        _start(farm, place)
        farm.tokens = _visited(farm)
        yield farm
    finally:
        children.kill()
        reserved.release()


def _start(farm: ManualFarm, place: Path) -> None:
    (place / "ledger").mkdir()
    at = {"LBC_TEST_NODE": "n1", "LBC_TEST_LEDGER": str(place / "ledger")}
    farm.children.module("application", "tests.support.plain_site", str(farm.ports["application"]), **at)
    farm.service("crawler", SERVICES[0])
    farm.service("n1", SERVICES[1])
    farm.service("n2", SERVICES[1].replace("n1", "n2"))
    for port in ("9101", "9102"):
        wait_for("a node", lambda port=port: farm.answers(port, "/readyz"), 90)  # type: ignore[misc]
    wait_for("the crawler", lambda: farm.answers("9201", "/healthz"), 90)
    farm.children.start("balancer", RUNS["haproxy"](farm.folder / "haproxy.cfg", place))
    wait_for("the site", lambda: listens(farm.ports["site"], PAGE), 90)


def _visited(farm: ManualFarm) -> Mapping[str, str]:
    """Views of both nodes, all archived but one, for which no notice is sent."""
    tokens: dict[str, str] = {}

    def archived() -> dict[str, str]:
        return {each["token"]: each["origin_node"] for each in farm.recordings() if each["outcome"] == "archived"}

    def both() -> bool:
        visitor = Visitor(farm.ports["site"], told=("SERVERID",))
        view = visitor.view(PAGE)
        visitor.notice(view)
        wait_for("the archive", lambda: view.token in archived(), 90)
        return set(archived().values()) == {"n1", "n2"} and len(archived()) >= 3

    wait_for("pages of both nodes", both, 90)
    every = list(archived())
    tokens["archived"], tokens["erased"] = every[0], every[-1]
    # The doctor and the page on injection look at what was not captured, too.
    listens(farm.ports["site"], "/style.css")
    tokens["waiting"] = Visitor(farm.ports["site"]).view(PAGE).token
    return tokens


def test_each_line_is_run_or_has_a_reason() -> None:
    every = {line for _, line in console_lines()}
    assert len(every) > 60
    assert [line for line in SERVICES if line not in every] == []
    used = {beginning_of(line) for line in every}
    assert [beginning for beginning in NOT_RUN if beginning not in used] == [], "nothing in the manual begins so"


@pytest.mark.parametrize("line", lines_to_run())
def test_it_works_as_written(farm: ManualFarm, line: str) -> None:
    done = farm.run(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout or ">" in line or "export" in line, "it printed nothing"


def test_services_start_are_replaced_and_stop(farm: ManualFarm) -> None:
    children, (_, _, take_over, drain, twistd_node, twistd_crawler) = farm.children, SERVICES
    farm.service("successor", take_over)
    assert children["n1"].ended() == 0
    wait_for("the successor", lambda: farm.answers("9101", "/readyz"), 90, children["successor"])
    done = farm.run(drain)
    assert done.returncode == 0, done.stdout + done.stderr
    assert children["successor"].ended() == 0
    farm.service("twistd-node", twistd_node)
    wait_for("the node", lambda: farm.answers("9101", "/readyz"), 90, children["twistd-node"])
    # Two programs of twistd in one folder would share its file of the process's number.
    for name in ("twistd-node", "crawler"):
        children[name].send(signal.SIGTERM)
        children[name].ended()
    farm.service("twistd-crawler", twistd_crawler)
    wait_for("the crawler", lambda: farm.answers("9201", "/healthz"), 90, children["twistd-crawler"])
    assert farm.recordings()
