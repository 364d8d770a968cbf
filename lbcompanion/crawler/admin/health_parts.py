"""The health of the crawler's parts in words: the state of each part, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import frozen

from lbcompanion.crawler.admin.activity_api import Period
from lbcompanion.crawler.webhooks.sender import REPORTED_FAILURES
from lbcompanion.crawler.webhooks.senders import WebhookReport
from lbcompanion.sticky.routes import Route, RouteState

#: Of fewer pages the share of the lost ones says nothing about a node.
_MIN_PAGES = 5


class State(StrEnum):
    """The state of a part, the best one first."""

    OK = "ok"
    WARNING = "warning"
    FAILING = "failing"


@frozen
class Part:
    """A part of the crawler, or something that it depends on.

    :ivar kind: queue, archive, uploads, audit log, users, erasure, crawler, site, node, route, webhook or other.
    :ivar what: what its state is, as a sentence.
    :ivar advice: what to do; empty if nothing has to be done.
    """

    kind: str
    name: str
    state: State
    what: str
    advice: str = ""


#: How the topic of a problem begins, the kind of the part, and what to do.
_TOPICS = (
    ("the queue cannot be", "queue", "See whether the database runs, and whether its disk has room."),
    (
        "the crawler's name",
        "queue",
        "Give each crawler a name of its own, and see whether the server runs.",
    ),
    ("the archive", "archive", "Free or enlarge the disk, or correct the rights of the archive's folder."),
    (
        "archive files cannot be uploaded",
        "uploads",
        "See whether the store can be reached, and its credentials.",
    ),
    (
        "archive file",
        "archive",
        "Restore the file from a backup and restart the crawler, or if the store has another file of this name, give "
        "each crawler a name of its own.",
    ),
    ("the audit log", "audit log", "See whether the queue's database can be written."),
    ("users_file", "users", "Correct the file or its rights; it needs mode 0600 and the crawler's user."),
    ("erased records", "erasure", "See whether the archive can be written; the erasure is tried again every minute."),
    ("the crawler ", "crawler", "Start it again, or see the page on several crawlers."),
    ("site ", "site", "Correct the site's origin, or the name service of this machine."),
)
#: The parts that a crawler always has, and what is said of each while it works.
_ALWAYS = (
    ("queue", "The queue's database can be read and written."),
    ("archive", "Pages can be written to the archive."),
    ("uploads", "No upload has failed."),
    ("audit log", "The audit log can be written."),
    ("erasure", "No erased record waits to be removed."),
)
_ROUTES = {
    RouteState.PROVEN: (State.OK, "The route leads to its node.", ""),
    RouteState.CANDIDATE: (
        State.WARNING,
        "It is not proven yet that the route leads to its node.",
        "Nothing, if the crawler has just started; otherwise run lbcompanion doctor.",
    ),
    RouteState.STALE: (
        State.WARNING,
        "The route does not lead to its node any more.",
        "See whether the node runs and the balancer knows it; lbcompanion doctor looks at the whole way.",
    ),
}


def of_problems(problems: Mapping[str, str], sites: Iterable[str]) -> list[Part]:
    """Return the parts that report problems by themselves, and those that have none.

    :param problems: what is wrong, by topics of :class:`~lbcompanion.crawler.health.Health`.
    :param sites: the names of the sites.
    """
    found: list[Part] = []
    for topic, why in problems.items():
        if topic.startswith("the webhook "):
            continue  # its own report says more
        kind, advice = next(
            ((kind, advice) for start, kind, advice in _TOPICS if topic.startswith(start)),
            ("other", "The crawler's log says when it began."),
        )
        name = topic.removeprefix("site ") if kind == "site" else kind
        found.append(Part(kind, name, State.FAILING, f"{topic[:1].upper()}{topic[1:]}: {why}.", advice))
    failing = {(part.kind, part.name) for part in found}
    found += [Part(kind, kind, State.OK, what) for kind, what in _ALWAYS if (kind, kind) not in failing]
    found += [
        Part("site", name, State.OK, "No problem with the site's name is known.")
        for name in sites
        if ("site", name) not in failing
    ]
    return found


def of_nodes(nodes: Mapping[str, Period]) -> list[Part]:
    """Return the parts of nodes, by what became of their pages in the last hour."""
    return [_node(name, period) for name, period in nodes.items() if name]


def _node(name: str, period: Period) -> Part:
    lost, archived = period.lost_pages, period.archived.pages
    if not lost:
        return Part("node", name, State.OK, f"{archived} pages of the last hour are archived, none is lost.")
    reason = max(period.lost, key=lambda each: period.lost[each])
    what = f"{lost} of {lost + archived} pages of the last hour are lost, most of them: {reason}."
    is_failing = lost >= _MIN_PAGES and lost > archived
    advice = "Look at the lost recordings of the node; lbcompanion doctor looks at the whole way to it."
    return Part("node", name, State.FAILING if is_failing else State.WARNING, what, advice)


def of_routes(routes: Iterable[Route]) -> list[Part]:
    """Return the parts of routes."""
    return [Part("route", f"{each.site}/{each.node}", *_ROUTES[each.state]) for each in routes]


def of_webhooks(reports: Iterable[WebhookReport]) -> list[Part]:
    """Return the parts of webhooks."""
    return [_webhook(each) for each in reports]


def _webhook(report: WebhookReport) -> Part:
    state = report.state
    if not state.failures:
        what = f"It has accepted the last request; {report.waiting} outcomes wait."
        return Part("webhook", report.name, State.OK, what)
    what = f"{state.failures} requests failed in a row, the last one: {state.error}; {report.waiting} outcomes wait."
    is_failing = state.failures >= REPORTED_FAILURES
    advice = f"See whether the program at {report.host} runs; what waits is sent then."
    return Part("webhook", report.name, State.FAILING if is_failing else State.WARNING, what, advice)


def worst(parts: Iterable[Part]) -> State:
    """Return the worst state."""
    order = list(State)
    return max((part.state for part in parts), key=order.index, default=State.OK)
