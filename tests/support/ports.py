"""Free ports for the programs that tests start."""

from __future__ import annotations

from lbcompanion.demo.ports import ReservedPorts

_HELD = ReservedPorts()


def free_port() -> int:
    """A port that nobody else is given as long as the tests run, and that nobody listens on yet."""
    return _HELD.take()
