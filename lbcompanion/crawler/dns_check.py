"""Checks regularly that the host names of the sites resolve, so that a wrong name is noticed before it costs a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from lbcompanion.crawler.health import Health
from lbcompanion.loops import CountError, SteadyLoop, not_counted
from lbcompanion.settings import SiteSettings

CHECK_SECONDS = 30.0
_TIMEOUT_SECONDS = 10.0


class DnsCheck:
    """Resolves the host of each site that has no ``connect``.

    :param reactor: for its name resolver and for timers.
    :param count_error: counts checks that failed by a defect.
    """

    def __init__(
        self,
        sites: Iterable[SiteSettings],
        reactor: Any,
        health: Health,
        count_error: CountError = not_counted,
    ) -> None:
        self._sites = [site for site in sites if not site.connect]
        self._reactor = reactor
        self._health = health
        self._checks = SteadyLoop(self.check, name="host names", clock=reactor, count_error=count_error)

    def start(self) -> None:
        """Check now and then regularly."""
        self._checks.start(CHECK_SECONDS)

    def stop(self) -> None:
        """Stop checking."""
        self._checks.stop()

    def check(self) -> Deferred[Any]:
        """Check all sites once."""
        return DeferredList([self._check(site) for site in self._sites])

    def _check(self, site: SiteSettings) -> Deferred[None]:
        host = urlsplit(site.origin).hostname or ""
        receiver = _Receiver()
        self._reactor.nameResolver.resolveHostName(receiver, host)
        receiver.done.addTimeout(_TIMEOUT_SECONDS, self._reactor)
        return receiver.done.addCallbacks(
            lambda found: self._report(site, host, found=found), lambda _failure: self._report(site, host, found=False)
        )

    def _report(self, site: SiteSettings, host: str, *, found: bool) -> None:
        topic = f"site {site.name}"
        if found:
            self._health.works(topic)
        else:
            why = (
                f"the name {host} does not resolve: its pages cannot be fetched; correct DNS or origin, or set connect"
            )
            self._health.failed(topic, why)


@implementer(IResolutionReceiver)
class _Receiver:
    """Fires with whether the name has an address."""

    def __init__(self) -> None:
        self.done: Deferred[bool] = Deferred()
        self._found = False

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """Do nothing."""

    def addressResolved(self, address: Any) -> None:
        """Take note of an address."""
        self._found = True

    def resolutionComplete(self) -> None:
        """Fire, unless it took too long."""
        if not self.done.called:
            self.done.callback(self._found)
