"""The properties of a balancer that these tests need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.balancer_programs import RUNS
from tests.support.children import wait_for

#: ``text(folder, port, ports of the companions, ports of their admin listeners)``.
Text = Callable[[Path, int, Mapping[str, int], Mapping[str, int]], str]


@frozen
class Kind:
    """A balancer and its configuration; called as :data:`tests.support.balancers.Balancer` is.

    :ivar product: what :data:`tests.support.balancer_programs.RUNS` runs.
    :ivar no_drain: why it cannot drain a node; empty if it can.
    """

    product: str
    text: Text
    no_drain: str = ""

    def __call__(self, folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        """Write its files; the command that runs it."""
        file = folder / f"{self.product}.{_ENDINGS.get(self.product, 'conf')}"
        file.write_text(self.text(folder, port, nodes, admins))
        return RUNS[self.product](file, folder)

    def drain(self, farm: Any, node: str, on: bool) -> None:
        """Take newcomers away from a node, or give them back to it."""
        raise AssertionError(self.no_drain)

    def readdress(self, farm: Any, node: str) -> None:
        """Tell it where the node's companion is now; the way that works for all: a new start with a new file."""
        farm.stop_balancer()
        farm.start_balancer()

    def sees_up(self, farm: Any, node: str) -> None:
        """Wait until it sends newcomers to the node."""
        wait_for(f"{node} gets newcomers", lambda: farm.whoami() == node)

    def sees_down(self, farm: Any, node: str, cookies: Mapping[str, str]) -> None:
        """Wait until it sends those elsewhere who hold the node's cookies."""
        wait_for(f"{node} is left alone", lambda: farm.whoami(cookies) not in {"", node})


_ENDINGS = {"envoy": "yaml", "traefik": "yaml", "varnish": "vcl"}


def indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
