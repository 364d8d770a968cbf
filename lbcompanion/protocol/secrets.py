"""The farm's secret, and further secrets that are accepted while the secret is replaced.

To replace the secret without losing a copy, every program first accepts the new one, then signs with it, and accepts
the old one until the last copy of that time has expired (docs/running.rst, "Replace the farm's secret").
"""

from __future__ import annotations

from collections.abc import Iterable


class FarmSecret(bytes):
    """The secret that signs, as bytes, with further secrets that are accepted.

    :ivar accepted: all accepted secrets; the first is the signing one.
    """

    accepted: tuple[bytes, ...]

    def __new__(cls, signing: bytes, also_accepted: Iterable[bytes] = ()) -> FarmSecret:
        """Make a secret.

        :param signing: signs requests, proofs and tokens; without surrounding white space.
        :param also_accepted: further secrets whose signatures, proofs and tokens are valid.
        """
        secret = super().__new__(cls, signing)
        secret.accepted = (bytes(signing), *(bytes(other) for other in also_accepted))
        return secret

    def __repr__(self) -> str:
        """Name the class only: a secret must not reach a log."""
        return "FarmSecret(...)"

    __str__ = __repr__


def accepted_secrets(secret: bytes) -> tuple[bytes, ...]:
    """Return all secrets that are accepted beside ``secret``, itself first; plain bytes are accepted alone."""
    return secret.accepted if isinstance(secret, FarmSecret) else (secret,)
