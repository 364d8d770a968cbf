"""Notices as a backlog takes them in."""

from __future__ import annotations

from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.model import Notice, NoticeSource


def arrival(
    token: str, node: str = "n1", cookies: dict[str, str] | None = None, visitor: str = "", viewed_at: float = 1.0
) -> Arrival:
    times = viewed_at, viewed_at + 1
    notice = Notice(
        token, "http://www.example.com/", cookies or {}, *times, source=NoticeSource.SERVER, visitor=visitor
    )
    return Arrival(notice, node, "main")
