"""Reads and checks the certificates and keys of endpoint strings, and makes TLS contexts of them.

There are two contexts, for the two TLS libraries: :mod:`ssl` for asyncio's transports, pyOpenSSL for Twisted's.
They allow TLS 1.2 and 1.3, and only HTTP/1.1 by ALPN (RFC 7301). The application's certificate is always verified.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL import SSL

from lbcompanion.endpoints.strings import EndpointString
from lbcompanion.errors import CompanionError

ALPN_PROTOCOL = "http/1.1"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class BadCertificate(CompanionError):
    """A certificate, key or list of authorities cannot be used; the text names the file and the reason, never the
    content."""


class ServerCertificate:
    """The certificate of a TLS listener; it can be reloaded while the listener runs.

    :param endpoint: an endpoint with ``privateKey``, and optionally ``certKey``, ``extraCertChain``,
        ``dhParameters``.
    :ivar context: for asyncio's transports.
    :ivar twisted_context: for Twisted's transports.
    :raises BadCertificate: if it cannot be used.
    """

    def __init__(self, endpoint: EndpointString) -> None:
        options = endpoint.options
        self._key = options["privateKey"]
        self._certificate = options.get("certKey") or self._key
        self._chain = options.get("extraCertChain", "")
        self._dh_parameters = options.get("dhParameters", "")
        self.reload()

    def reload(self) -> None:
        """Reload the files, for new connections.

        :raises BadCertificate: if they cannot be used; the previous content stays in use.
        """
        chain = _read(self._certificate)
        if self._chain:
            chain += b"\n" + _read(self._chain)
        key = _read(self._key)
        try:
            contexts = self._for_asyncio(chain, key), self._for_twisted(chain, key)
        except (OSError, ValueError, TypeError, SSL.Error) as error:
            # ssl.SSLError is an OSError. Its text has OpenSSL's reason, and no content of the files.
            raise BadCertificate(f"{self._certificate} with {self._key}: {_error_text(error)}") from None
        self.context, self.twisted_context = contexts

    def _for_asyncio(self, chain: bytes, key: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols([ALPN_PROTOCOL])
        with _as_file(chain) as chain_file, _as_file(key) as key_file:
            # Without this callback, OpenSSL would ask for a password on the terminal.
            context.load_cert_chain(chain_file, key_file, password=_no_password)
        if self._dh_parameters:
            context.load_dh_params(self._dh_parameters)
        return context

    def _for_twisted(self, chain: bytes, key: bytes) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        certificate, *extra_certificates = load_pem_x509_certificates(chain)
        private_key: Any = load_pem_private_key(key, None)
        context.use_certificate(certificate)
        context.use_privatekey(private_key)
        context.check_privatekey()
        for certificate in extra_certificates:
            context.add_extra_chain_cert(certificate)
        context.set_alpn_select_callback(_choose_protocol)
        if self._dh_parameters:
            context.load_tmp_dh(self._dh_parameters.encode())
        return context


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> Any:
    # A client that does not offer our protocol continues without ALPN, as with the ssl module.
    return ALPN_PROTOCOL.encode() if ALPN_PROTOCOL.encode() in offered else SSL.NO_OVERLAPPING_PROTOCOLS


class ClientCertificates:
    """The authorities that verify the application's certificate, and the client certificate for it.

    :param endpoint: a ``tls:`` or ``ssl:`` client endpoint. Its ``trustRoots`` (``caCertsDir``) is a folder of
        ``.pem`` files, or one file. Without it the system's authorities are trusted.
    :ivar hostname: the name or address that the application's certificate must contain.
    :ivar authorities: the trusted authorities; None means the system's.
    :raises BadCertificate: if a file cannot be used.
    """

    def __init__(self, endpoint: EndpointString) -> None:
        options = endpoint.options
        self.hostname = options.get("hostname") or endpoint.args[0]
        roots = options.get("trustRoots") or options.get("caCertsDir") or ""
        self._certificate = options.get("certificate") or options.get("certKey") or ""
        self._key = options.get("privateKey") or self._certificate
        self.authorities = _authorities(Path(roots)) if roots else None
        self.context = self._for_asyncio(roots)

    def _for_asyncio(self, roots: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([ALPN_PROTOCOL])
        try:
            if self.authorities is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(cadata="\n".join(_pem(certificate) for certificate in self.authorities))
            if self._certificate:
                context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except OSError as error:
            raise BadCertificate(f"{self._certificate or roots}: {_error_text(error)}") from None
        return context

    def for_twisted(self) -> Any:
        """Return an ``IOpenSSLClientConnectionCreator`` for Twisted's transports."""
        from twisted.internet import ssl as twisted_ssl  # noqa: PLC0415 - only where Twisted's transports are used

        roots: Any = None
        if self.authorities is not None:
            loaded = [twisted_ssl.Certificate.loadPEM(_pem(certificate).encode()) for certificate in self.authorities]
            roots = twisted_ssl.trustRootFromCertificates(loaded)
        client_certificate = None
        if self._certificate:
            pems = _read(self._certificate) + b"\n" + _read(self._key)
            client_certificate = twisted_ssl.PrivateCertificate.loadPEM(pems)
        return twisted_ssl.optionsForClientTLS(
            self.hostname,
            trustRoot=roots,
            clientCertificate=client_certificate,
            acceptableProtocols=[ALPN_PROTOCOL.encode()],
        )


def pem_blocks(file: Path) -> list[bytes]:
    """Return the certificates of a PEM file, each in PEM; ignore text between them.

    :raises OSError: if the file cannot be read.
    """
    return _PEM.findall(file.read_bytes())


def _authorities(roots: Path) -> list[Certificate]:
    try:
        files = sorted(roots.glob("*.pem")) if roots.is_dir() else [roots]
        certificates = [
            certificate for file in files for pem in pem_blocks(file) for certificate in load_pem_x509_certificates(pem)
        ]
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{roots}: {_error_text(error)}") from None
    if not certificates:
        raise BadCertificate(f"{roots}: no certificate in there")
    return certificates


def _pem(certificate: Certificate) -> str:
    return ssl.DER_cert_to_PEM_cert(certificate.public_bytes(Encoding.DER))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadCertificate(f"{path}: {error.strerror}") from None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Make a file in memory. The ssl module reads certificates from files only, and all must be of the same state."""
    descriptor = os.memfd_create("lbcompanion", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_password() -> str:
    raise ValueError("the key is encrypted with a password, which is not supported")


def _error_text(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not usable").lower().replace("_", " ")
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, SSL.Error):
        return "not usable together"
    return "not in PEM, or encrypted with a password"
