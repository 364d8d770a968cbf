"""The senders of all webhooks of one crawler, and what the API shows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList

from lbcompanion.crawler.fetching.http_client import Client, agent_for
from lbcompanion.crawler.outcome_watch import OutcomeWatch
from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.webhook_table import WebhookState
from lbcompanion.crawler.webhooks.sender import SenderParts, WebhookSender, count_waiting
from lbcompanion.settings import WebhookSettings

#: Makes the agent of a webhook. Tests pass one without a network.
WebhookAgents = Callable[[WebhookSettings], Any]


@frozen
class WebhookReport:
    """A webhook as the API shows it.

    :ivar host: of its URL; the rest of it may be secret.
    :ivar waiting: how many outcomes it has not got yet, before its filters.
    """

    name: str
    host: str
    state: WebhookState
    waiting: int


def network_agents(reactor: Any) -> WebhookAgents:
    """Return what makes agents that use the network. They follow no redirect."""
    return lambda webhook: agent_for(reactor, "", webhook.ca_file)


class Webhooks:
    """The webhooks of one crawler's settings."""

    def __init__(
        self, settings: Mapping[str, WebhookSettings], watch: OutcomeWatch, parts: SenderParts, agents: WebhookAgents
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._parts = parts
        self._senders = [
            WebhookSender(each, Client(agents(each), parts.reactor, each.timeout_seconds), parts)
            for each in settings.values()
        ]

    async def start(self) -> None:
        """Note from which outcome on new webhooks get them, and send outcomes from now on.

        :raises BacklogError: if the database fails.
        """
        if not self._senders:
            return
        extent = await self._watch.whole_extent()
        for name in self._settings:
            await self._parts.defer(self._parts.table.begin, name, extent.end)
        for sender in self._senders:
            self._watch.follow(sender)

    def stop(self) -> Deferred[Any]:
        """Cancel the running requests, and leave the webhooks to other crawlers."""
        for sender in self._senders:
            self._watch.leave(sender)
        return DeferredList([sender.stop() for sender in self._senders], consumeErrors=True)

    async def reports(self) -> list[WebhookReport]:
        """Return the states of the webhooks.

        :raises BacklogError: if the database fails.
        """
        if not self._settings:
            return []
        extent = await self._watch.whole_extent()
        states = await self._parts.defer(self._parts.table.states, list(self._settings))
        return [
            WebhookReport(name, urlsplit(each.url).hostname or "", state, count_waiting(state.position, extent))
            for name, each in self._settings.items()
            for state in [states.get(name, WebhookState(Position(extent.queue, extent.last)))]
        ]
