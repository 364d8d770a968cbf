"""Reads the gzip members of a WARC file, one record each, in one pass; writes a record again with other fields."""

from __future__ import annotations

import zlib
from base64 import b32encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import BinaryIO

from attrs import field, frozen

from lbcompanion.crawler.archive.warc_reader import UnreadableRecord, read_member

_GZIP = 31  # zlib's window bits for a gzip member


@frozen
class Member:
    """One gzip member of a WARC file.

    :ivar offset: where it starts in the file, in bytes.
    :ivar length: in the file, in bytes.
    :ivar plain: the record, decompressed; empty if the member cannot be read.
    """

    offset: int
    length: int
    plain: bytes = field(repr=False)

    @property
    def is_readable(self) -> bool:
        """True if the bytes are a record. Otherwise they are an unreadable part before the next known record."""
        return bool(self.plain)


@frozen
class Record:
    """A record's head and block.

    :ivar version: the first line.
    :ivar fields: the fields of the head in order, as they are written.
    :ivar block: the bytes after the head.
    """

    version: str
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    block: bytes = field(repr=False)

    def get(self, name: str) -> str:
        """Return a field's value; empty if it is missing."""
        return next((value for written, value in self.fields if written.lower() == name), "")

    @property
    def payload(self) -> bytes:
        """The block without its HTTP head."""
        return self.block.partition(b"\r\n\r\n")[2]

    def replaced(self, fields: Mapping[str, str | None], block: bytes) -> Record:
        """Return the record with other values of some fields, by lower-case name, and another block.

        :param fields: None leaves a field out; a field that the record lacks is not added.
        """
        kept = []
        for name, value in self.fields:
            new = fields.get(name.lower(), value)
            if new is not None:
                kept.append((name, new))
        return Record(self.version, tuple(kept), block)

    def dump(self) -> bytes:
        """Return the record as a gzip member, with the length and the digest of its block."""
        values = {"content-length": str(len(self.block))}
        if self.get("warc-block-digest"):
            values["warc-block-digest"] = f"sha256:{b32encode(sha256(self.block).digest()).decode()}"
        lines = [self.version, *(f"{name}: {values.get(name.lower(), value)}" for name, value in self.fields)]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
        return packer.compress(head + b"\r\n\r\n" + self.block + b"\r\n\r\n") + packer.flush()


def read_record(plain: bytes) -> Record | None:
    """Read a decompressed record; None if it is not one."""
    head, separator, rest = plain.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    if not separator or not lines[0].startswith("WARC/") or not rest.endswith(b"\r\n\r\n"):
        return None
    fields = [line.partition(":") for line in lines[1:]]
    pairs = tuple((name.strip(), value.strip(" \t")) for name, _, value in fields)
    return Record(lines[0], pairs, rest[:-4])


def members(stream: BinaryIO, end: int, known: list[int]) -> Iterator[Member]:
    """Read a file's members in order.

    A damaged member reaches up to the next offset that is known to be a record's.

    :param stream: the file.
    :param end: where the file ends, in bytes.
    :param known: offsets at which records start, in ascending order.
    """
    offset, upcoming = 0, 0
    while offset < end:
        while upcoming < len(known) and known[upcoming] <= offset:
            upcoming += 1
        limit = known[upcoming] if upcoming < len(known) else end
        member = _member(stream, offset, end)
        if member is None or member.offset + member.length > limit:
            member = Member(offset, limit - offset, b"")
        yield member
        offset += member.length


def member_at(stream: BinaryIO, offset: int) -> Member | None:
    """Read one member; None if it cannot be read."""
    return _member(stream, offset, stream.seek(0, 2))


def _member(stream: BinaryIO, offset: int, end: int) -> Member | None:
    try:
        plain, length = read_member(stream, offset, end)
    except UnreadableRecord:
        return None
    return Member(offset, length, plain) if plain else None
