"""The tables of a SQL store, in no one database's own words.

Bodies have a table of their own: a row that is marked as sent is written anew, and would else carry megabytes along.
A change here raises :data:`SCHEMA_VERSION`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
)

from lbcompanion.errors import StoreError

SCHEMA_VERSION = 1

metadata = MetaData()

versions = Table("lbc_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

# SQLite counts a primary key by itself only where it is INTEGER, which has 64 bits there.
_counting = BigInteger().with_variant(Integer, "sqlite")

#: ``seq`` is the order in which copies came; ``sent_at`` is NULL until a copy went out whole.
pages = Table(
    "lbc_pages",
    metadata,
    Column("seq", _counting, primary_key=True, autoincrement=True),
    Column("token", String(64), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("captured_at", Double, nullable=False),
    Column("stored_at", Double, nullable=False),
    Column("sent_at", Double, nullable=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    sqlite_autoincrement=True,
)
Index("lbc_pages_stored_at", pages.c.stored_at)
Index("lbc_pages_sent_at", pages.c.sent_at, pages.c.seq)

bodies = Table(
    "lbc_bodies",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("body", LargeBinary(2**32 - 1), nullable=False),
)

tombstones = Table(
    "lbc_tombstones",
    metadata,
    Column("seq", _counting, primary_key=True, autoincrement=True),
    Column("token", String(64), nullable=False, unique=True),
    Column("reason", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("owner", String(32), nullable=False),
    sqlite_autoincrement=True,
)


def prepare(connection: Connection) -> None:
    """Make the tables where they are not there yet.

    :raises StoreError: where they are there in a version that this program does not know.
    """
    metadata.create_all(connection)
    found = connection.execute(select(versions.c.version)).scalars().all()
    if not found:
        connection.execute(insert(versions).values(version=SCHEMA_VERSION))
    elif found != [SCHEMA_VERSION]:
        raise StoreError(f"the database has schema version {max(found)}, this program knows {SCHEMA_VERSION} only")
