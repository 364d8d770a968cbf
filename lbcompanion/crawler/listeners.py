"""The crawler's listeners on Twisted's transports: intake, admin listener, replay with scripts."""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.web.server import Site

from lbcompanion.endpoints.certificates import ServerCertificate
from lbcompanion.endpoints.strings import parse
from lbcompanion.endpoints.tls_listeners import CERTIFICATE_NOT_RELOADED, reload_certificates, tls_factory


class Listeners:
    """The open listeners of one crawler."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._ports: list[tuple[IListeningPort, WrappingFactory]] = []
        self._certificates: list[tuple[ServerCertificate, int]] = []
        self._log = Logger(namespace="lbcompanion.crawler.service")

    async def listen(self, endpoint_text: str, site: Site) -> int:
        """Open a listener, and return its TCP port; 0 if it does not listen on TCP.

        :param endpoint_text: an endpoint string of :data:`~lbcompanion.endpoints.strings.SERVER_KINDS`.
        :raises BadCertificate: if the certificate of the endpoint string cannot be used.
        """
        factory = WrappingFactory(site)
        factory.noisy = False
        endpoint = parse(endpoint_text)
        served: Any = factory
        certificate = None
        if endpoint.encrypted:
            # Twisted's own listener would read the certificate only once.
            certificate = ServerCertificate(endpoint)
            served = tls_factory(served, certificate)
            options = {name: endpoint.options[name] for name in ("interface", "backlog") if name in endpoint.options}
            endpoint = evolve(endpoint, kind="tcp", options=options)
        listener = serverFromString(self._reactor, str(endpoint))
        listening = cast(IListeningPort, await listener.listen(served))
        self._ports.append((listening, factory))
        port = int(getattr(listening.getHost(), "port", 0))
        if certificate is not None:
            self._certificates.append((certificate, port))
        return port

    def reload(self) -> None:
        """Reload the certificates; one that cannot be used is logged, and the old one stays in use."""
        reload_certificates(self._certificates, self._log_event)

    def _log_event(self, event: str, detail: str) -> None:
        log = self._log.warn if event == CERTIFICATE_NOT_RELOADED else self._log.info
        log("{event}: {detail}", event=event, detail=detail)

    async def stop_listening(self) -> None:
        """Accept no more connections; established ones go on."""
        ports = [maybeDeferred(listening.stopListening) for listening, _ in self._ports]
        await DeferredList(cast(list[Deferred[Any]], ports), consumeErrors=True)

    def close_connections(self) -> None:
        """Close the established connections."""
        for _, factory in self._ports:
            for connection in list(factory.protocols):
                connection.loseConnection()
        self._ports = []
