"""Companions before which the doctor examines one balancer after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from attrs import Factory, define

from lbcompanion.demo.ports import ReservedPorts
from tests.support import doctor_sites
from tests.support.children import Children, wait_for
from tests.support.doctor_sites import RunBalancer
from tests.support.farm import NODES, SECRET, listens, plain_applications

_NODE = """[node]
name = "{name}"
listen = ["tcp:{port}:interface=127.0.0.1"]
upstream = "tcp:127.0.0.1:{application}"
secret_file = "farm.secret"
state_dir = "state-{name}"
admin = "tcp:{admin}:interface=127.0.0.1"
[peers]
{peers}"""


@define
class DoctorEnvironment:
    """Nodes, before which one balancer after the other stands."""

    folder: Path
    children: Children
    ports: ReservedPorts
    companions: Mapping[str, int]
    admins: Mapping[str, int]
    applications: Mapping[str, int]
    number: Iterator[int] = Factory(count)

    def report_on(
        self,
        run_balancer: RunBalancer,
        companions: bool = True,
        path: str = "/shop/page",
        code: int | None = 0,
        more_config: str = "",
    ) -> dict[str, Any]:
        """The command's output as JSON.

        :param code: the expected exit code; None: any.
        :param more_config: further lines of the node's file that the doctor reads.
        """
        folder = self.folder / f"stand{next(self.number)}"
        folder.mkdir()
        port = self.ports.take()
        command = run_balancer(folder, port, self.companions if companions else self.applications)
        balancer = self.children.start(folder.name, command)
        try:
            wait_for("balancer", lambda: listens(port, "/", (200, 302)), 60, balancer)
            done = doctor_sites.doctor(
                f"http://127.0.0.1:{port}{path}", "--json", *self._known(more_config) if companions else ()
            )
        finally:
            balancer.kill()
            balancer.ended()
        assert done.stderr == "", done.stdout + done.stderr
        assert code in (None, done.returncode), done.stdout
        return dict(json.loads(done.stdout))

    def _known(self, more_config: str) -> Sequence[str]:
        file = self.folder / "n1.toml"
        if more_config:
            file = self.folder / f"n1-{next(self.number)}.toml"
            file.write_text((self.folder / "n1.toml").read_text() + more_config)
        return ("--config", str(file))


@contextmanager
def doctor_environment(folder: Path, names: Sequence[str] = NODES) -> Iterator[DoctorEnvironment]:
    """Start an application and a companion for each node."""
    ports, children = ReservedPorts(), Children(folder)
    try:
        applications = {
            name: at for name, at in plain_applications(children, ports, folder).ports.items() if name in names
        }
        (folder / "farm.secret").write_bytes(SECRET)
        companions = {name: ports.take() for name in applications}
        admins = {name: ports.take() for name in applications}
        for name, port in companions.items():
            others = {other: at for other, at in companions.items() if other != name}
            peers = "".join(f'{other} = "http://127.0.0.1:{at}"\n' for other, at in others.items())
            text = _NODE.format(name=name, port=port, application=applications[name], peers=peers, admin=admins[name])
            (folder / f"{name}.toml").write_text(text)
            children.lbcompanion(name, "node", "--config", str(folder / f"{name}.toml"))
        for name, port in companions.items():
            wait_for(name, lambda at=port: listens(at, "/_lbc/whoami"), 60, children[name])  # type: ignore[misc]
        yield DoctorEnvironment(folder, children, ports, companions, admins, applications)
    finally:
        children.kill()
        ports.release()


def codes(document: Mapping[str, Any]) -> set[str]:
    """The findings of a report."""
    return {finding["code"] for finding in document["findings"]}
