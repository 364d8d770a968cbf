"""Migrations of a database's tables to a newer version, numbered and applied in order.

A migration only adds: a table, an index, a column that may be null or has a default. So nodes of the previous version,
which use the same database during an upgrade, keep working and can be restarted. Any other change gets a new schema
version, which they refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, inspect, select, text

#: Changes the tables. It must be idempotent, because some databases cannot roll back a change of a table.
Migration = Callable[[Connection], None]


def migrations_table(name: str, metadata: MetaData, **options: Any) -> Table:
    """Define the table that records the applied migrations by their numbers, from 1."""
    return Table(name, metadata, Column("step", Integer, primary_key=True, autoincrement=False), **options)


def apply_migrations(connection: Connection, applied: Table, migrations: Sequence[Migration], *, is_new: bool) -> None:
    """Apply the migrations that the database lacks, in their order, and record them.

    :param applied: the table of :func:`migrations_table`; it exists. Migrations in it that this program does not
        know were added by a newer one; they are ignored.
    :param migrations: all migrations of all versions; the first has the number 1.
    :param is_new: whether the tables were just created: they need no migration.
    """
    done = set(connection.execute(select(applied.c.step)).scalars())
    for number, migration in enumerate(migrations, 1):
        if number not in done:
            if not is_new:
                migration(connection)
            connection.execute(insert(applied).values(step=number))


def add_missing_columns(connection: Connection, table: Table) -> None:
    """Add the columns that a table of an earlier version lacks; all of them may be null."""
    existing = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in existing:
            kind = column.type.compile(connection.dialect)
            connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
