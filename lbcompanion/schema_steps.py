"""Moves the tables of a database forward, one numbered step after the other.

A step only adds: a table, an index, a column that may be null or has a default. So nodes of the version before, which
use the same database during an upgrade, go on working, and may be started again. A change that they could not live with
gets a new schema version, which they refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, inspect, select, text

#: Changes the tables. It must find its work undone or done: some databases cannot roll back a change of a table.
Step = Callable[[Connection], None]


def steps_table(name: str, metadata: MetaData, **options: Any) -> Table:
    """Define the table that records the applied steps by their numbers, from 1."""
    return Table(name, metadata, Column("step", Integer, primary_key=True, autoincrement=False), **options)


def apply_steps(connection: Connection, applied: Table, steps: Sequence[Step], *, is_new: bool) -> None:
    """Apply the steps that the database lacks, in their order, and record them.

    :param applied: the table of :func:`steps_table`; it exists. Steps in it that this program does not know were
        added by a newer one, and need no care.
    :param steps: all steps that there ever were; the first has the number 1.
    :param is_new: whether the tables were just created: they need no step.
    """
    done = set(connection.execute(select(applied.c.step)).scalars())
    for number, step in enumerate(steps, 1):
        if number not in done:
            if not is_new:
                step(connection)
            connection.execute(insert(applied).values(step=number))


def add_missing_columns(connection: Connection, table: Table) -> None:
    """Add the columns that a table of an earlier version lacks; all of them may be null."""
    existing = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in existing:
            kind = column.type.compile(connection.dialect)
            connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
