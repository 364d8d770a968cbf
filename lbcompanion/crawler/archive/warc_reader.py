"""Reads WARC files: the records of a whole file with their offsets, and the payload of one record.

Works on any seekable stream of bytes: a file on disk, or one in an object store.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO

from attrs import field, frozen
from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]

from lbcompanion.errors import CompanionError

# Read from the stream at once, at first and at most. Each record is a gzip member of its own (WARC 1.1, annex D).
_LEAST_CHUNK_BYTES, _CHUNK_BYTES = 4096, 1 << 18
#: zlib's window bits for a gzip member.
_GZIP = 31
#: The first bytes of a gzip member (RFC 1952, section 2.3), and of a record within it.
_GZIP_START, _WARC_START = b"\x1f\x8b\x08", b"WARC/"


class UnreadableRecord(CompanionError):
    """A WARC file does not have a readable record where one is expected."""


@frozen
class StoredRecord:
    """One record of a WARC file.

    :ivar offset: where its gzip member starts, in bytes.
    :ivar length: of its gzip member, in bytes; the next record starts at ``offset + length``.
    :ivar kind: ``response``, ``request``, ``revisit``, ``warcinfo`` and so on.
    :ivar fields: the fields of its WARC head, by their names in lower case.
    :ivar status: of the HTTP response; 0 if the record has none.
    :ivar method: of the HTTP request; empty if the record has none.
    :ivar http_fields: the fields of its HTTP head, by their names in lower case; of repeated fields the first.
    """

    offset: int
    length: int
    kind: str
    fields: Mapping[str, str] = field(repr=False)
    status: int = 0
    method: str = ""
    http_fields: Mapping[str, str] = field(factory=dict, repr=False)

    @property
    def record_id(self) -> str:
        """Its identifier, a URI in angle brackets."""
        return self.fields.get("warc-record-id", "")

    @property
    def url(self) -> str:
        """The address that it is about; empty for a ``warcinfo`` record."""
        return self.fields.get("warc-target-uri", "")

    @property
    def date(self) -> str:
        """The time of the capture, in RFC 3339."""
        return self.fields.get("warc-date", "")

    @property
    def payload_digest(self) -> str:
        """The digest of its payload, as the record has it: ``sha256:`` and base32."""
        return self.fields.get("warc-payload-digest", "")


def stored_records(stream: BinaryIO, end: int | None = None) -> Iterator[StoredRecord]:
    """Return the records of a file in order.

    :param stream: the file, at its start or at the start of a record.
    :param end: stop before this offset; None: read the whole file.
    :raises UnreadableRecord: if the file is damaged, such as cut within a record; the text names the offset.
    """
    for record, _ in records_with_payloads(stream, stream.tell(), end):
        yield record


def records_with_payloads(
    stream: BinaryIO, offset: int = 0, end: int | None = None
) -> Iterator[tuple[StoredRecord, bytes]]:
    """Return the records from an offset on, each with its payload; otherwise like :func:`stored_records`."""
    while end is None or offset < end:
        plain, length = _member(stream, offset)
        if not length:
            return
        yield _parsed(plain, offset, length)
        offset += length


def plain_records(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Return the records of a file, decompressed, each with its offset and its length in the file.

    :raises UnreadableRecord: if the file is damaged.
    """
    offset = 0
    while True:
        plain, length = _member(stream, offset)
        if not length:
            return
        yield plain, offset, length
        offset += length


def start_of_record(stream: BinaryIO, offset: int) -> int:
    """Return where the next record seems to start: a gzip member with the first bytes of one; -1: nowhere.

    :param offset: where to begin, such as within a damaged record.
    """
    kept = b""
    stream.seek(offset)
    while chunk := bytes(stream.read(_CHUNK_BYTES)):
        data = kept + chunk
        found = data.find(_GZIP_START)
        while found >= 0:
            if _is_record(stream, offset + found):
                return offset + found
            found = data.find(_GZIP_START, found + 1)
        kept = data[1 - len(_GZIP_START) :]
        offset += len(data) - len(kept)
        stream.seek(offset + len(kept))
    return -1


def _is_record(stream: BinaryIO, offset: int) -> bool:
    stream.seek(offset)
    with suppress(zlib.error):
        return (
            zlib.decompressobj(wbits=_GZIP).decompress(stream.read(_LEAST_CHUNK_BYTES), len(_WARC_START)) == _WARC_START
        )
    return False


def raw_record(stream: BinaryIO, record: StoredRecord) -> bytes:
    """Return a record's bytes as they are in the file.

    :raises UnreadableRecord: if the file has become shorter.
    """
    stream.seek(record.offset)
    data = bytes(stream.read(record.length))
    if len(data) != record.length:
        raise UnreadableRecord(f"the file ends within the record at byte {record.offset}")
    return data


def read_record(stream: BinaryIO, offset: int) -> tuple[StoredRecord, bytes]:
    """Return the record at an offset, and its payload.

    :raises UnreadableRecord: if no whole record starts there.
    """
    plain, length = _member(stream, offset)
    if not length:
        raise UnreadableRecord(f"the file ends before byte {offset}")
    return _parsed(plain, offset, length)


def read_member(stream: BinaryIO, offset: int, end: int | None = None) -> tuple[bytes, int]:
    """Return the content of the gzip member at an offset, and the member's length; 0 at the end of the file.

    :param end: where the file ends; None: where the stream ends.
    :raises UnreadableRecord: if no whole member starts there.
    :raises OSError: if the stream cannot be read.
    """
    stream.seek(offset)
    inflater, parts, read = zlib.decompressobj(wbits=_GZIP), list[bytes](), 0
    try:
        while not inflater.eof:
            # Most records are small; for a large one the pieces grow.
            wanted = min(max(read, _LEAST_CHUNK_BYTES), _CHUNK_BYTES)
            chunk = bytes(stream.read(wanted if end is None else min(wanted, end - offset - read)))
            if not chunk:
                break
            read += len(chunk)
            parts.append(inflater.decompress(chunk))
    except zlib.error as failure:
        raise UnreadableRecord(f"no record can be read at byte {offset}: {type(failure).__name__}") from None
    if read and not inflater.eof:
        raise UnreadableRecord(f"the file ends within the record at byte {offset}")
    return b"".join(parts), read - len(inflater.unused_data)


def _member(stream: BinaryIO, offset: int) -> tuple[bytes, int]:
    """Return what :func:`read_member` does; to a reader it is the same whether the disk or the record is damaged."""
    try:
        return read_member(stream, offset)
    except OSError as failure:
        raise UnreadableRecord(f"no record can be read at byte {offset}: {type(failure).__name__}") from None


def _parsed(plain: bytes, offset: int, length: int) -> tuple[StoredRecord, bytes]:
    try:
        record = next(iter(ArchiveIterator(BytesIO(plain))))
        heads = _heads(record)
        payload = bytes(record.content_stream().read())
        block_bytes = int(heads["fields"]["content-length"])
    except Exception as failure:  # warcio raises errors of many classes, and StopIteration for an empty member
        raise UnreadableRecord(f"no record can be read at byte {offset}: {type(failure).__name__}") from None
    if len(plain) != plain.index(b"\r\n\r\n") + 4 + block_bytes + 4:
        raise UnreadableRecord(f"the record at byte {offset} is not as long as its head says")
    return StoredRecord(offset, length, record.rec_type, **heads), payload


def _heads(record: Any) -> dict[str, Any]:
    fields = {name.lower(): value for name, value in record.rec_headers.headers}
    http = record.http_headers
    if http is None:
        return {"fields": fields}
    found: dict[str, Any] = {"fields": fields, "http_fields": {}}
    for name, value in http.headers:
        found["http_fields"].setdefault(name.lower(), value)
    if record.rec_type == "request":
        found["method"] = http.protocol
    else:
        status = http.get_statuscode()
        found["status"] = int(status) if status.isdecimal() else 0
    return found
