"""What can be said of a ``Cookie`` header without asking anybody: who could have written it, which node it names."""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen

from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.credentials import looks_like_credential, looks_like_id
from lbcompanion.sticky.dialects import GENERIC, by_name, known
from lbcompanion.sticky.dialects.interface import Dialect


class Grounds(Enum):
    """Why a dialect is named; the order is from sure to vague. Only the first is enough to record by."""

    RECOGNISED = "its name and shape are this dialect's"
    NAME = "its name and shape would fit"
    FORM = "its shape would fit"
    ANY_TEXT = "any text would fit"


@frozen
class Finding:
    """One dialect that could have written one cookie.

    :ivar dialect: its name; empty where no dialect knows the cookie.
    :ivar cookie: the cookie's name.
    :ivar node: the balancer's text for the node, None where the cookie does not tell it.
    :ivar replay: the smallest value that reaches the node, which is what is recorded; empty where nothing is.
    :ivar moves_visitor: whether replaying a visitor's value while its node is down could move that visitor for good.
    :ivar grounds: how sure this is; None with no dialect.
    :ivar note: a sentence for people.
    """

    dialect: str
    cookie: str
    node: str | None
    replay: str = field(repr=False)
    moves_visitor: bool
    grounds: Grounds | None
    note: str


_LINE = re.compile(r"\A\s*cookie:", re.IGNORECASE)
_ORDER = list(Grounds)
# Texts that no dialect with a form of its own would write: whoever reads one of them reads anything.
_ANY_TEXTS = ("x,\\z", "x")


def explain(header: str | bytes) -> tuple[Finding, ...]:
    """Say of each cookie, in the header's order, which dialects could have written it, the surest first.

    :param header: its value; a whole line, with ``Cookie:`` before it, will do.
    """
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    findings: list[Finding] = []
    for name, value in parse(_LINE.sub("", text)).items():
        findings.extend(_of_one(name, value))
    return tuple(findings)


def _of_one(name: str, value: str) -> list[Finding]:
    found = [finding for dialect in known() if (finding := _by(dialect, name, value)) is not None]
    if not found:
        return [_unread(name, value)]
    sure = [finding for finding in found if finding.grounds is Grounds.RECOGNISED]
    if held := [finding for finding in sure if by_name(finding.dialect).held_back]:
        return held  # whatever else could read it, nobody shall
    # A cookie that is one dialect's beyond doubt need not be put down to every dialect that takes any text.
    told = sure + [f for f in found if f.grounds in (Grounds.NAME, Grounds.FORM)] if sure else found
    # Of one certainty, those that say the same stand together; else the dialects' order stays.
    said = list(dict.fromkeys((finding.node, finding.replay, finding.note) for finding in told))
    return sorted(
        told,
        key=lambda one: (_ORDER.index(one.grounds or Grounds.ANY_TEXT), said.index((one.node, one.replay, one.note))),
    )


def _exactly(name: str) -> tuple[str]:
    """The name as a pattern that fits it alone, so that a name with slashes is not taken for a pattern."""
    return (f"/^{re.escape(name)}$/",)


def _by(dialect: Dialect, name: str, value: str) -> Finding | None:
    recognised = dialect.recognises(name, value)
    if dialect.held_back and recognised:
        note = f"{Grounds.RECOGNISED.value}; never recorded: {dialect.held_back}"
        return Finding(dialect.name, name, None, "", dialect.moves_visitor, Grounds.RECOGNISED, note)
    read = dialect.read({name: value}, _exactly(name) if dialect.renamable else ())
    if not read:
        return _needs_others(dialect, name) if recognised else None
    grounds = _grounds(dialect, name, value, recognised)
    if grounds is not Grounds.RECOGNISED and looks_like_id(read[0].value):
        return _not_vouched_for(dialect, name, grounds)
    safety = "not replayed unless its node is known to be up" if dialect.moves_visitor else "safe to replay"
    return Finding(
        dialect.name,
        name,
        dialect.reveal(read[0]),
        read[0].value,
        dialect.moves_visitor,
        grounds,
        f"{grounds.value}; {safety}",
    )


def _grounds(dialect: Dialect, name: str, value: str, recognised: bool) -> Grounds:
    if recognised:
        return Grounds.RECOGNISED
    if dialect is GENERIC or any(dialect.read({"any": text}, ("any",)) for text in _ANY_TEXTS):
        return Grounds.ANY_TEXT
    return Grounds.NAME if dialect.read({name: value}, ()) else Grounds.FORM


def _not_vouched_for(dialect: Dialect, name: str, grounds: Grounds) -> Finding | None:
    """A value as long as a session's id, which a dialect's own form would fit: that form is too common to go by."""
    if grounds is Grounds.ANY_TEXT:
        return None
    note = f"{grounds.value}, but it may be a session's credential: not recorded, unless this dialect is configured"
    return Finding(dialect.name, name, None, "", dialect.moves_visitor, grounds, note)


def _needs_others(dialect: Dialect, name: str) -> Finding:
    """A cookie that is a dialect's, but routes only with others."""
    note = f"{Grounds.RECOGNISED.value}; not recorded alone: it routes together with another cookie"
    return Finding(dialect.name, name, None, "", dialect.moves_visitor, Grounds.RECOGNISED, note)


def _unread(name: str, value: str) -> Finding:
    note = "no known dialect writes this"
    if not value:
        note = "empty: no balancer sticks by it"
    elif looks_like_credential(name, value):
        note = "looks like a session's credential: not recorded, unless allow_credentials names it"
    elif looks_like_id(value):
        note = (
            "may be a session's credential, by its length: not recorded, unless allow_credentials names it or the "
            "dialect that writes it is configured"
        )
    return Finding("", name, None, "", False, None, note)
