"""TLS of Twisted's listeners, with a certificate that can be reloaded while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from lbcompanion.endpoints.certificates import BadCertificate, ServerCertificate

#: The event of a certificate that cannot be used after it was changed.
CERTIFICATE_NOT_RELOADED = "certificate not reloaded, the old one stays"


@implementer(IOpenSSLServerConnectionCreator)
class _TlsContextSource:
    """Creates TLS connections from the certificate as last loaded, so that a reload takes effect."""

    def __init__(self, certificate: ServerCertificate) -> None:
        self._certificate = certificate

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A new server-side TLS connection."""
        return SSL.Connection(self._certificate.twisted_context, None)


def tls_factory(factory: Factory, certificate: ServerCertificate) -> Factory:
    """Wrap a factory in TLS."""
    wrapped: Any = TLSMemoryBIOFactory(_TlsContextSource(certificate), False, factory)
    wrapped.noisy = False
    tls_wrapped: Factory = wrapped
    return tls_wrapped


def reload_certificates(
    certificates: Iterable[tuple[ServerCertificate, int]], log_event: Callable[[str, str], None]
) -> None:
    """Reload all certificates; one that cannot be used is logged, and the old one stays in use.

    :param certificates: with the port of each.
    :param log_event: ``log_event(event, detail)``.
    """
    for certificate, port in certificates:
        try:
            certificate.reload()
        except BadCertificate as error:
            log_event(CERTIFICATE_NOT_RELOADED, str(error))
        else:
            log_event("certificate reloaded", f"port {port}")
