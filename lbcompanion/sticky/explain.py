"""What can be said of a ``Cookie`` header without asking anybody: who could have written it, which node it names."""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen

from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.credentials import looks_like_credential
from lbcompanion.sticky.dialects import ALL, GENERIC
from lbcompanion.sticky.dialects.interface import Dialect


class Grounds(Enum):
    """Why a dialect is named; the order is from sure to vague."""

    RECOGNISED = "its name and shape are this dialect's"
    FORM = "its shape would fit"
    ANY_TEXT = "any text would fit"


@frozen
class Finding:
    """One dialect that could have written one cookie.

    :ivar dialect: its name; empty where no dialect may read the cookie.
    :ivar cookie: the cookie's name.
    :ivar node: the balancer's text for the node, None where the cookie does not tell it.
    :ivar replay: the smallest value that reaches the node; empty where there is none.
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


_ORDER = list(Grounds)
# A text that no dialect with a form of its own would write: whoever reads it reads anything.
_ODD_TEXT = "x,\\z"


def explain(header: str | bytes) -> tuple[Finding, ...]:
    """Say of each cookie, in the header's order, which dialects could have written it, the surest first."""
    findings: list[Finding] = []
    for name, value in parse(header).items():
        findings.extend(_of_one(name, value))
    return tuple(findings)


def _of_one(name: str, value: str) -> list[Finding]:
    found = [finding for dialect in ALL if (finding := _by(dialect, name, value)) is not None]
    if not found:
        return [Finding("", name, None, "", False, None, _unread(name, value))]
    sure = [finding for finding in found if finding.grounds is Grounds.RECOGNISED]
    # A cookie that is one dialect's beyond doubt need not be put down to every dialect that takes any text.
    told = sure + [f for f in found if f.grounds is Grounds.FORM] if sure else found
    return sorted(told, key=lambda finding: _ORDER.index(finding.grounds or Grounds.ANY_TEXT))


def _exactly(name: str) -> tuple[str]:
    """The name as a pattern that fits it alone, so that a name with slashes is not taken for a pattern."""
    return (f"/^{re.escape(name)}$/",)


def _by(dialect: Dialect, name: str, value: str) -> Finding | None:
    read = dialect.read({name: value}, _exactly(name))
    if not read:
        return None
    grounds = Grounds.FORM
    if dialect.recognises(name, value):
        grounds = Grounds.RECOGNISED
    elif dialect is GENERIC or dialect.read({"any": _ODD_TEXT}, ("any",)):
        grounds = Grounds.ANY_TEXT
    note = grounds.value + ("; not replayed unless its node is known to be up" if dialect.moves_visitor else "")
    return Finding(dialect.name, name, dialect.reveal(read[0]), read[0].value, dialect.moves_visitor, grounds, note)


def _unread(name: str, value: str) -> str:
    if not value:
        return "empty: no balancer sticks by it"
    if looks_like_credential(name, value):
        return "looks like a session's credential: not recorded, unless allow_credentials names it"
    return "no known dialect writes this"
