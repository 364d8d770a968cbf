"""The tables of the crawler's queue. A later version may add columns; it never gives one a new meaning.

Columns that a table lacks are added automatically. Any other change is a further migration in :data:`MIGRATIONS`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, MetaData, String, Table, Text

from lbcompanion.schema_migrations import Migration, migrations_table

METADATA = MetaData()


_ADDED_INDEXES = frozenset({"recordings_visitor", "recordings_erasure", "recordings_received", "recordings_file"})


def _index_recordings(connection: Connection) -> None:
    """Add the indexes of columns that were added to an existing table."""
    for index in RECORDINGS.indexes:
        if index.name in _ADDED_INDEXES:
            index.create(connection, checkfirst=True)


#: What was changed in the tables beside new columns, in order.
MIGRATIONS: tuple[Migration, ...] = (_index_recordings,)
#: The numbers of the applied migrations. The table keeps its first name, because existing queues have it.
APPLIED_MIGRATIONS = migrations_table("schema_steps", METADATA)

#: One row for each notice, until it is erased; the outcome is null while the notice is open.
RECORDINGS = Table(
    "recordings",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("token", String(80), nullable=False, unique=True),
    Column("site", String(255), nullable=False),
    Column("origin_node", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("page_url", Text, nullable=False),
    Column("cookies", Text, nullable=False),  # JSON; emptied with the outcome
    Column("told_by", String(16), nullable=False),
    Column("viewed_at", Float, nullable=False),
    Column("noticed_at", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("attempts", Text, nullable=False),  # JSON
    Column("outcome", String(16)),
    Column("reason", Text, nullable=False),
    Column("answered_by", String(64), nullable=False),
    Column("route", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", Integer),
    Column("content_type", Text, nullable=False),
    Column("captured_at", Float),
    Column("finished_at", Float),
    Column("warc_file", String(255), nullable=False),
    Column("warc_offset", Integer),
    Column("requisites", Text),  # JSON; null: none were fetched
    Column("visitor", String(64)),  # a pseudonym; null or empty: unknown
    Column("erasure", Integer),  # the erasure that removes this row's records from the archive; null: none
    Index("recordings_due", "outcome", "next_at"),
    Index("recordings_visitor", "visitor"),
    Index("recordings_erasure", "erasure"),
    Index("recordings_received", "received_at"),
    Index("recordings_file", "warc_file"),
)

#: Copies that their nodes reported lost, for as long as notices of them may come.
LOSSES = Table(
    "losses",
    METADATA,
    Column("token", String(80), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("told_at", Float, nullable=False),
    Index("losses_told_at", "told_at"),
)

ROUTES = Table(
    "routes",
    METADATA,
    Column("site", String(255), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("cookies", Text, nullable=False),  # JSON: [[name, value], ...]
    Column("dialect", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("learnt_at", Float, nullable=False),
    Column("proven_at", Float),
    Column("expires_at", Float),
    Column("source", String(16)),
)

#: The archive's files and their committed lengths: longer files are truncated at the next start.
FILES = Table(
    "files",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("committed", Integer, nullable=False),
)

#: Requisites that an archive file contains, so that their next occurrence becomes a revisit record.
PAYLOADS = Table(
    "payloads",
    METADATA,
    Column("file", String(255), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("url", Text, nullable=False),
    Column("date", String(40), nullable=False),
)

#: Erased recordings whose notices may be delivered again: SHA-256 of the token, until when it is kept.
ERASED_TOKENS = Table(
    "erased_tokens",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("until", Float, nullable=False),
    Index("erased_tokens_until", "until"),
)

#: The log of erasures: numbers only, never an erased value.
ERASURES = Table(
    "erasures",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("finished_at", Float),  # null while records wait to be removed from the archive
    Column("by", String(16), nullable=False),  # command, api, keep_days or keep_bytes
    Column("criteria", String(64), nullable=False),  # names only, such as "url, before"
    Column("recordings", Integer, nullable=False),
    Column("archived", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("routes", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

#: Archive files that are to be removed: those that were replaced, and those whose writing has not ended.
DOOMED_FILES = Table(
    "doomed_files",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("crawler", String(64), nullable=False),  # the one that removes it
)
