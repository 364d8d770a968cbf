"""A store wrapper that encrypts copies at rest.

It encrypts the body, the head and the URL with AES-256-GCM, each with a fresh nonce. The token is associated data, so
one encrypted copy cannot be substituted for another. ``sha256`` becomes a digest with a key: that of the plain body
would confirm a guess about the page. The token, the method, the status, the type and the times stay readable.
"""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from attrs import evolve
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from twisted.internet.defer import Deferred

from lbcompanion.errors import StoreError
from lbcompanion.model import Miss, Page
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.stores.delegating import DelegatingStore

_NONCE_BYTES = 12
_NOT_DECRYPTED = "a copy cannot be decrypted: wrong key, not encrypted, or altered"


class EncryptedStore(DelegatingStore):
    """Encrypts copies before it stores them, decrypts them when it returns them, and forwards all other calls.

    An encrypted body or head is 28 bytes longer, for nonce and tag; ``max_bytes`` counts them. An empty head, of a node
    of an earlier version, stays empty.

    :param inner: stores the encrypted copies.
    :param key: the content of the key file, in any format, as :func:`lbcompanion.checks.read_secret` reads it;
        the cipher's key is derived from it (HKDF, RFC 5869).
    :param entropy: ``entropy(n)`` returns ``n`` bytes that never repeat (nonces).
    """

    def __init__(self, inner: Any, key: bytes, entropy: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(inner)
        self._cipher = AESGCM(_derived_key(key, b"lbc-seal-1"))
        self._digest_key = _derived_key(key, b"lbc-seal-digest-1")
        self._entropy = entropy

    def put(self, page: Page) -> Deferred[None]:
        """Encrypt and store a copy."""
        return self.inner.put(self._encrypted(page))

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """Return the decrypted copy, or a miss. Fails with ``StoreError`` for another key or an altered copy."""
        return self.inner.peek(token).addCallback(self._decrypted)

    def url_of(self, token: str) -> Deferred[str]:
        """Return the decrypted URL of a copy; empty if there is none."""
        return self.inner.url_of(token).addCallback(self._decrypted_url, token)

    def take(self, token: str) -> Deferred[Page | Miss]:
        """Return the decrypted copy, or a miss, for sending."""
        return self.inner.take(token).addCallback(self._decrypted)

    def _encrypted(self, page: Page) -> Page:
        url = self._encrypt(page.url.encode("utf-8", "surrogatepass"), b"url", page.token)
        body = self._encrypt(page.body, b"body", page.token)
        head = self._encrypt(page.head, b"head", page.token) if page.head else b""
        return evolve(page, url=b64encode(url).decode(), body=body, head=head, sha256=self._keyed_digest(page))

    def _decrypted(self, stored: Page | Miss) -> Page | Miss:
        if isinstance(stored, Miss):
            return stored
        try:
            body = self._decrypt(stored.body, b"body", stored.token)
            head = self._decrypt(stored.head, b"head", stored.token) if stored.head else b""
        except (InvalidTag, ValueError):
            raise StoreError(_NOT_DECRYPTED) from None
        url = self._decrypted_url(stored.url, stored.token)
        return evolve(stored, url=url, body=body, head=head, sha256=digest_of(body))

    def _decrypted_url(self, encrypted: str, token: str) -> str:
        if not encrypted:
            return ""
        try:
            url = self._decrypt(b64decode(encrypted, validate=True), b"url", token)
        except (InvalidTag, ValueError):
            raise StoreError(_NOT_DECRYPTED) from None
        return url.decode("utf-8", "surrogatepass")

    def _keyed_digest(self, page: Page) -> bytes:
        """A digest that tells nothing without the key, not even whether two pages are equal."""
        return hmac.digest(self._digest_key, page.token.encode() + b"\n" + page.sha256, "sha256")

    def _encrypt(self, plaintext: bytes, part: bytes, token: str) -> bytes:
        nonce = self._entropy(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, part + b"\n" + token.encode())

    def _decrypt(self, encrypted: bytes, part: bytes, token: str) -> bytes:
        return self._cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], part + b"\n" + token.encode())


def _derived_key(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(key)
