"""The pseudonym of a visitor, which groups recordings: a keyed hash of the visitor cookie's value.

The key is derived from the farm's secret, so all nodes make the same pseudonym, and without the secret nobody can find
a value by trying many. The value itself stays on the node.
"""

from __future__ import annotations

import base64
import hmac
import re
from hashlib import sha256

from lbcompanion.protocol.secrets import accepted_secrets

#: Values that do not identify a visitor: the script writes 0 and 1 when it decides whether a visitor is recorded.
COMMON_VALUES = frozenset({"", "0", "1"})

_BYTES = 16
_PURPOSE = b"lbcompanion: visitors by cookie"
_PSEUDONYM = re.compile(r"v1[A-Za-z0-9_-]{22}", re.ASCII)


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym."""
    return _PSEUDONYM.fullmatch(text) is not None


def visitor_key(secret: bytes) -> bytes:
    """Return the key of pseudonyms, derived from the farm's secret."""
    return hmac.digest(secret, _PURPOSE, sha256)


def visitor_pseudonym(key: bytes, value: str) -> str:
    """Return a visitor's pseudonym.

    :param key: see :func:`visitor_key`.
    :param value: the cookie's value as it stands in ``Cookie``; quotes around it do not count.
    :returns: ``v1`` and 22 characters; empty if the value does not identify a visitor.
    """
    value = value.strip(" \t")
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if value in COMMON_VALUES:
        return ""
    digest = hmac.digest(key, value.encode("utf-8", "replace"), sha256)
    return "v1" + base64.urlsafe_b64encode(digest[:_BYTES]).decode().rstrip("=")


def visitor_pseudonyms(secret: bytes, text: str) -> tuple[str, ...]:
    """Return the pseudonyms that a visitor may have in recordings.

    :param secret: the farm's secret; older recordings have pseudonyms of a secret that is accepted beside it.
    :param text: a cookie's value, or a pseudonym.
    :returns: one for each accepted secret, and the text itself if it is a pseudonym.
    """
    found = [text] if is_pseudonym(text) else []
    found += [visitor_pseudonym(visitor_key(each), text) for each in accepted_secrets(secret)]
    return tuple(dict.fromkeys(each for each in found if each))
