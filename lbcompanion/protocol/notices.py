"""Notices on the wire: a browser's post to a node, and a node's delivery to the crawler.

Reading is strict. An error says what is expected, and never quotes the received value, which may be a visitor's data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeGuard

from attrs import field, frozen

from lbcompanion.errors import NoticeError
from lbcompanion.model import Loss, LossReason, Notice, NoticeSource, from_rfc3339, to_rfc3339
from lbcompanion.protocol import shapes

#: The maximum size of a browser's notice.
BROWSER_LIMIT_BYTES = 16384
#: The maximum size of a delivery.
BATCH_LIMIT_BYTES = 4194304

# A URL may be as long as a request head; usually the limit of the whole body applies first.
_MAX_URL_CHARS = 131072
# All routing cookies of a node fit: they have 4 KiB in total (lbcompanion.sticky.cookies).
_MAX_COOKIES = 1024
_MAX_NAME_CHARS = 4096
_MAX_VALUE_CHARS = 4096
_MAX_REASON_CHARS = 300

# Control characters, and lone surrogates, which UTF-8 cannot encode.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PSEUDONYM = re.compile(r"[A-Za-z0-9_-]{0,63}", re.ASCII)
# RFC 3339 section 5.6; datetime alone accepts more of ISO 8601.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@frozen
class BrowserNotice:
    """A browser's notice that a copy was viewed.

    :ivar token: a well-formed token; the node must check that this farm minted it.
    :ivar url: the page's URL in the browser; never trusted.
    :ivar cookies: name to raw value of the cookies that the script could read; not reduced yet.
    :ivar viewed_at: seconds since the epoch.
    """

    token: str
    url: str
    cookies: Mapping[str, str] = field(repr=False)
    viewed_at: float


def read_browser_notice(body: bytes) -> BrowserNotice:
    """Read a browser's notice.

    :raises NoticeError: with status 413 if it is longer than 16 KiB, with 400 if it is malformed.
    """
    entry = _object(_json(body, BROWSER_LIMIT_BYTES), "the notice")
    return BrowserNotice(_token(entry, ""), _url(entry, "", "url"), _cookies(entry, ""), _time(entry, "", "viewed_at"))


def write_notices(notices: Sequence[Notice], losses: Sequence[Loss] = ()) -> bytes:
    """Write a delivery of notices and losses for the crawler's intake; an older crawler ignores the losses."""
    entries = [
        {
            "token": notice.token,
            "url": notice.url,
            "cookies": dict(notice.cookies),
            "viewed_at": to_rfc3339(notice.viewed_at),
            "noticed_at": to_rfc3339(notice.noticed_at),
            "page_url": notice.page_url if _is_url(notice.page_url) else "",
            "by": notice.source.value,
            **({"visitor": notice.visitor} if notice.visitor else {}),
            **({"sender": notice.sender} if notice.sender else {}),
        }
        for notice in notices
    ]
    payload: dict[str, Any] = {"notices": entries}
    if losses:
        payload["lost"] = [{"token": loss.token, "reason": loss.reason.text} for loss in losses]
    # As UTF-8: a letter needs two or three bytes instead of six. A lone surrogate, which UTF-8 cannot encode, is not
    # in a URL or a cookie that was read.
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def read_notices(body: bytes, limit_bytes: int = BATCH_LIMIT_BYTES) -> list[Notice]:
    """Read a delivery's notices; see :func:`read_delivery`."""
    return read_delivery(body, limit_bytes)[0]


def read_delivery(body: bytes, limit_bytes: int = BATCH_LIMIT_BYTES) -> tuple[list[Notice], list[Loss]]:
    """Read a delivery completely, or not at all.

    :returns: its notices, and its losses.
    :raises NoticeError: with status 413 if it is longer than ``limit_bytes``, with 400 if any entry is malformed.
    """
    payload = _object(_json(body, limit_bytes), "the body")
    entries, lost = payload.get("notices"), payload.get("lost", [])
    if not isinstance(entries, list):
        raise NoticeError("notices: has to be a list")
    if not isinstance(lost, list):
        raise NoticeError("lost: has to be a list")
    notices = [_notice(entry, f"notices[{index}]") for index, entry in enumerate(entries)]
    return notices, [_loss(entry, f"lost[{index}]") for index, entry in enumerate(lost)]


def _loss(entry: object, location: str) -> Loss:
    payload = _object(entry, location)
    reason = payload.get("reason")
    if not isinstance(reason, str) or not 0 < len(reason) <= _MAX_REASON_CHARS or _UNSENDABLE.search(reason):
        _reject(location, "reason", f"a text of 1 to {_MAX_REASON_CHARS} characters, without control characters")
    return Loss(_token(payload, location), LossReason.read(reason))


def _notice(entry: object, location: str) -> Notice:
    payload = _object(entry, location)
    source = payload.get("by")
    if source not in ("browser", "server"):
        _reject(location, "by", "browser or server")
    return Notice(
        _token(payload, location),
        _url(payload, location, "url"),
        _cookies(payload, location),
        _time(payload, location, "viewed_at"),
        _time(payload, location, "noticed_at"),
        # A notice counts even if the page's URL is unusable: the copy's head contains it too.
        page_url if _is_url(page_url := payload.get("page_url")) else "",
        NoticeSource(source),
        _pseudonym(payload, location, "visitor"),
        _pseudonym(payload, location, "sender"),
    )


def _pseudonym(payload: Mapping[str, Any], location: str, key: str) -> str:
    pseudonym = payload.get(key, "")
    if not isinstance(pseudonym, str) or not _PSEUDONYM.fullmatch(pseudonym):
        _reject(location, key, "a pseudonym: at most 63 of A-Z a-z 0-9 _ -")
    return pseudonym


def _reject(location: str, key: str, expected: str) -> NoReturn:
    raise NoticeError(f"{location}.{key}: has to be {expected}" if location else f"{key}: has to be {expected}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, and reject duplicate keys: two readers could interpret them differently."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise NoticeError("an object names a key twice")
    return read


def _reject_constant(_name: str) -> NoReturn:
    raise NoticeError("not JSON: NaN or Infinity")


def _json(body: bytes, limit_bytes: int) -> object:
    if len(body) > limit_bytes:
        raise NoticeError(f"longer than {limit_bytes} bytes", 413)
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        # The parser's message quotes the input, so it is not passed on.
        raise NoticeError("not JSON in UTF-8") from None


def _object(payload: object, location: str) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise NoticeError(f"{location}: has to be a JSON object")
    return payload


def _token(entry: Mapping[str, Any], location: str) -> str:
    token = entry.get("token")
    if not isinstance(token, str) or not shapes.TOKEN.fullmatch(token):
        _reject(location, "token", "a token: 1 to 63 of A-Z a-z 0-9 _ -")
    return token


def _url(entry: Mapping[str, Any], location: str, key: str) -> str:
    url = entry.get(key)
    if not _is_url(url):
        _reject(location, key, f"an http or https address of at most {_MAX_URL_CHARS} characters, without blanks")
    return url


def _is_url(url: object) -> TypeGuard[str]:
    return isinstance(url, str) and len(url) <= _MAX_URL_CHARS and shapes.BROWSER_URL.fullmatch(url) is not None


def _time(entry: Mapping[str, Any], location: str, key: str) -> float:
    text = entry.get(key)
    expected = "a time of RFC 3339, such as 2026-11-23T21:10:00Z"
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        _reject(location, key, expected)
    try:
        seconds = from_rfc3339(text.upper())
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < shapes.LAST_SECOND:
        _reject(location, key, expected)
    return seconds


def _cookies(entry: Mapping[str, Any], location: str) -> Mapping[str, str]:
    cookies = entry.get("cookies")
    if not isinstance(cookies, dict) or len(cookies) > _MAX_COOKIES:
        _reject(location, "cookies", f"an object of at most {_MAX_COOKIES} cookies, name to value")
    for name, value in cookies.items():
        if not 0 < len(name) <= _MAX_NAME_CHARS or _UNSENDABLE.search(name):
            _reject(location, "cookies", f"named with 1 to {_MAX_NAME_CHARS} characters, without control characters")
        if not isinstance(value, str) or len(value) > _MAX_VALUE_CHARS or _UNSENDABLE.search(value):
            _reject(location, "cookies", f"texts of at most {_MAX_VALUE_CHARS} characters, without control characters")
    return cookies
