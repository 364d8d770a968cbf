"""What all configurations say of themselves, as comments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from lbcompanion.balancer_config.pool import Pool

_WIDTH = 112


def comment(text: str, indent: str = "", mark: str = "# ") -> list[str]:
    """A paragraph as lines of comment."""
    return [f"{indent}{mark}{line}" for line in wrap(text, _WIDTH - len(indent))]


def file_header(product: str, pool: Pool, usage: str) -> list[str]:
    """The head of every file.

    :param usage: how the file is checked and used.
    """
    guessed = [member.name for member in pool.members if member.guessed]
    lines = comment(f"{product} in front of the companions of {pool.names}; written by lbcompanion balancer-config.")
    lines += comment(usage)
    if guessed:
        lines += comment(
            f"LOOK HERE: no file tells at which address {_enumeration(guessed)} can be reached; the hosts below are a "
            "guess. Set them here, or run balancer-config again with --address NODE=HOST:PORT."
        )
    return lines


def sticky_settings(dialect: str, cookie: str) -> list[str]:
    """What nodes and crawler are told about this balancer."""
    return [
        *comment("To go with it, in each node's file under [sticky], and in the crawler's under [sites.NAME]:"),
        f'#     dialect = "{dialect}"',
        f'#     cookies = ["{cookie}"]',
        *comment(
            "And in each node's [node] trusted_proxies: this balancer's own address, so that X-Forwarded-* count."
        ),
    ]


def readyz_unreachable(pool: Pool) -> list[str]:
    """Why ``/readyz`` is not what is asked."""
    if pool.readyz_is_reachable:
        return []
    hidden = [member.name for member in pool.members if not member.check_port]
    return comment(
        f"The admin listener of {_enumeration(hidden)}, where /readyz is, can be reached from that machine only; so "
        f"{pool.prefix}/whoami is asked for instead, which tells a dead node, but not one whose application is down or "
        'that is about to stop. Better: admin = "tcp:9101:interface=ADDRESS" with an address that only this balancer '
        "can reach, and run balancer-config again."
    )


def text(lines: Sequence[str]) -> str:
    """The file."""
    return "\n".join(lines) + "\n"


def indented(lines: Iterable[str], indent: str) -> list[str]:
    """The same lines further to the right."""
    return [f"{indent}{line}" if line else line for line in lines]


def _enumeration(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
