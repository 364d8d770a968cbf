"""Identifies the node behind a response: proven by a companion, claimed by one, or guessed from differences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from string import ascii_uppercase

from attrs import Factory, define, frozen

from lbcompanion.doctor.observations import Observations, ProbeResponse
from lbcompanion.sticky.explain import Confidence, explain


class Certainty(Enum):
    """How certain the node's identity is, from proven to unknown."""

    PROVEN = "proven"
    CLAIMED = "told"
    GUESSED = "guessed"
    UNKNOWN = "unknown"


#: Responses needed before a difference between them means anything.
_MIN_RESPONSES = 4
#: Header fields that differ from response to response for other reasons, or do not depend on the node.
_VOLATILE = frozenset(
    {
        *("date", "age", "expires", "content-length", "set-cookie", "last-modified", "cache-control", "vary"),
        *("connection", "keep-alive", "transfer-encoding", "content-type", "location", "pragma"),
    }
)
#: Header fields that are measured or counted for each response.
_MEASURED = re.compile(r"time|timing|rate|limit|trace|request-?id|correlation|nonce|etag|security-policy")


@frozen
class Feature:
    """A part of the responses that differs between nodes.

    :ivar kind: ``node`` (named by a companion), ``header``, ``cookie`` or ``body``; empty if there is no such part.
    :ivar name: the header's or cookie's name.
    """

    kind: str = ""
    name: str = ""

    def of(self, response: ProbeResponse) -> str:
        """Return the feature's value in a response; empty if it is missing."""
        if self.kind == "node":
            return response.node
        if self.kind == "header":
            return response.header(self.name)
        if self.kind == "cookie":
            value = response.jar.get(self.name, "")
            return value and (node_in_cookie(self.name, value) or value)
        return response.body if self.kind == "body" else ""


def feature_of(observations: Observations) -> Feature:
    """Find what distinguishes this site's nodes: companions, else a part with few values among many responses."""
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
    """Names for nodes, derived from a feature. A cookie's value is never shown, only what a dialect reads in it."""

    feature: Feature
    _letters: dict[str, str] = Factory(dict)

    def of(self, response: ProbeResponse) -> str:
        """Return the node's name; empty if unknown."""
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
    """Return the node's name in a cookie, by the most certain dialect that reads one; empty if no dialect does."""
    return next((one.node for one in explain(f"{name}={value}") if one.node), "")


def certainty_of(responses: Iterable[ProbeResponse], feature: Feature) -> Certainty:
    """Return how certain the nodes behind these responses are."""
    if feature.kind != "node":
        return Certainty.GUESSED if feature.kind else Certainty.UNKNOWN
    return Certainty.PROVEN if all(response.proven for response in responses) else Certainty.CLAIMED
