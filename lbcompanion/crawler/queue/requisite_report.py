"""The report on a page's requisites: how many the page refers to, and why each missing one is not archived."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve, frozen

from lbcompanion.model import MissingKind

#: A row keeps this much of the list, in characters; ``wanted`` and ``archived`` always count all files.
MAX_LIST_CHARS = 131072


@frozen
class Refusal:
    """Why a requisite is not archived.

    :ivar reason: for people.
    """

    reason: str
    kind: MissingKind


@frozen
class MissingRequisite:
    """A requisite that is not archived.

    :ivar reason: why, for people.
    """

    url: str
    reason: str
    kind: MissingKind = MissingKind.UNUSABLE


@frozen
class UnsearchedText:
    """A page or a style sheet that was not searched to its end, so that it may refer to more files.

    :ivar reason: why, for people.
    """

    url: str
    reason: str


@frozen
class RequisiteReport:
    """The requisites of one page.

    :ivar wanted: how many files the page and its style sheets refer to.
    :ivar missing: those that are not archived, in the order of the page.
    :ivar unsearched: where more files may be referred to.
    :ivar erased: how many were left out because an erasure names them.
    """

    wanted: int = 0
    missing: tuple[MissingRequisite, ...] = ()
    unsearched: tuple[UnsearchedText, ...] = ()
    erased: int = 0

    def with_missing(self, missing: Iterable[MissingRequisite]) -> RequisiteReport:
        """Return the report with more missing files."""
        return evolve(self, missing=(*self.missing, *missing))


def dump_report(report: RequisiteReport) -> str:
    """Write a report for a row. ``unsearched`` and ``erased`` are there only if they are not empty."""
    room = MAX_LIST_CHARS
    lists: dict[str, list[dict[str, str]]] = {"missing": [], "unsearched": []}
    for name, entries in (("unsearched", report.unsearched), ("missing", report.missing)):
        for each in entries:
            room -= len(each.url) + len(each.reason)
            if room < 0:
                break
            lists[name].append({"url": each.url, "reason": each.reason})
    archived = report.wanted - len(report.missing) - report.erased
    found: dict[str, Any] = {"wanted": report.wanted, "archived": archived, "missing": lists["missing"]}
    if lists["unsearched"]:
        found["unsearched"] = lists["unsearched"]
    if report.erased:
        found["erased"] = report.erased
    return json.dumps(found)


def without_erased(text: str, count: int) -> str:
    """Return a row's report after some of the archived files were erased."""
    found = json.loads(text)
    found["archived"] = max(found["archived"] - count, 0)
    found["erased"] = found.get("erased", 0) + count
    return json.dumps(found)


def load_report(text: str | None) -> dict[str, Any] | None:
    """Read a row's report as the object of the admin API; None if the row has none."""
    return dict(json.loads(text)) if text else None
