"""Whether a request carries the visitor's consent: ``[capture] consent_cookie``, ``respect_gpc`` and ``respect_dnt``.

A value that cannot be read counts as no consent.
"""

from __future__ import annotations

from urllib.parse import unquote

from lbcompanion.http1.heads import RequestHead
from lbcompanion.settings import CaptureTable

#: Why a request is not captured.
NO_CONSENT = "no consent"
GLOBAL_PRIVACY_CONTROL = "Sec-GPC"
DO_NOT_TRACK = "DNT"
#: All of them.
REASONS = frozenset({NO_CONSENT, GLOBAL_PRIVACY_CONTROL, DO_NOT_TRACK})

# Browsers store no cookie that is longer.
_MAX_VALUE_BYTES = 4096


class Consent:
    """The compiled rules.

    :ivar needed: whether there are any. Without them nothing about a request is read.
    """

    def __init__(self, capture: CaptureTable) -> None:
        self._cookie = capture.consent_cookie.encode()
        self._patterns = [pattern.split("*") for pattern in capture.consent_values]
        self._signals: list[tuple[bytes, str]] = []
        if capture.respect_gpc:
            self._signals.append((b"sec-gpc", GLOBAL_PRIVACY_CONTROL))
        if capture.respect_dnt:
            self._signals.append((b"dnt", DO_NOT_TRACK))
        self.needed = bool(self._cookie or self._signals)

    def refusal(self, head: RequestHead) -> str:
        """One of :data:`REASONS`; empty if the page may be recorded."""
        for field, reason in self._signals:
            if refuses(head, field):
                return reason
        if self._cookie and not self.is_given(head):
            return NO_CONSENT
        return ""

    def is_given(self, head: RequestHead) -> bool:
        """Whether the request has the consent cookie, and each cookie of that name has a value that means consent.

        A browser may send several cookies of one name, of different paths and domains: one refusal is enough.
        """
        cookies = head.values.get(b"cookie", b"")
        if self._cookie not in cookies:
            return False
        found = False
        for piece in cookies.split(b";"):
            name, equals, value = piece.partition(b"=")
            if equals and name.strip(b" \t") == self._cookie:
                if not self._means_consent(value.strip(b" \t")):
                    return False
                found = True
        return found

    def _means_consent(self, value: bytes) -> bool:
        if len(value) > 1 and value[:1] == value[-1:] == b'"':
            value = value[1:-1]
        if not self._patterns:
            return value != b""
        if len(value) > _MAX_VALUE_BYTES:
            return False
        raw = value.decode("latin-1")
        readings = (raw, unquote(raw)) if "%" in raw else (raw,)
        return any(_matches(parts, reading) for parts in self._patterns for reading in readings)


def refuses(head: RequestHead, field: bytes) -> bool:
    """Whether a signal such as ``Sec-GPC`` or ``DNT`` is set to 1, on one line at least."""
    return any(value.strip() == b"1" for line in head.all(field) for value in line.split(b","))


def _matches(parts: list[str], text: str) -> bool:
    """Whether a pattern, split at its ``*``, matches a whole text: in time linear in the text for each part."""
    first, *rest = parts
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return position <= end and text.endswith(last)
