"""WARC 1.1 records as bytes: pages, their requisites, and revisits.

A page's HTTP head is the application's own (:mod:`lbcompanion.crawler.archive.response_heads`). The other heads are
made from status and type. Every record about a URL goes through :func:`_record`, which refuses a head that would not
be read back unchanged. The records are as warcio would write them, in less time. warcio reads them.
"""

from __future__ import annotations

import re
import zlib
from base64 import b32encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha1, sha256
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from attrs import field, frozen
from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]
from warcio.statusandheaders import StatusAndHeaders  # type: ignore[import-untyped]
from warcio.warcwriter import BufferWARCWriter  # type: ignore[import-untyped]

from lbcompanion.crawler.archive.response_heads import OriginalHead, file_head, left_out_fields, page_head
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.errors import CompanionError
from lbcompanion.model import to_rfc3339
from lbcompanion.protocol import headers, shapes
from lbcompanion.protocol.response_heads import PageHead

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_ADDRESS_FIELDS = frozenset({"warc-target-uri", "warc-refers-to-target-uri"})
#: By the type of a record the type of its block.
_BLOCK_TYPES = {
    "response": "application/http; msgtype=response",
    "revisit": "application/http; msgtype=response",
    "request": "application/http; msgtype=request",
}
#: The longest head whose digest is remembered.
_MAX_KEPT_HEAD_BYTES = 4096
_NO_FIELDS: Mapping[str, str] = {}


class RecordRefused(CompanionError):
    """A record's head cannot be written safely; the text names the field, never its value."""


@frozen
class Requisite:
    """A style sheet, script, image or font of a page.

    :ivar head: the head of its response; None if only its type is known.
    """

    url: str
    content_type: str
    sha256: bytes = field(repr=False)
    body: bytes = field(repr=False)
    head: PageHead | None = field(repr=False, default=None)


@lru_cache(4096)  # files are the same for many pages, and base32 is written in Python
def warc_digest(digest: bytes) -> str:
    """Return a SHA-256 digest in WARC's form (WARC 1.1 section 5.8; base32 by convention)."""
    return _digest_field(digest)


def _digest_field(digest: bytes) -> str:
    return f"sha256:{b32encode(digest).decode()}"


def _head_digest(head: bytes) -> str:
    """Return the digest of a block that has no body."""
    # The cache keeps whole heads, so that of a long one would take much memory.
    return _kept_digest(head) if len(head) <= _MAX_KEPT_HEAD_BYTES else _sha1_field(head)


@lru_cache(1024)  # the heads of revisits of one file are all the same
def _kept_digest(head: bytes) -> str:
    return _sha1_field(head)


def _sha1_field(head: bytes) -> str:
    return f"sha1:{b32encode(sha1(head, usedforsecurity=False).digest()).decode()}"


def _record(
    kind: str,
    url: str,
    fields: Mapping[str, str],
    head: StatusAndHeaders,
    body: bytes | None = None,
    further: Mapping[str, str] = _NO_FIELDS,
) -> bytes:
    """Return a record about a URL as a gzip member; all records but the first of a file are made here.

    :param fields: its fields before the type; without a ``WARC-Record-ID`` it gets a new one.
    :param body: the body after the HTTP head; None: the record has none.
    :param further: its fields after the URL.
    :raises RecordRefused: if a value is not printable ASCII, or a URL is not an http or https URL.
    """
    _check_address("WARC-Target-URI", url)
    record_id = {} if "WARC-Record-ID" in fields else {"WARC-Record-ID": new_record_id()}
    named = {**fields, "WARC-Type": kind, **record_id, "WARC-Target-URI": url, **further}
    _check_fields(named.items())
    block_head = _head_bytes(head)
    if body is None:
        digest, body = _head_digest(block_head), b""
    else:
        digest = _digest_field(sha256(block_head + body).digest())
    length = str(len(block_head) + len(body))
    named |= {"WARC-Block-Digest": digest, "Content-Type": _BLOCK_TYPES[kind], "Content-Length": length}
    lines = "".join([f"{name}: {value}\r\n" for name, value in named.items()])
    return _compressed(f"WARC/1.1\r\n{lines}\r\n".encode("ascii"), block_head, body, b"\r\n\r\n")


def _head_bytes(head: StatusAndHeaders) -> bytes:
    if not isinstance(head, OriginalHead):
        _check_value("the start line", f"{head.protocol} {head.statusline}")
        _check_fields(head.headers)
    head.compute_headers_buffer()  # after the check: it would encode non-ASCII values instead of refusing them
    return bytes(head.headers_buff)


def _compressed(*parts: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


def is_recordable(address: str) -> bool:
    """Whether a record can hold this URL."""
    return shapes.ASCII_URL.fullmatch(address) is not None


def _check_fields(fields: Iterable[tuple[str, str]]) -> None:
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise RecordRefused("a field name is not a valid name")
        if name.lower() in _ADDRESS_FIELDS:
            _check_address(name, value)
        _check_value(name, value)


def _check_address(name: str, value: str) -> None:
    if not is_recordable(value):
        raise RecordRefused(f"{name} is not an http or https URL in printable ASCII")


def _check_value(name: str, value: str) -> None:
    if not _VALUE.fullmatch(value):
        raise RecordRefused(f"{name} has other characters than printable ASCII")


def _response(
    url: str, date: str, head: StatusAndHeaders, body: bytes, digest: bytes, extra_fields: Mapping[str, str]
) -> bytes:
    warc_fields = {"WARC-Date": date, "WARC-Payload-Digest": warc_digest(digest), **extra_fields}
    return _record("response", url, warc_fields, head, body)


def _revisit_record(
    url: str, fields: Mapping[str, str], head: StatusAndHeaders, digest: str, first_url: str, first_date: str
) -> bytes:
    """Return a ``revisit`` record (WARC 1.1 section 6.7.2).

    :param digest: of the payload, in WARC's form.
    """
    further = {
        "WARC-Profile": "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest",
        "WARC-Refers-To-Target-URI": first_url,
        "WARC-Refers-To-Date": first_date,
        "WARC-Payload-Digest": digest,
    }
    return _record("revisit", url, fields, head, further=further)


def new_record_id() -> str:
    """Return an identifier for a record."""
    return f"<urn:uuid:{uuid4()}>"


def page_record(copy: FetchedCopy, record_id: str = "") -> bytes:
    """Return the ``response`` record of a page, with its URL, status and time.

    :param record_id: from :func:`new_record_id`; empty: a new one.
    :raises RecordRefused: if it cannot be written; so for every record here.
    """
    head = page_head(copy)
    fields = {
        "WARC-Record-ID": record_id or new_record_id(),
        headers.NODE.text: copy.node,
        **left_out_fields(copy.head),
    }
    return _response(copy.url, to_rfc3339(copy.captured_at), head, copy.body, copy.sha256, fields)


def page_revisit_record(copy: FetchedCopy, record_id: str, first_url: str, first_date: str) -> bytes:
    """Return the ``revisit`` record of a page whose bytes the file already contains."""
    fields = {
        "WARC-Record-ID": record_id,
        "WARC-Date": to_rfc3339(copy.captured_at),
        headers.NODE.text: copy.node,
        **left_out_fields(copy.head),
    }
    return _revisit_record(copy.url, fields, page_head(copy), warc_digest(copy.sha256), first_url, first_date)


def request_record(copy: FetchedCopy, page_record_id: str) -> bytes:
    """Return the ``request`` record of a page whose method was not GET.

    The visitor's request had a body, which is private and never leaves the node. The record has an empty form instead
    and says that it is truncated. All indexers give the page the same key then, ``URL?__wb_method=POST``, and players
    find it for any body; without a type, some of them would add an empty ``__wb_post_data`` to the key.

    :param page_record_id: of the page's record, which has to be the record before this one.
    """
    parts = urlsplit(copy.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        ("Host", parts.netloc),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", "0"),
    ]
    head = StatusAndHeaders(f"{copy.method} {target} HTTP/1.1", lines, is_http_request=True)
    warc_fields = {
        "WARC-Date": to_rfc3339(copy.captured_at),
        "WARC-Concurrent-To": page_record_id,
        "WARC-Truncated": "unspecified",
    }
    return _record("request", copy.url, warc_fields, head, further={"WARC-Payload-Digest": _head_digest(b"")})


def requisite_record(requisite: Requisite, date: str) -> bytes:
    """Return the ``response`` record of a requisite.

    :param date: the page's time: a replay tool picks the version of a URL that is nearest to the page's time.
    """
    head = file_head(requisite.head, requisite.content_type, len(requisite.body))
    return _response(requisite.url, date, head, requisite.body, requisite.sha256, left_out_fields(requisite.head))


def revisit_record(requisite: Requisite, date: str, first_url: str, first_date: str) -> bytes:
    """Return the ``revisit`` record of a requisite whose bytes the file already contains (WARC 1.1 section 6.7.2)."""
    head = file_head(requisite.head, requisite.content_type, len(requisite.body))
    fields = {"WARC-Date": date, **left_out_fields(requisite.head)}
    return _revisit_record(requisite.url, fields, head, warc_digest(requisite.sha256), first_url, first_date)


def info_record(name: str, software: str) -> bytes:
    """Return the ``warcinfo`` record for the start of a file."""
    _check_value("software", software)
    writer = BufferWARCWriter(gzip=True, warc_version="WARC/1.1")
    record = writer.create_warcinfo_record(
        name,
        {"software": software, "format": "WARC File Format 1.1", "robots": "ignore: pages as visitors saw them"},
    )
    _check_fields(record.rec_headers.headers)
    writer.write_record(record)
    return bytes(writer.get_contents())


def response_of_revisit(revisit: bytes, payload: bytes) -> bytes:
    """Turn a ``revisit`` record into a ``response`` record that has the payload itself.

    :param revisit: the record's bytes as they are in its file.
    """
    record, head = _revisit(revisit)
    url, digest = _address_and_digest(record)
    return _record("response", url, {**_kept_fields(record), "WARC-Payload-Digest": digest}, head, payload)


def redirected_revisit(revisit: bytes, first_url: str, first_date: str) -> bytes:
    """Let a ``revisit`` record refer to another record that has the same payload.

    :param revisit: the record's bytes as they are in its file.
    """
    record, head = _revisit(revisit)
    url, digest = _address_and_digest(record)
    return _revisit_record(url, _kept_fields(record), head, digest, first_url, first_date)


def _revisit(revisit: bytes) -> tuple[Any, OriginalHead]:
    """The record, and its HTTP head byte for byte."""
    record = next(iter(ArchiveIterator(BytesIO(revisit), no_record_parse=True)))
    return record, OriginalHead.read(record.raw_stream.read())


def _address_and_digest(record: Any) -> tuple[str, str]:
    named = record.rec_headers.get_header
    return named("WARC-Target-URI", ""), named("WARC-Payload-Digest", "")


def _kept_fields(record: Any) -> dict[str, str]:
    names = ("WARC-Record-ID", "WARC-Date", headers.NODE.text, headers.FIELDS_LEFT_OUT.text, headers.REMOVED.text)
    found = ((name, record.rec_headers.get_header(name)) for name in names)
    return {name: value for name, value in found if value}
