"""The tables of a SQL store, in no one database's own words.

Bodies have a table of their own: a row that is marked as sent is written anew, and would else carry megabytes along.
A change here raises :data:`SCHEMA_VERSION`.
"""

from __future__ import annotations

from typing import Any

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
from sqlalchemy.dialects import mysql

from lbcompanion.errors import StoreError

SCHEMA_VERSION = 1

metadata = MetaData()

#: MySQL's and MariaDB's own defaults would take tokens that differ in case for one, end a text at 64 KiB, and know
#: the letters of one language only.
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_text = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
_token = String(64).with_variant(mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql")

#: One row; also what a node holds while it makes room, so that no two do at once.
versions = Table("lbc_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False), **_MYSQL)

# SQLite counts a primary key by itself only where it is INTEGER, which has 64 bits there.
_sequence = BigInteger().with_variant(Integer, "sqlite")

#: ``seq`` is the order in which copies came; ``sent_at`` is NULL until a copy went out whole.
pages = Table(
    "lbc_pages",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("token", _token, nullable=False, unique=True),
    Column("url", _text, nullable=False),
    Column("method", _text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("content_type", _text, nullable=False),
    Column("captured_at", Double, nullable=False),
    Column("stored_at", Double, nullable=False),
    Column("sent_at", Double, nullable=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    sqlite_autoincrement=True,
    **_MYSQL,
)
Index("lbc_pages_stored_at", pages.c.stored_at)
Index("lbc_pages_sent_at", pages.c.sent_at, pages.c.seq)

bodies = Table(
    "lbc_bodies",
    metadata,
    Column("token", _token, primary_key=True),
    # The length makes it a LONGBLOB with MySQL; what one statement may carry is that server's max_allowed_packet.
    Column("body", LargeBinary(2**32 - 1), nullable=False),
    **_MYSQL,
)

tombstones = Table(
    "lbc_tombstones",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("token", _token, nullable=False, unique=True),
    Column("reason", String(16), nullable=False),
    Column("detail", _text, nullable=False),
    Column("owner", String(32), nullable=False),
    sqlite_autoincrement=True,
    **_MYSQL,
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
