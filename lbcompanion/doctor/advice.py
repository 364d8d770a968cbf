"""Recommends a configuration, as TOML for the node's and the crawler's file."""

from __future__ import annotations

import json
from collections.abc import Iterator

from attrs import frozen

from lbcompanion.doctor.diagnosis import Diagnosis, ObservedCookie
from lbcompanion.doctor.observations import RequestKind
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.dialects import AUTO, GENERIC, haproxy_postonly
from lbcompanion.sticky.reader import CookieReader

#: Levels of certainty at which the nodes' names are those in their files.
_NAMED = ("proven", "told")


@frozen
class Advice:
    """The recommended settings.

    :ivar node: ``[sticky]`` of each node's file, as TOML.
    :ivar crawler: ``[sites.NAME]`` of the crawler's file, as TOML.
    :ivar guessed: whether the dialect's name is a guess: it reads the cookies, but other products write such ones too.
    """

    sticky: StickyTable
    node: str
    crawler: str
    guessed: bool = False


def advice(diagnosis: Diagnosis, origin: str, connect: str = "", prefix: str = "/_lbc") -> Advice:
    """Write the configuration that a diagnosis calls for.

    :param connect: the balancer's endpoint string, if DNS does not resolve to it.
    """
    sticky = sticky_table(diagnosis)
    ladder = _ladder(diagnosis)
    guessed = is_guess(sticky, diagnosis)
    remark = "  # a guess: it reads this cookie, as other dialects do" if guessed else ""
    keys = [f"dialect = {json.dumps(sticky.dialect)}{remark}", f"cookies = {json.dumps(list(sticky.cookies))}"]
    site = [f"origin = {json.dumps(origin)}"]
    if connect:
        site.append(f"connect = {json.dumps(connect)}")
    if prefix != "/_lbc":
        site.append(f"prefix = {json.dumps(prefix)}")
    node_lines = [line for name in _node_names(diagnosis) for line in ("", f"[sites.main.nodes.{name}]")]
    return Advice(
        sticky,
        "\n".join(["[sticky]", *keys]) + "\n",
        "\n".join(["[sites.main]", *site, *keys, *ladder, *node_lines]) + "\n",
        guessed,
    )


def is_guess(sticky: StickyTable, diagnosis: Diagnosis) -> bool:
    """Return whether the dialect's name is a guess: not all sticky cookies are recognised as its own beyond doubt."""
    if sticky.dialect in (AUTO, GENERIC.name):
        return False
    sticking = [cookie for cookie in diagnosis.cookies if cookie.set_cookie.name in sticky.cookies]
    sure = [any(one.is_sure and one.dialect == sticky.dialect for one in each.possible_dialects) for each in sticking]
    return not (sure and all(sure))


def sticky_table(diagnosis: Diagnosis) -> StickyTable:
    """Return the first dialect that reads every sticky cookie as the site set it, with the cookies' names."""
    names = diagnosis.sticks_by
    if not names:
        return StickyTable()
    example = dict(diagnosis.example)
    for dialect in _candidate_dialects([cookie for cookie in diagnosis.cookies if cookie.set_cookie.name in names]):
        sticky = StickyTable(dialect, names)
        if {one.name for one in CookieReader(sticky).read(example)} == set(names):
            return sticky
    # For example a session cookie: it is never recorded, but with its name the crawler can mint a value of its own.
    return StickyTable(GENERIC.name, names)


def knows_cookies(sticky: StickyTable, diagnosis: Diagnosis) -> bool:
    """Return whether the configuration in use covers all sticky cookies."""
    names = set(diagnosis.sticks_by)
    recognised = {one.name for one in CookieReader(sticky).read(dict(diagnosis.example))}
    return names <= recognised or names <= set(sticky.cookies)


def _candidate_dialects(cookies: list[ObservedCookie]) -> Iterator[str]:
    """Yield the dialects to try, the most certain first; each cookie is read by itself if they are of several dialects.

    A session cookie that no dialect can reduce must not be recorded: only ``generic`` is advised then.
    """
    if any(cookie.credential and not any(writer.is_sure for writer in cookie.possible_dialects) for cookie in cookies):
        yield GENERIC.name
        return
    surest = {cookie.possible_dialects[0] for cookie in cookies if cookie.possible_dialects}
    names = {writer.dialect for writer in surest}
    if len(names) == 1 and all(writer.grounds != "any_text" for writer in surest):
        yield names.pop()
    elif len(cookies) == 1:
        if set(cookies[0].kinds) == {RequestKind.POST}:
            yield haproxy_postonly.DIALECT.name
        # A plain word, and no dialect that would move the visitor: HAProxy's ``cookie insert`` writes such values.
        yield from (
            dialect.dialect for dialect in cookies[0].possible_dialects if dialect.node and not dialect.moves_visitor
        )
    yield AUTO
    yield GENERIC.name


def _ladder(diagnosis: Diagnosis) -> list[str]:
    if diagnosis.sticky or diagnosis.certainty.value not in _NAMED:
        return []
    return [
        'ladder = ["direct", "any"]',
        "# nothing sticks: give each node's own address below, or let peers hand over",
    ]


def _node_names(diagnosis: Diagnosis) -> list[str]:
    if diagnosis.certainty.value not in _NAMED:
        return []
    return [node.name for node in diagnosis.nodes]
