"""Counters of the visitors' path: plain integers, since a metric object would cost more than the event."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from attrs import Factory, define


class Decision(NamedTuple):
    """A decision about an HTML response, for the debug page.

    :ivar path: the request's, without its query.
    :ivar not_captured: why no copy was made; empty if one was.
    :ivar not_injected: why no script was inserted; empty if one was.
    """

    path: bytes
    not_captured: str
    not_injected: str

    def shown(self) -> dict[str, str]:
        """The decision as JSON-compatible text."""
        return {**self._asdict(), "path": self.path.decode("latin-1")}


class EventCounter(Counter[int]):
    """A counter whose items are set as fast as those of a dict: ``Counter`` has its own ``__delitem__``, and so CPython
    looks up ``__setitem__`` each time."""

    __setitem__ = dict.__setitem__
    __delitem__ = dict.__delitem__  # type: ignore[assignment]  # that of Counter takes any object


#: The number of decisions that are remembered.
RECENT = 50


@define
class Counters:
    """Counters since the start, and current gauges.

    :ivar usual_responses: responses that took the usual path (:mod:`lbcompanion.node.proxy.usual_exchange`).
    :ivar refused: refused requests, by status.
    :ivar upstream_waited: requests that were queued at the limit of upstream connections.
    :ivar upstream_made_way: connections closed in favour of a new one that the application did not answer.
    :ivar upstream_bound: connections to the application that were bound to one visitor's connection.
    :ivar upstream_errors: failures of the application, by label.
    :ivar captured: pages whose copy was stored.
    :ivar not_captured: HTML responses without a copy, by reason.
    :ivar not_injected: captured pages without the script, by reason.
    :ivar recent: the latest decisions about HTML responses, the newest last.
    :ivar failed_open: internal errors hidden from visitors, by place.
    :ivar copies_transferred: copies sent to or received from peers when a node stopped, by outcome.
    :ivar page_cookies_dropped: pages whose cookies a limit kept out, by reason.
    """

    connections: int = 0
    connections_open: int = 0
    connections_refused: int = 0
    connections_worn: int = 0
    requests: int = 0
    usual_responses: int = 0
    responses: Counter[int] = Factory(EventCounter)
    refused: Counter[int] = Factory(Counter)
    timeouts: Counter[str] = Factory(Counter)
    upstream_connections: int = 0
    upstream_reused: int = 0
    upstream_waited: int = 0
    upstream_made_way: int = 0
    upstream_bound: int = 0
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
    page_cookies_dropped: Counter[str] = Factory(Counter)
    tunnels: int = 0
    capturing_bytes: int = 0
    recent: deque[Decision] = Factory(lambda: deque(maxlen=RECENT))

    def remember(self, path: bytes, not_captured: str, not_injected: str) -> None:
        """Remember a decision for the debug page."""
        self.recent.append(Decision(path, not_captured, not_injected))

    def count_background_error(self, where: str, error: BaseException) -> None:
        """Count an error of work that no request waits for."""
        self.failed_open[f"{where}: {type(error).__name__}"] += 1

    def count_not_injected(self, path: bytes, why: str) -> None:
        """Count and remember a page that is captured without the script."""
        self.not_injected[why] += 1
        self.remember(path, "", why)
