"""Who answered: proven by a companion, told by one, or guessed from what differs between answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from string import ascii_uppercase

from attrs import Factory, define, frozen

from lbcompanion.doctor.observed import Answer, Observed
from lbcompanion.sticky.explain import Confidence, explain


class Basis(Enum):
    """How sure it is who answered; from sure to unknown."""

    PROVEN = "proven"
    TOLD = "told"
    GUESSED = "guessed"
    UNKNOWN = "unknown"


#: Answers needed before a difference between them means anything.
_ENOUGH = 4
#: What differs from answer to answer for reasons of its own, or says nothing about who answered.
_VOLATILE = frozenset(
    {
        *("date", "age", "expires", "content-length", "set-cookie", "last-modified", "cache-control", "vary"),
        *("connection", "keep-alive", "transfer-encoding", "content-type", "location", "pragma"),
    }
)
#: What is measured or counted anew for each answer.
_MEASURED = re.compile(r"time|timing|rate|limit|trace|request-?id|correlation|nonce|etag|security-policy")


@frozen
class Feature:
    """What tells nodes apart.

    :ivar kind: ``node`` (a companion's word), ``header``, ``cookie``, ``body``; empty: nothing does.
    :ivar name: the header's or cookie's name.
    """

    kind: str = ""
    name: str = ""

    def of(self, answer: Answer) -> str:
        """What it says of one answer; empty: nothing."""
        if self.kind == "node":
            return answer.node
        if self.kind == "header":
            return answer.header(self.name)
        if self.kind == "cookie":
            value = answer.jar.get(self.name, "")
            return value and (revealed(self.name, value) or value)
        return answer.body if self.kind == "body" else ""


def feature_of(observed: Observed) -> Feature:
    """What tells this site's nodes apart: companions where they are, else what has few values among many answers."""
    if observed.companions:
        return Feature("node")
    answers = observed.at(observed.main)
    if len(answers) < _ENOUGH or any(one.from_cache for one in answers):
        return Feature()
    return next((one for one in _candidates(answers) if _tells(one, answers)), Feature())


def _candidates(answers: Sequence[Answer]) -> Iterable[Feature]:
    first = answers[0]
    for name, value in first.jar.items():
        if explain(f"{name}={value}")[0].grounds is Confidence.RECOGNISED:
            yield Feature("cookie", name)
    for name in dict(first.headers):
        if (
            name not in _VOLATILE
            and not _MEASURED.search(name)
            and not all(_is_number(a.header(name)) for a in answers)
        ):
            yield Feature("header", name)
    yield Feature("body")
    for name in first.jar:
        yield Feature("cookie", name)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _tells(feature: Feature, answers: Sequence[Answer]) -> bool:
    values = [feature.of(one) for one in answers]
    return all(values) and 2 <= len(set(values)) <= len(values) / 2


@define
class Names:
    """Names for nodes, from what tells them apart. A cookie's value is never one, but what a dialect reads in it is."""

    feature: Feature
    _letters: dict[str, str] = Factory(dict)

    def of(self, answer: Answer) -> str:
        """The node's name; empty where nothing tells it."""
        said = self.feature.of(answer)
        if not said or self.feature.kind == "node":
            return said
        if self.feature.kind == "header" and len(said) <= 40 and said.isprintable():
            return said
        if self.feature.kind == "cookie" and said == revealed(self.feature.name, answer.jar.get(self.feature.name, "")):
            return said
        return self._letters.setdefault(said, f"node {ascii_uppercase[len(self._letters) % 26]}")


def revealed(name: str, value: str) -> str:
    """The node's text in a cookie, by the surest dialect that reads one; empty where none does."""
    return next((one.node for one in explain(f"{name}={value}") if one.node), "")


def basis_of(answers: Iterable[Answer], feature: Feature) -> Basis:
    """How sure it is who gave these answers."""
    if feature.kind != "node":
        return Basis.GUESSED if feature.kind else Basis.UNKNOWN
    return Basis.PROVEN if all(one.proven for one in answers) else Basis.TOLD
