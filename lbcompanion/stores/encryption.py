"""A store wrapper that encrypts copies at rest.

It encrypts the body and the URL with AES-256-GCM, each with a fresh nonce. The token is associated data, so one
encrypted copy cannot be substituted for another. ``sha256`` remains the digest of the plaintext body.
"""

from __future__ import annotations

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
from lbcompanion.stores.delegating import DelegatingStore

_NONCE_BYTES = 12


class EncryptedStore(DelegatingStore):
    """Encrypts copies before it stores them, decrypts them when it returns them, and forwards all other calls.

    An encrypted body is 28 bytes longer, for nonce and tag; ``max_bytes`` counts them.

    :param inner: stores the encrypted copies.
    :param key: the content of the key file, in any format, as :func:`lbcompanion.checks.read_secret` reads it;
        the cipher's key is derived from it (HKDF, RFC 5869).
    :param entropy: ``entropy(n)`` returns ``n`` bytes that never repeat (nonces).
    """

    def __init__(self, inner: Any, key: bytes, entropy: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(inner)
        self._cipher = AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"lbc-seal-1").derive(key))
        self._entropy = entropy

    def put(self, page: Page) -> Deferred[None]:
        """Encrypt and store a copy."""
        return self.inner.put(self._encrypted(page))

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """Return the decrypted copy, or a miss. Fails with ``StoreError`` for another key or an altered copy."""
        return self.inner.peek(token).addCallback(self._decrypted)

    def take(self, token: str) -> Deferred[Page | Miss]:
        """Return the decrypted copy, or a miss, for sending."""
        return self.inner.take(token).addCallback(self._decrypted)

    def _encrypted(self, page: Page) -> Page:
        url = self._encrypt(page.url.encode("utf-8", "surrogatepass"), b"url", page.token)
        body = self._encrypt(page.body, b"body", page.token)
        return evolve(page, url=b64encode(url).decode(), body=body, sha256=page.sha256)

    def _decrypted(self, stored: Page | Miss) -> Page | Miss:
        if isinstance(stored, Miss):
            return stored
        try:
            url = self._decrypt(b64decode(stored.url, validate=True), b"url", stored.token)
            body = self._decrypt(stored.body, b"body", stored.token)
        except (InvalidTag, ValueError):
            raise StoreError("a copy cannot be decrypted: wrong key, not encrypted, or altered") from None
        return evolve(stored, url=url.decode("utf-8", "surrogatepass"), body=body)

    def _encrypt(self, plaintext: bytes, part: bytes, token: str) -> bytes:
        nonce = self._entropy(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, part + b"\n" + token.encode())

    def _decrypt(self, encrypted: bytes, part: bytes, token: str) -> bytes:
        return self._cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], part + b"\n" + token.encode())
