"""The references of archive files to payloads in other files.

A revisit may refer to a record of an earlier file of the same crawler. The table ``payload_references`` has one row for
each such payload of a file with revisits, so that readers find the payload, and an erasure finds the files that need
it. References within one file have no rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from attrs import field, frozen
from sqlalchemy import and_, delete, insert, or_, select
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.schema import FILES, RECORDINGS, REFERENCES

_T = TypeVar("_T")
#: Fewer than the parameters that SQLite allows in one statement.
_LIST_SIZE = 500


@frozen
class Payload:
    """A record with its payload, which revisits may refer to.

    :ivar sha256: hexadecimal digest of the payload.
    :ivar url: the record's address; so ``date``.
    :ivar file: the archive file; empty: the file that is being written.
    :ivar offset: of the record in the file.
    """

    sha256: str
    url: str = field(repr=False)
    date: str = field(repr=False)
    file: str = ""
    offset: int = 0


@frozen
class Reference:
    """A file whose revisits refer to a payload of another file.

    :ivar file: the file with the revisits.
    """

    file: str
    payload: Payload


@frozen
class PayloadPlace:
    """A place from which a payload may be read.

    :ivar place: the object store that has the file; empty: it is on a crawler's disk.
    """

    file: str
    offset: int
    place: str = ""


@frozen
class ReferenceChange:
    """How the references of some files change while the files are replaced.

    :ivar before: all references from or to these files, as they were read.
    :ivar after: those that take their place.
    """

    before: frozenset[Reference] = frozenset()
    after: Collection[Reference] = ()


def insert_references(connection: Connection, references: Iterable[Reference]) -> None:
    """Enter references, within a transaction."""
    rows = [
        {
            "file": each.file,
            "sha256": each.payload.sha256,
            "payload_file": each.payload.file,
            "payload_offset": each.payload.offset,
            "url": each.payload.url,
            "date": each.payload.date,
        }
        for each in references
    ]
    if rows:
        connection.execute(insert(REFERENCES), rows)


def references_of(connection: Connection, files: Collection[str]) -> frozenset[Reference]:
    """Return all references from or to some files."""
    found: set[Reference] = set()
    for part in _parts(files):
        touched = or_(REFERENCES.c.file.in_(part), REFERENCES.c.payload_file.in_(part))
        for row in connection.execute(select(REFERENCES).where(touched)).all():
            payload = Payload(row.sha256, row.url, row.date, row.payload_file, row.payload_offset)
            found.add(Reference(row.file, payload))
    return frozenset(found)


def change_references(connection: Connection, change: ReferenceChange) -> None:
    """Replace references, within a transaction."""
    columns = REFERENCES.c
    for part in _parts(change.before, _LIST_SIZE // 5):
        keys = (and_(columns.file == each.file, columns.sha256 == each.payload.sha256) for each in part)
        connection.execute(delete(REFERENCES).where(or_(*keys)))
    insert_references(connection, change.after)


def referenced_payload(connection: Connection, file: str, offset: int) -> PayloadPlace | None:
    """Return where the bytes of the page at an offset are, if its record refers to another file."""
    query = (
        select(REFERENCES.c.payload_file, REFERENCES.c.payload_offset, FILES.c.place)
        .join(RECORDINGS, (RECORDINGS.c.warc_file == REFERENCES.c.file) & (RECORDINGS.c.sha256 == REFERENCES.c.sha256))
        .join(FILES, FILES.c.name == REFERENCES.c.payload_file)
        .where(RECORDINGS.c.warc_file == file, RECORDINGS.c.warc_offset == offset)
    )
    row = connection.execute(query).first()
    return None if row is None else PayloadPlace(row.payload_file, row.payload_offset, row.place or "")


def referenced_digest(connection: Connection, file: str, sha256: str) -> PayloadPlace | None:
    """Return where a payload is to which revisits of a file refer in another file."""
    query = (
        select(REFERENCES.c.payload_file, REFERENCES.c.payload_offset, FILES.c.place)
        .join(FILES, FILES.c.name == REFERENCES.c.payload_file)
        .where(REFERENCES.c.file == file, REFERENCES.c.sha256 == sha256)
    )
    row = connection.execute(query).first()
    return None if row is None else PayloadPlace(row.payload_file, row.payload_offset, row.place or "")


def _parts(values: Collection[_T], size: int = _LIST_SIZE) -> Iterable[Sequence[_T]]:
    listed = list(values)
    return (listed[start : start + size] for start in range(0, len(listed), size))
