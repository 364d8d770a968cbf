"""What the visitor's path counts: plain numbers, since a metric object would cost more than the event."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from attrs import Factory, define


class Decision(NamedTuple):
    """What was decided about an HTML answer, for the debug page.

    :ivar path: the request's, without its query.
    :ivar not_captured: why no copy was taken; empty where one was.
    :ivar not_injected: why nothing was inserted; empty where something was.
    """

    path: bytes
    not_captured: str
    not_injected: str

    def shown(self) -> dict[str, str]:
        """The same as text."""
        return {**self._asdict(), "path": self.path.decode("latin-1")}


#: So many decisions are remembered.
RECENT = 50


@define
class Counters:
    """Counts since the start, and gauges of now.

    :ivar refused: by status, messages of visitors that were refused.
    :ivar upstream_waited: requests that had to wait, since no further connection to the application was allowed.
    :ivar upstream_made_way: connections closed so that the application may take a new one that it does not answer.
    :ivar upstream_errors: by word, what went wrong with the application.
    :ivar captured: pages whose copy was handed to the store and kept.
    :ivar not_captured: by reason, HTML answers of which no copy was kept.
    :ivar not_injected: by reason, captured pages that got no script.
    :ivar recent: the latest decisions about HTML answers, the newest last.
    :ivar failed_open: by place, errors of ours that a visitor never saw.
    :ivar copies_transferred: by word, copies that went to peers or came from them when a node stopped.
    """

    connections: int = 0
    connections_open: int = 0
    connections_refused: int = 0
    connections_max_requests: int = 0
    requests: int = 0
    responses: Counter[int] = Factory(Counter)
    refused: Counter[int] = Factory(Counter)
    timeouts: Counter[str] = Factory(Counter)
    upstream_connections: int = 0
    upstream_reused: int = 0
    upstream_waited: int = 0
    upstream_made_way: int = 0
    upstream_errors: Counter[str] = Factory(Counter)
    captured: int = 0
    captured_bytes: int = 0
    injected: int = 0
    not_captured: Counter[str] = Factory(Counter)
    not_injected: Counter[str] = Factory(Counter)
    failed_open: Counter[str] = Factory(Counter)
    fetches: Counter[str] = Factory(Counter)
    notices: Counter[str] = Factory(Counter)
    copies_transferred: Counter[str] = Factory(Counter)
    tunnels: int = 0
    capturing_bytes: int = 0
    recent: deque[Decision] = Factory(lambda: deque(maxlen=RECENT))

    def remember(self, path: bytes, not_captured: str, not_injected: str) -> None:
        """Remember a decision."""
        self.recent.append(Decision(path, not_captured, not_injected))

    def count_not_injected(self, path: bytes, why: str) -> None:
        """Count, and remember, a page that is captured without anything being inserted."""
        self.not_injected[why] += 1
        self.remember(path, "", why)
