"""Confirms archived copies to their nodes, several in one request.

While a request is under way, further copies of the same route wait, and share the next request. A node of an earlier
version does not know such requests. Then, and after any other answer without a proof, the copies are confirmed one by
one, and the node gets single requests for :data:`SINGLE_SECONDS`.
"""

from __future__ import annotations

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.protocol.confirmations import MAX_TOKENS

#: How long a node gets single requests after it did not answer one for several copies. An upgrade may follow soon.
SINGLE_SECONDS = 60.0
#: Statuses that confirm a copy: the node removed it now (204), or does not have it any more (404).
_DONE = frozenset({204, 404})


@frozen
class _BatchKey:
    """Identifies the confirmations that may share a request: those of one site, to one node, by one route."""

    fetcher: SiteFetcher
    owner: str
    route: str
    direct: str


@define
class _Waiting:
    """A copy to be confirmed."""

    token: str
    fetch_path: FetchPath
    done: Deferred[bool] = Factory(Deferred)


class Confirmations:
    """Confirms copies.

    :param reactor: for the time, and to wait.
    :param gather_seconds: how long a confirmation waits for others of its route; 0: only while one is under way.
    """

    def __init__(self, reactor: IReactorTime, gather_seconds: float = 0.0) -> None:
        self._reactor = reactor
        self._gather_seconds = gather_seconds
        self._batches: dict[_BatchKey, list[_Waiting]] = {}
        self._log = Logger(namespace="lbcompanion.crawler.crawl")
        self._single_until: dict[tuple[SiteFetcher, str], float] = {}

    def confirm(self, fetcher: SiteFetcher, owner: str, token: str, fetch_path: FetchPath) -> Deferred[bool]:
        """Confirm a copy that is archived durably.

        :param owner: the node that has it.
        :returns: a Deferred with whether the node accepted it; it never fails.
        """
        batch_key = _BatchKey(fetcher, owner, fetch_path.route, fetch_path.direct)
        waiting = _Waiting(token, fetch_path)
        if batch_key in self._batches:
            self._batches[batch_key].append(waiting)
            return waiting.done
        self._batches[batch_key] = [waiting]
        if self._gather_seconds:
            self._reactor.callLater(self._gather_seconds, self._start, batch_key)
        else:
            self._start(batch_key)
        return waiting.done

    def _start(self, batch_key: _BatchKey) -> None:
        Deferred.fromCoroutine(self._run(batch_key))

    async def _run(self, batch_key: _BatchKey) -> None:
        """Send the waiting confirmations, and those that came meanwhile, until no confirmation waits."""
        while self._batches[batch_key]:
            waiting = self._batches[batch_key]
            batch, self._batches[batch_key] = waiting[:MAX_TOKENS], waiting[MAX_TOKENS:]
            try:
                statuses = await self._send(batch_key, batch)
            except Exception:
                # A defect. The copies are confirmed one by one, and later ones of this route do not wait for ever.
                self._log.failure("confirmations could not be sent together")
                statuses = {}
            try:
                await gatherResults([self._finish(each, batch_key, statuses) for each in batch])
            except Exception:
                # A defect of one that waits.
                self._log.failure("a confirmation could not be finished")
        del self._batches[batch_key]

    def _finish(self, waiting: _Waiting, batch_key: _BatchKey, statuses: dict[str, int]) -> Deferred[None]:
        """Fire a copy's Deferred; a copy that was not confirmed yet is confirmed alone."""
        if statuses.get(waiting.token) in _DONE:
            done: Deferred[bool] = succeed(True)
        else:
            done = Deferred.fromCoroutine(batch_key.fetcher.confirm(waiting.token, waiting.fetch_path))
        return done.addCallbacks(waiting.done.callback, waiting.done.errback)

    async def _send(self, batch_key: _BatchKey, batch: list[_Waiting]) -> dict[str, int]:
        """Send one request for several copies; return the statuses that the node answered."""
        if len(batch) == 1 or self._is_single(batch_key):
            return {}
        try:
            # The newest cookies: a balancer may accept only these.
            path, tokens = batch[-1].fetch_path, [each.token for each in batch]
            statuses = await batch_key.fetcher.confirm_several(tokens, path, batch_key.owner)
        except FetchFailed:
            return {}
        if statuses is None:
            self._single_until[batch_key.fetcher, batch_key.owner] = self._reactor.seconds() + SINGLE_SECONDS
        return statuses or {}

    def _is_single(self, batch_key: _BatchKey) -> bool:
        key = (batch_key.fetcher, batch_key.owner)
        until = self._single_until.get(key)
        if until is not None and until <= self._reactor.seconds():
            del self._single_until[key]
            until = None
        return until is not None
