"""The tables of a SQL store, for all databases.

Bodies have their own table: marking a row as sent rewrites the row, which would otherwise include megabytes.
A change that only adds is a further migration in :data:`MIGRATIONS`. Every other change needs a new
:data:`SCHEMA_VERSION`.
"""

from __future__ import annotations

from contextlib import nullcontext
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
    inspect,
    select,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

from lbcompanion.errors import StoreError
from lbcompanion.schema_migrations import Migration, add_missing_columns, apply_migrations, migrations_table
from lbcompanion.stores.engines import is_forbidden

#: The oldest and newest programs that can use the same tables agree on this number.
SCHEMA_VERSION = 1
metadata = MetaData()

#: The defaults of MySQL and MariaDB would compare tokens without regard to case, limit a text to 64 KiB, and store
#: the characters of one language only.
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_text = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
_token = String(64).with_variant(mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql")

#: One row. A node locks it while it evicts copies, so that only one node at a time does so.
versions = Table("lbc_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False), **_MYSQL)

#: The numbers of the applied migrations. The table keeps its first name, because existing stores have it.
applied_migrations = migrations_table("lbc_schema_steps", metadata, **_MYSQL)

# SQLite assigns a primary key automatically only if its type is INTEGER, which has 64 bits there.
_sequence = BigInteger().with_variant(Integer, "sqlite")

#: ``seq`` is the order of arrival; ``sent_at`` is NULL until the copy was sent completely.
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
    # This length makes it a LONGBLOB in MySQL. The server's max_allowed_packet limits the size of one statement.
    Column("body", LargeBinary(2**32 - 1), nullable=False),
    # NULL in a row of a node of an earlier version.
    Column("head", LargeBinary(2**24 - 1), nullable=True),
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


def _add_heads(connection: Connection) -> None:
    add_missing_columns(connection, bodies)


#: What was added to the tables of this version since, in order.
MIGRATIONS: tuple[Migration, ...] = (_add_heads,)


def prepare(connection: Connection) -> bool:
    """Create missing tables, and add to existing ones what they lack.

    :returns: whether the tables have a column for heads. If not, their owner has created them for an earlier version,
        and this program may not change them: then it works as that version did.
    :raises StoreError: if the tables have a version that this program does not know.
    """
    metadata.create_all(connection)
    found = connection.execute(select(versions.c.version)).scalars().all()
    if not found:
        connection.execute(insert(versions).values(version=SCHEMA_VERSION))
    elif found != [SCHEMA_VERSION]:
        raise StoreError(f"the database has schema version {max(found)}, this program knows {SCHEMA_VERSION} only")
    try:
        # A failed statement would otherwise end the transaction.
        with connection.begin_nested() if connection.dialect.name == "postgresql" else nullcontext():
            apply_migrations(connection, applied_migrations, MIGRATIONS, is_new=not found)
    except DBAPIError as error:
        if not is_forbidden(error):
            raise
    return any(column["name"] == bodies.c.head.name for column in inspect(connection).get_columns(bodies.name))
