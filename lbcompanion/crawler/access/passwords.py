"""Hashes of passwords (scrypt, RFC 7914) and of access tokens.

A password's hash is stored with its own parameters, so that later versions may use higher ones. A token has 256 random
bits; SHA-256 is enough for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode

from attrs import frozen

from lbcompanion.errors import CompanionError

#: The longest password, in bytes of UTF-8.
MAX_PASSWORD_BYTES = 1024
#: The shortest password that a command accepts, in characters.
MIN_PASSWORD_CHARACTERS = 8
#: The most memory of one check. A hash with higher parameters is refused.
MAX_MEMORY_BYTES = 64 << 20

_SALT_BYTES, _KEY_BYTES = 16, 32
_TOKEN_PREFIX = "lbc_"
_WRITTEN = re.compile(
    r"scrypt\$([0-9]{1,7})\$([0-9]{1,3})\$([0-9]{1,3})\$([A-Za-z0-9+/]{1,88}={0,2})\$(\S{44})", re.ASCII
)


class BadHash(CompanionError):
    """A stored hash that cannot be used; the text says why."""


@frozen
class Cost:
    """The parameters of scrypt: it takes ``128 * n * r`` bytes of memory, and a time in proportion to ``n * r * p``."""

    n: int = 1 << 15
    r: int = 8
    p: int = 3

    @property
    def memory_bytes(self) -> int:
        """The memory that one check takes."""
        return 128 * self.n * self.r + 128 * self.r * self.p


#: 32 MiB and about a quarter of a second.
DEFAULT_COST = Cost()


@frozen
class PasswordHash:
    """The hash of a password, with its salt and its parameters."""

    cost: Cost
    salt: bytes
    key: bytes

    @classmethod
    def parse(cls, written: str) -> PasswordHash:
        """Read a hash.

        :raises BadHash: if it has another form, or needs too much memory.
        """
        found = _WRITTEN.fullmatch(written)
        if found is None:
            raise BadHash("a password's hash has to be scrypt$N$R$P$SALT$KEY")
        cost = Cost(int(found[1]), int(found[2]), int(found[3]))
        if cost.n < 2 or cost.n & (cost.n - 1) or not cost.r or not 1 <= cost.p <= 16:
            raise BadHash("the parameters of a password's hash: N has to be a power of two, R 1 or more, P 1 to 16")
        if cost.memory_bytes > MAX_MEMORY_BYTES:
            raise BadHash(f"a password's hash needs more than {MAX_MEMORY_BYTES} bytes of memory")
        try:
            return cls(cost, b64decode(found[4], validate=True), b64decode(found[5], validate=True))
        except ValueError:
            raise BadHash("salt and key of a password's hash have to be base64") from None

    @classmethod
    def of(cls, password: str, cost: Cost = DEFAULT_COST) -> PasswordHash:
        """Hash a password; blocks for a quarter of a second."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return cls(cost, salt, _scrypt(password, salt, cost))

    @classmethod
    def unknown(cls, cost: Cost) -> PasswordHash:
        """Return a hash that no password has; checking it takes as long as checking another one of this cost."""
        return cls(cost, bytes(_SALT_BYTES), secrets.token_bytes(_KEY_BYTES))

    def matches(self, password: str) -> bool:
        """Whether it is the hash of a password; blocks for as long as :meth:`of`."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.cost), self.key)

    def __str__(self) -> str:
        salt, key = (b64encode(each).decode() for each in (self.salt, self.key))
        return f"scrypt${self.cost.n}${self.cost.r}${self.cost.p}${salt}${key}"


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    given = password.encode("utf-8", "surrogatepass")[:MAX_PASSWORD_BYTES]
    memory = cost.memory_bytes + (1 << 20)
    return hashlib.scrypt(given, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=_KEY_BYTES)


def new_token() -> str:
    """Make an access token of 256 random bits."""
    return _TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Return the hash that is stored for an access token or the id of a session."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
