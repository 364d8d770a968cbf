"""Tables that are moved forward by numbered steps."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, create_engine, inspect, select, text

from lbcompanion.schema_migrations import Migration, add_missing_columns, apply_migrations, migrations_table

METADATA = MetaData()
APPLIED = migrations_table("steps", METADATA)


class Steps:
    """Steps that record their numbers."""

    def __init__(self, connection: Connection) -> None:
        METADATA.create_all(connection)
        self._connection = connection
        self.ran: list[int] = []

    def apply(self, count: int, *, is_new: bool = False) -> None:
        steps: list[Migration] = [lambda _, number=number: self.ran.append(number) for number in range(1, count + 1)]  # type: ignore[misc]
        apply_migrations(self._connection, APPLIED, steps, is_new=is_new)

    @property
    def recorded(self) -> list[int]:
        return sorted(self._connection.execute(select(APPLIED.c.step)).scalars())


def test_each_step_runs_once_and_in_order() -> None:
    with create_engine("sqlite://").begin() as connection:
        steps = Steps(connection)
        steps.apply(2)
        steps.apply(2)
        steps.apply(4)
        assert steps.ran == steps.recorded == [1, 2, 3, 4]


def test_new_tables_need_no_step() -> None:
    with create_engine("sqlite://").begin() as connection:
        steps = Steps(connection)
        steps.apply(3, is_new=True)
        assert (steps.ran, steps.recorded) == ([], [1, 2, 3])


def test_steps_of_a_newer_program_stay() -> None:
    with create_engine("sqlite://").begin() as connection:
        steps = Steps(connection)
        steps.apply(4)
        steps.apply(2)
        assert steps.recorded == [1, 2, 3, 4]


def test_missing_columns_are_added_and_rows_stay() -> None:
    with create_engine("sqlite://").begin() as connection:
        connection.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO things VALUES (7)"))
        table = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(20)))
        for _ in range(2):
            add_missing_columns(connection, table)
        assert [column["name"] for column in inspect(connection).get_columns("things")] == ["id", "name"]
        assert connection.execute(select(table)).all() == [(7, None)]
