"""Recordings and routes as JSON objects of the admin API, without cookie values and secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import asdict

from lbcompanion.crawler.crawler_name import crawler_of_file
from lbcompanion.crawler.queue.backlog import load_attempts
from lbcompanion.crawler.queue.requisite_report import load_report
from lbcompanion.model import Attempt, to_rfc3339
from lbcompanion.protocol.removed_parts import RemovedParts
from lbcompanion.sticky.routes import Route


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else to_rfc3339(seconds)


def _reason_so_far(outcome: str | None, attempts: tuple[Attempt, ...]) -> str | None:
    """Return why a page is not archived yet; None if there is nothing to say."""
    return f"not yet: last {attempts[-1].result}" if outcome is None and attempts else None


def recording(row: Any) -> dict[str, Any]:
    """Return one recording from the backlog's row."""
    attempts = load_attempts(row["attempts"])
    removed = RemovedParts.read(row["removed"] or "")
    warc = None
    if file := row["warc_file"]:
        warc = {"file": file, "offset": row["warc_offset"], "crawler": crawler_of_file(file) or None}
    return {
        "token": row["token"],
        "site": row["site"],
        "url": row["page_url"] or row["url"],
        "title": row["title"],
        "method": row["method"],
        "status": row["status"],
        "origin_node": row["origin_node"],
        "answered_by": row["answered_by"] or None,
        "route": row["route"] or None,
        "outcome": row["outcome"],
        "reason": row["reason"] or _reason_so_far(row["outcome"], attempts),
        "sha256": row["sha256"] or None,
        "bytes": row["bytes"],
        "content_type": row["content_type"] or None,
        "by": row["told_by"],
        "visitor": row["visitor"] or None,
        "captured_at": _time(row["captured_at"]),
        "viewed_at": _time(row["viewed_at"]),
        "noticed_at": _time(row["noticed_at"]),
        "finished_at": _time(row["finished_at"]),
        "attempts": [
            {
                "route": each.route.value,
                "node": each.node or None,
                "result": each.result,
                "ms": each.ms,
                "learnt": each.learnt or None,
            }
            for each in attempts
        ],
        "warc": warc,
        "requisites": load_report(row["requisites"]),
        "removed": None if removed is None else asdict(removed),
    }


def routes(known: Iterable[Route]) -> list[dict[str, Any]]:
    """Return the routes, one object for each site and node."""
    return [
        {
            "site": route.site,
            "node": route.node,
            "cookies": [each.name for each in route.cookies],
            "dialect": route.dialect or None,
            "state": route.state.value,
            "learnt_at": _time(route.learnt_at),
            "proven_at": _time(route.proven_at),
            "expires_at": _time(route.expires_at),
            "source": route.source.value,
        }
        for route in known
    ]
