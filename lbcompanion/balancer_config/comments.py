"""The comments that all generated configurations share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from lbcompanion.balancer_config.pool import Pool

_WIDTH = 112


def comment(text: str, indent: str = "", mark: str = "# ") -> list[str]:
    """Wrap a paragraph into comment lines."""
    return [f"{indent}{mark}{line}" for line in wrap(text, _WIDTH - len(indent))]


def file_header(product: str, pool: Pool, usage: str) -> list[str]:
    """Return the comment at the top of a file.

    :param usage: how to check and use the file.
    """
    guessed = [member.name for member in pool.members if member.guessed]
    lines = comment(f"{product} in front of the companions of {pool.names}; written by lbcompanion balancer-config.")
    lines += comment(usage)
    if guessed:
        lines += comment(
            f"LOOK HERE: no file has the address of {_enumeration(guessed)}; the hosts below are a guess. Set "
            "them here, or run balancer-config again with --address NODE=HOST:PORT."
        )
    return lines


def sticky_settings(dialect: str, cookie: str) -> list[str]:
    """Return a comment with the matching settings of nodes and crawler."""
    return [
        *comment("The matching settings, in each node's file under [sticky] and in the crawler's under [sites.NAME]:"),
        f'#     dialect = "{dialect}"',
        f'#     cookies = ["{cookie}"]',
        *comment(
            "Add this balancer's address to [node] trusted_proxies of each node, so that its X-Forwarded-* are trusted."
        ),
    ]


def readyz_unreachable(pool: Pool) -> list[str]:
    """Return a comment that explains why the health check is not ``/readyz``; nothing if it is."""
    if pool.readyz_is_reachable:
        return []
    hidden = [member.name for member in pool.members if not member.check_port]
    return comment(
        f"Only its own machine can reach the admin listener of {_enumeration(hidden)}, which serves /readyz. The "
        f"health check is {pool.prefix}/whoami instead: it detects a dead node, but not one whose application is down "
        'or that is about to stop. Better: set admin = "tcp:9101:interface=ADDRESS" with an address that only this '
        "balancer can reach, and run balancer-config again."
    )


def text(lines: Sequence[str]) -> str:
    """Join lines into a file."""
    return "\n".join(lines) + "\n"


def indented(lines: Iterable[str], indent: str) -> list[str]:
    """Indent lines."""
    return [f"{indent}{line}" if line else line for line in lines]


def _enumeration(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
