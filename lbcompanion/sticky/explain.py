"""Offline analysis of a ``Cookie`` header: which dialects could have written each cookie, and which node it names."""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen

from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.credentials import looks_like_credential, looks_like_id
from lbcompanion.sticky.dialects import GENERIC, by_name, known
from lbcompanion.sticky.dialects.interface import Dialect


class Confidence(Enum):
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
    grounds: Confidence | None
    note: str


_LINE = re.compile(r"\A\s*cookie:", re.IGNORECASE)
_ORDER = list(Confidence)
# Values that no dialect with a specific form would write: a dialect that reads one of them reads any text.
_ANY_TEXTS = ("x,\\z", "x")


def explain(header: str | bytes) -> tuple[Finding, ...]:
    """Say of each cookie, in the header's order, which dialects could have written it, the surest first.

    :param header: its value; a whole line, with ``Cookie:`` before it, will do.
    """
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    findings: list[Finding] = []
    for name, value in parse(_LINE.sub("", text)).items():
        findings.extend(_explain_cookie(name, value))
    return tuple(findings)


def _explain_cookie(name: str, value: str) -> list[Finding]:
    found = [finding for dialect in known() if (finding := _finding(dialect, name, value)) is not None]
    if not found:
        return [_unrecognised(name, value)]
    certain = [finding for finding in found if finding.grounds is Confidence.RECOGNISED]
    if never_recorded := [finding for finding in certain if by_name(finding.dialect).never_record]:
        return never_recorded  # it must not be recorded, even if another dialect could read it
    # A cookie that is one dialect's beyond doubt need not be put down to every dialect that takes any text.
    reported = certain + [f for f in found if f.grounds in (Confidence.NAME, Confidence.FORM)] if certain else found
    # Of one certainty, those that say the same stand together; else the dialects' order stays.
    distinct = list(dict.fromkeys((finding.node, finding.replay, finding.note) for finding in reported))
    return sorted(
        reported,
        key=lambda finding: (
            _ORDER.index(finding.grounds or Confidence.ANY_TEXT),
            distinct.index((finding.node, finding.replay, finding.note)),
        ),
    )


def _exact_pattern(name: str) -> tuple[str]:
    """The name as a pattern that fits it alone, so that a name with slashes is not taken for a pattern."""
    return (f"/^{re.escape(name)}$/",)


def _finding(dialect: Dialect, name: str, value: str) -> Finding | None:
    recognised = dialect.recognises(name, value)
    if dialect.never_record and recognised:
        note = f"{Confidence.RECOGNISED.value}; never recorded: {dialect.never_record}"
        return Finding(dialect.name, name, None, "", dialect.moves_visitor, Confidence.RECOGNISED, note)
    read = dialect.read({name: value}, _exact_pattern(name) if dialect.configurable_name else ())
    if not read:
        return _needs_another_cookie(dialect, name) if recognised else None
    grounds = _confidence(dialect, name, value, recognised=recognised)
    if grounds is not Confidence.RECOGNISED and looks_like_id(read[0].value):
        return _may_be_credential(dialect, name, grounds)
    safety = "replayed only while its node is reached" if dialect.moves_visitor else "safe to replay"
    return Finding(
        dialect.name,
        name,
        dialect.node_of(read[0]),
        read[0].value,
        dialect.moves_visitor,
        grounds,
        f"{grounds.value}; {safety}",
    )


def _confidence(dialect: Dialect, name: str, value: str, *, recognised: bool) -> Confidence:
    if recognised:
        return Confidence.RECOGNISED
    if dialect is GENERIC or any(dialect.read({"any": text}, ("any",)) for text in _ANY_TEXTS):
        return Confidence.ANY_TEXT
    return Confidence.NAME if dialect.read({name: value}, ()) else Confidence.FORM


def _may_be_credential(dialect: Dialect, name: str, grounds: Confidence) -> Finding | None:
    """A value as long as a session's id, which a dialect's own form would fit: that form is too common to go by."""
    if grounds is Confidence.ANY_TEXT:
        return None
    note = f"{grounds.value}, but it may be a session's credential: not recorded, unless this dialect is configured"
    return Finding(dialect.name, name, None, "", dialect.moves_visitor, grounds, note)


def _needs_another_cookie(dialect: Dialect, name: str) -> Finding:
    """A cookie that is a dialect's, but routes only with others."""
    note = f"{Confidence.RECOGNISED.value}; not recorded alone: it routes together with another cookie"
    return Finding(dialect.name, name, None, "", dialect.moves_visitor, Confidence.RECOGNISED, note)


def _unrecognised(name: str, value: str) -> Finding:
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
