"""The balancers that the demo can run. A new one is a file beside :mod:`lbcompanion.demo.haproxy` and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lbcompanion.demo import haproxy
from lbcompanion.demo.balancer_program import BalancerProgram, find_program
from lbcompanion.errors import ConfigError

AUTO = "auto"
BUILTIN = "builtin"

#: By the value of ``--balancer``; ``auto`` takes the first installed one.
PROGRAMS: Mapping[str, BalancerProgram] = MappingProxyType(
    {"haproxy": haproxy.INSERTING, "haproxy-indirect": haproxy.INSERTING_HIDDEN}
)


def choose_balancer(requested: str, find: Callable[[str], str | None] = find_program) -> str:
    """Choose the balancer to run: with ``auto`` the first installed program, else the built-in one.

    :param find: returns the path of a program, or None if it is not installed.
    :raises ConfigError: for a name that is not allowed, or a program that is not installed.
    """
    if requested == AUTO:
        return next((name for name, kind in PROGRAMS.items() if find(kind.program)), BUILTIN)
    if requested == BUILTIN:
        return requested
    if requested not in PROGRAMS:
        raise ConfigError("command line", "--balancer", requested, ", ".join((AUTO, BUILTIN, *PROGRAMS)))
    program = PROGRAMS[requested].program
    if find(program) is None:
        allowed = f"{AUTO} or {BUILTIN}, as no {program} program is installed"
        raise ConfigError("command line", "--balancer", requested, allowed)
    return requested


def label_of(balancer: str) -> str:
    """Return the balancer's name for people."""
    if balancer == BUILTIN:
        return "the built-in balancer"
    return PROGRAMS[balancer].label if balancer in PROGRAMS else balancer
