"""WARC 1.1 records as bytes, through warcio: pages, the files that belong to them, and what came before.

No ``Cookie``, ``Set-Cookie``, ``Authorization`` or ``Transfer-Encoding`` line is ever written: the HTTP heads here
are made anew from what is known of the page.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from io import BytesIO
from urllib.parse import urlsplit

from attrs import field, frozen
from warcio.statusandheaders import StatusAndHeaders  # type: ignore[import-untyped]
from warcio.warcwriter import BufferWARCWriter  # type: ignore[import-untyped]

from lbcompanion.crawler.fetcher import Copy
from lbcompanion.model import to_rfc3339

_RESPONSE = "application/http; msgtype=response"


@frozen
class Asset:
    """A style sheet, script, image or font of a page."""

    url: str
    content_type: str
    sha256: bytes = field(repr=False)
    body: bytes = field(repr=False)


def warc_digest(digest: bytes) -> str:
    """A SHA-256 digest as WARC writes it (WARC 1.1 section 5.8, base32 as is the custom)."""
    return f"sha256:{b32encode(digest).decode()}"


def _head(status: int, content_type: str, length: int) -> StatusAndHeaders:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [("Content-Type", content_type)] if content_type else []
    return StatusAndHeaders(f"{status} {phrase}", [*lines, ("Content-Length", str(length))], protocol="HTTP/1.1")


def _writer() -> BufferWARCWriter:
    return BufferWARCWriter(gzip=True, warc_version="WARC/1.1")


def _response(
    url: str, date: str, head: StatusAndHeaders, body: bytes, digest: bytes, more: Mapping[str, str]
) -> bytes:
    writer = _writer()
    head.compute_headers_buffer()
    names = {
        "WARC-Date": date,
        "WARC-Payload-Digest": warc_digest(digest),
        "WARC-Block-Digest": warc_digest(sha256(head.headers_buff + body).digest()),
        **more,
    }
    writer.write_record(
        writer.create_warc_record(
            url, "response", payload=BytesIO(body), length=len(body), warc_headers_dict=names, http_headers=head
        )
    )
    return bytes(writer.get_contents())


def page_record(copy: Copy) -> bytes:
    """The one ``response`` record of a page: its own address, status and time."""
    head = _head(copy.status, copy.content_type, len(copy.body))
    return _response(copy.url, to_rfc3339(copy.captured_at), head, copy.body, copy.sha256, {"Lbc-Node": copy.node})


def request_record(copy: Copy) -> bytes:
    """How a page was asked for where that was no GET: the request line alone, nothing of the visitor's."""
    writer = _writer()
    parts = urlsplit(copy.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = StatusAndHeaders(f"{copy.method} {target} HTTP/1.1", [("Host", parts.netloc)], is_http_request=True)
    writer.write_record(
        writer.create_warc_record(
            copy.url, "request", warc_headers_dict={"WARC-Date": to_rfc3339(copy.captured_at)}, http_headers=head
        )
    )
    return bytes(writer.get_contents())


def asset_record(asset: Asset, date: str) -> bytes:
    """The ``response`` record of a page's file.

    :param date: the page's own time: a replay picks, of many versions of one address, the one nearest to the page.
    """
    head = _head(200, asset.content_type, len(asset.body))
    return _response(asset.url, date, head, asset.body, asset.sha256, {})


def revisit_record(asset: Asset, date: str, first_url: str, first_date: str) -> bytes:
    """Says that the bytes of an asset stand in the same file already (WARC 1.1 section 6.7.2)."""
    writer = _writer()
    head = _head(200, asset.content_type, len(asset.body))
    writer.write_record(
        writer.create_revisit_record(
            asset.url,
            warc_digest(asset.sha256),
            first_url,
            first_date,
            http_headers=head,
            warc_headers_dict={"WARC-Date": date},
        )
    )
    return bytes(writer.get_contents())


def info_record(name: str, software: str) -> bytes:
    """The ``warcinfo`` record at the start of a file."""
    writer = _writer()
    writer.write_record(
        writer.create_warcinfo_record(
            name,
            {"software": software, "format": "WARC File Format 1.1", "robots": "ignore: pages as visitors saw them"},
        )
    )
    return bytes(writer.get_contents())
