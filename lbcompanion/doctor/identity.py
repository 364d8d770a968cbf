"""Who answered: proven by a companion, told by one, or guessed from what differs between answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from string import ascii_uppercase

from attrs import Factory, define, frozen

from lbcompanion.doctor.observations import Observations, ProbeResponse
from lbcompanion.sticky.explain import Confidence, explain


class Certainty(Enum):
    """How sure it is who answered; from sure to unknown."""

    PROVEN = "proven"
    CLAIMED = "told"
    GUESSED = "guessed"
    UNKNOWN = "unknown"


#: Answers needed before a difference between them means anything.
_MIN_RESPONSES = 4
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

    def of(self, response: ProbeResponse) -> str:
        """What it says of one answer; empty: nothing."""
        if self.kind == "node":
            return response.node
        if self.kind == "header":
            return response.header(self.name)
        if self.kind == "cookie":
            value = response.jar.get(self.name, "")
            return value and (node_in_cookie(self.name, value) or value)
        return response.body if self.kind == "body" else ""


def feature_of(observations: Observations) -> Feature:
    """What tells this site's nodes apart: companions where they are, else what has few values among many answers."""
    if observations.has_companions:
        return Feature("node")
    responses = observations.responses_to(observations.main_kind)
    if len(responses) < _MIN_RESPONSES or any(response.from_cache for response in responses):
        return Feature()
    return next((one for one in _candidates(responses) if _distinguishes(one, responses)), Feature())


def _candidates(responses: Sequence[ProbeResponse]) -> Iterable[Feature]:
    first = responses[0]
    for name, value in first.jar.items():
        if explain(f"{name}={value}")[0].grounds is Confidence.RECOGNISED:
            yield Feature("cookie", name)
    for name in dict(first.headers):
        if (
            name not in _VOLATILE
            and not _MEASURED.search(name)
            and not all(_is_number(a.header(name)) for a in responses)
        ):
            yield Feature("header", name)
    yield Feature("body")
    for name in first.jar:
        yield Feature("cookie", name)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _distinguishes(feature: Feature, responses: Sequence[ProbeResponse]) -> bool:
    values = [feature.of(response) for response in responses]
    return all(values) and 2 <= len(set(values)) <= len(values) / 2


@define
class NodeNames:
    """Names for nodes, from what tells them apart. A cookie's value is never one, but what a dialect reads in it is."""

    feature: Feature
    _letters: dict[str, str] = Factory(dict)

    def of(self, response: ProbeResponse) -> str:
        """The node's name; empty where nothing tells it."""
        marker = self.feature.of(response)
        if not marker or self.feature.kind == "node":
            return marker
        if self.feature.kind == "header" and len(marker) <= 40 and marker.isprintable():
            return marker
        if self.feature.kind == "cookie" and marker == node_in_cookie(
            self.feature.name, response.jar.get(self.feature.name, "")
        ):
            return marker
        return self._letters.setdefault(marker, f"node {ascii_uppercase[len(self._letters) % 26]}")


def node_in_cookie(name: str, value: str) -> str:
    """The node's text in a cookie, by the surest dialect that reads one; empty where none does."""
    return next((one.node for one in explain(f"{name}={value}") if one.node), "")


def certainty_of(responses: Iterable[ProbeResponse], feature: Feature) -> Certainty:
    """How sure it is who gave these answers."""
    if feature.kind != "node":
        return Certainty.GUESSED if feature.kind else Certainty.UNKNOWN
    return Certainty.PROVEN if all(response.proven for response in responses) else Certainty.CLAIMED
