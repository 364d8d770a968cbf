"""The tables of the crawler's queue. A later version may add columns; it never gives one a new meaning.

Columns that a table lacks are added automatically. Any other change is a further migration in :data:`MIGRATIONS`.
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
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)
from sqlalchemy.dialects import mysql

from lbcompanion.crawler.activity import DELAY_LIMITS
from lbcompanion.schema_migrations import Migration, migrations_table

METADATA = MetaData()
#: The defaults of MySQL and MariaDB would compare tokens without regard to case, and limit a text to 64 KiB.
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_text = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
#: SQLite assigns a primary key automatically only if its type is INTEGER, which has 64 bits there.
_number = BigInteger().with_variant(Integer, "sqlite")
#: The bytes are compared, not the letters of a language, so that all addresses with one beginning are one range.
_key = String(200).with_variant(String(200, collation="C"), "postgresql")
#: The databases that several crawlers can share.
_SERVERS = ("postgresql", "mysql", "mariadb")


def _where(condition: str) -> dict[str, Any]:
    """The options of an index over some rows only; MySQL and MariaDB index all rows."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


_ADDED_INDEXES = frozenset({"recordings_erasure", "recordings_received", "recordings_file"})
#: The indexes of the search: of each column the rows with one value, in the order of the listing.
_SEARCHED = {
    "node": "origin_node",
    **{name: name for name in ("url_key", "visitor", "outcome", "status", "method", "route", "site")},
}


def _index_recordings(connection: Connection) -> None:
    """Add the indexes of columns that were added to an existing table."""
    for index in RECORDINGS.indexes:
        if index.name in _ADDED_INDEXES:
            index.create(connection, checkfirst=True)


def _index_search(connection: Connection) -> None:
    """Add the indexes of the search. One of them replaces the index of the visitors."""
    for index in RECORDINGS.indexes:
        if str(index.name).startswith("recordings_by_"):
            index.create(connection, checkfirst=True)
    known = {each["name"] for each in inspect(connection).get_indexes(RECORDINGS.name)}
    if "recordings_visitor" in known:
        of_table = f" ON {RECORDINGS.name}" if connection.dialect.name in ("mysql", "mariadb") else ""
        connection.execute(text(f"DROP INDEX recordings_visitor{of_table}"))


#: What was changed in the tables beside new columns, in order.
MIGRATIONS: tuple[Migration, ...] = (_index_recordings, _index_search)
#: The numbers of the applied migrations. The table keeps its first name, because existing queues have it.
APPLIED_MIGRATIONS = migrations_table("schema_steps", METADATA, **_MYSQL)

#: One row for each notice, until it is erased; the outcome is null while the notice is open.
RECORDINGS = Table(
    "recordings",
    METADATA,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("token", String(80), nullable=False, unique=True),
    Column("site", String(255), nullable=False),
    Column("origin_node", String(64), nullable=False),
    Column("url", _text, nullable=False),
    Column("page_url", _text, nullable=False),
    Column("cookies", _text, nullable=False),  # JSON; emptied with the outcome
    Column("told_by", String(16), nullable=False),
    Column("viewed_at", Double, nullable=False),
    Column("noticed_at", Double, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("attempts", _text, nullable=False),  # JSON
    Column("outcome", String(16)),
    Column("reason", _text, nullable=False),
    Column("answered_by", String(64), nullable=False),
    Column("route", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger),
    Column("content_type", _text, nullable=False),
    Column("captured_at", Double),
    Column("finished_at", Double),
    Column("warc_file", String(255), nullable=False),
    Column("warc_offset", BigInteger),
    Column("requisites", _text),  # JSON; null: no files were fetched
    # The claim of a crawler at a shared queue, all null while no crawler works on the notice. The times are those of
    # the database's clock.
    Column("claimed_by", String(100)),  # NAME/INSTANCE
    Column("claimed_at", Double),  # or renewed at
    Column("lease_until", Double),
    Column("visitor", String(64)),  # a pseudonym; null or empty: unknown
    Column("erasure", _number),  # the erasure that removes this row's records from the archive, or null
    # For the search. A row of an earlier version has null in all of them.
    Column("url_key", _key),  # the beginning of the page's address without its fragment: queue/url_keys.py
    Column("title", _text),
    Column("title_key", _text),  # the title casefolded: databases know the letters of some languages only
    Column("status", Integer),
    Column("method", String(40)),
    Column("removed", String(100)),  # protocol/removed_parts.py; null: not known
    Index("recordings_due", "outcome", "next_at"),
    Index("recordings_claims", "lease_until").ddl_if(dialect=_SERVERS),  # type: ignore[arg-type]
    Index("recordings_erasure", "erasure", **_where("erasure IS NOT NULL")),
    Index("recordings_received", "received_at"),
    Index("recordings_file", "warc_file"),
    **_MYSQL,
)
# Open notices in the order in which they are claimed, of all nodes and of one. PostgreSQL does not see that an index on
# (outcome, next_at) has the rows without an outcome in that order; its indexes have these rows only.
_is_open = RECORDINGS.c.outcome.is_(None)
_ORDER = RECORDINGS.c.next_at, RECORDINGS.c.id
for _name, _columns in (("recordings_open", _ORDER), ("recordings_open_of_node", (RECORDINGS.c.origin_node, *_ORDER))):
    Index(f"{_name}_p", *_columns, postgresql_where=_is_open).ddl_if(dialect="postgresql")
    Index(f"{_name}_m", RECORDINGS.c.outcome, *_columns).ddl_if(dialect=("mysql", "mariadb"))  # type: ignore[arg-type]
_SHOWN = _where("erasure IS NULL")
Index("recordings_by_time", RECORDINGS.c.viewed_at, RECORDINGS.c.id, **_SHOWN)
for _name, _column in _SEARCHED.items():
    Index(f"recordings_by_{_name}", RECORDINGS.c[_column], RECORDINGS.c.viewed_at, RECORDINGS.c.id, **_SHOWN)

#: Copies that their nodes reported lost, for as long as notices of them may come.
LOSSES = Table(
    "losses",
    METADATA,
    Column("token", String(80), primary_key=True),
    Column("reason", _text, nullable=False),
    Column("told_at", Double, nullable=False),
    Index("losses_told_at", "told_at"),
    **_MYSQL,
)

ROUTES = Table(
    "routes",
    METADATA,
    Column("site", String(255), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("cookies", _text, nullable=False),  # JSON: [[name, value], ...]
    Column("dialect", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("learnt_at", Double, nullable=False),
    Column("proven_at", Double),
    Column("expires_at", Double),
    Column("source", String(16)),
    **_MYSQL,
)

#: The archive's files and their committed lengths: longer files are truncated at the next start.
FILES = Table(
    "files",
    METADATA,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("committed", BigInteger, nullable=False),
    Column("crawler", String(64)),  # null: of a version before crawlers had names
    Column("state", String(16)),  # open, closed or uploaded; null: of a version before files were closed
    Column("opened_at", Double),
    Column("place", Text),  # the object store that has the file, once it is uploaded
    Column("searched", _number),  # the last erasure of files for which it was searched: queue/file_erasures.py
    **_MYSQL,
)

#: Requisites that an archive file contains, so that their next occurrence becomes a revisit record.
PAYLOADS = Table(
    "payloads",
    METADATA,
    Column("file", String(255), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("url", _text, nullable=False),
    Column("date", String(40), nullable=False),
    Column("warc_offset", BigInteger),  # null: of a version that had no references between files
    **_MYSQL,
)

#: Files with revisits of payloads in other files.
REFERENCES = Table(
    "payload_references",
    METADATA,
    Column("file", String(255), primary_key=True),  # the one with the revisits
    Column("sha256", String(64), primary_key=True),
    Column("payload_file", String(255), nullable=False),
    Column("payload_offset", BigInteger, nullable=False),
    Column("url", _text, nullable=False),  # of the record with the payload; so the date
    Column("date", String(40), nullable=False),
    Index("payload_references_to", "payload_file"),
    **_MYSQL,
)

#: The crawlers that have used a shared queue, with their last start. The times are those of the database's clock.
CRAWLERS = Table(
    "crawlers",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("instance", String(100), nullable=False),
    Column("host", String(255), nullable=False),
    Column("process", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    **_MYSQL,
)

#: The farm of a shared queue: one row, with a keyed hash of the farm's secret.
FARMS = Table(
    "farms",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("secret", String(64), nullable=False),
    **_MYSQL,
)

#: The mark that each crawler's archive folder has too: it shows a queue that is older than the archive.
ARCHIVES = Table(
    "archives",
    METADATA,
    Column("crawler", String(64), primary_key=True),
    Column("mark", String(32), nullable=False),
    **_MYSQL,
)

#: Turns that one crawler at a time has: a row is locked for the length of a transaction, or held until a time.
TURNS = Table(
    "turns",
    METADATA,
    Column("name", String(400), primary_key=True),
    Column("holder", String(100)),
    Column("held_until", Double),
    **_MYSQL,
)

#: Erased recordings whose notices may be delivered again: SHA-256 of the token, until when it is kept.
ERASED_TOKENS = Table(
    "erased_tokens",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("kept_until", Double, nullable=False),
    Index("erased_tokens_until", "kept_until"),
    **_MYSQL,
)

#: The log of erasures: numbers only, never an erased value.
ERASURES = Table(
    "erasures",
    METADATA,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("finished_at", Double),  # null while records wait to be removed from the archive
    Column("erased_by", String(16), nullable=False),  # command, api, keep_days or keep_bytes
    Column("criteria", String(64), nullable=False),  # names only, such as "url, before"
    Column("recordings", Integer, nullable=False),
    Column("archived", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("routes", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    **_MYSQL,
)

#: Erasures of files of pages, until every archive file was searched for them.
FILE_ERASURES = Table(
    "file_erasures",
    METADATA,
    Column("erasure", _number, primary_key=True, autoincrement=False),
    Column("criteria", _text, nullable=False),  # JSON
    Column("until_recording", BigInteger, nullable=False),  # the last recording of that time
    **_MYSQL,
)

#: Archive files that are to be removed: those that were replaced, and those whose writing has not ended.
DOOMED_FILES = Table(
    "doomed_files",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("crawler", String(64), nullable=False),  # the one that removes it
    Column("place", Text, nullable=False),  # the object store that may have it too, or empty
    **_MYSQL,
)

#: Archive files that another crawler took over from the object store. The crawler that had them removes the copies that
#: may be on its disk.
LEFT_COPIES = Table(
    "left_copies",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("crawler", String(64), primary_key=True),
    **_MYSQL,
)

#: Who did what at the admin listener.
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("user", String(128), nullable=False),  # empty: not known
    Column("how", String(16), nullable=False),  # password, token, proxy, command, open, or empty
    Column("address", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("result", String(16), nullable=False),  # allowed, refused or failed
    Column("token", String(80)),  # of the recording
    Column("visitor", String(64)),  # the recording's; removed when the recording is erased
    Column("detail", String(255), nullable=False),
    Index("audit_at", "at"),
    Index("audit_token", "token", **_where("token IS NOT NULL")),
    Index("audit_visitor", "visitor", **_where("visitor IS NOT NULL")),
    **_MYSQL,
)

#: How many pages were seen, archived and lost, in minutes and later in hours; each crawler adds to rows of its own.
ACTIVITY = Table(
    "activity",
    METADATA,
    Column("at", BigInteger, primary_key=True, autoincrement=False),  # where the minute or hour begins
    Column("step", Integer, primary_key=True, autoincrement=False),  # seconds: 60 or 3600
    Column("crawler", String(64), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),  # seen, archived or lost
    Column("reason", String(120), primary_key=True),  # of a loss, or empty
    Column("pages", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("delay", Double, nullable=False),  # seconds from views to the archive, in sum
    # Pages whose delay was within each limit, in seconds.
    *(Column(f"within_{limit}", BigInteger, nullable=False) for limit in DELAY_LIMITS),
    **_MYSQL,
)

#: Recordings that got an outcome, for those who follow them: queue/outcomes.py. Rows are deleted after some days.
OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("id", _number, primary_key=True, autoincrement=True),
    Column("token", String(80), nullable=False),
    Column("at", Double, nullable=False),
    Column("number", BigInteger),  # null until it is given, in the order of the commits
    Index("outcomes_number", "number"),
    Index("outcomes_at", "at"),
    Index("outcomes_token", "token"),  # erasing
    **_MYSQL,
)

#: Up to which outcome each webhook has got them, and what failed last. The times are those of the database's clock.
WEBHOOKS = Table(
    "webhooks",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("queue", String(16), nullable=False),
    Column("number", BigInteger, nullable=False),  # of the last outcome that was accepted or left out
    Column("failures", Integer, nullable=False),  # since the last success
    Column("next_at", Double, nullable=False),
    Column("error", String(255), nullable=False),
    Column("succeeded_at", Double),
    **_MYSQL,
)

#: One row: the last number that was given to an outcome, and the last one that was deleted.
OUTCOME_NUMBERS = Table(
    "outcome_numbers",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("queue", String(16), nullable=False),  # a random name: numbers of another queue mean nothing here
    Column("last", BigInteger, nullable=False),
    Column("deleted", BigInteger, nullable=False),
    **_MYSQL,
)
