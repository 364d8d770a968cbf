"""Balancers that go by the visitor's address, and know no cookies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.balancer_kinds import nginx
from tests.support.balancer_kinds.kind import Kind
from tests.support.children import wait_for
from tests.support.programs import need_program


def _whom_strangers_get(farm: Any) -> set[str]:
    return {farm.whoami(address=f"127.0.{number}.1") for number in range(130, 160)}


@frozen
class ByAddress(Kind):
    """A balancer where only those from other places see other nodes."""

    def sees_up(self, farm: Any, node: str) -> None:
        """Some from elsewhere get there."""
        wait_for(f"{node} gets newcomers", lambda: node in _whom_strangers_get(farm))

    def sees_down(self, farm: Any, node: str, cookies: Mapping[str, str]) -> None:
        """Wait until no client from any address gets there."""
        wait_for(f"{node} is left alone", lambda: node not in _whom_strangers_get(farm))


@frozen
class Pen(ByAddress):
    """pen, which has no file: addresses stand on its command line."""

    def __call__(self, folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        """In the foreground; a server that does not answer is asked again after a second."""
        servers = [f"127.0.0.1:{at}" for at in nodes.values()]
        return [need_program("pen"), "-f", "-b", "1", f"127.0.0.1:{port}", *servers]


IP_HASH = ByAddress("nginx", nginx.ADDRESS.text, nginx.ADDRESS.no_drain)
PEN = Pen("pen", lambda *_: "", "its servers have no such state")
