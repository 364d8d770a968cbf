from __future__ import annotations

import errno
import sqlite3

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from lbcompanion.stores.engines import is_broken, is_retryable, is_unwritable, safe_message
from lbcompanion.testing.stores import page_store_contract
from tests.support.served_stores import run_machine_at, served_by
from tests.support.store_servers import Mariadb, Postgresql

pytestmark = pytest.mark.programs

TestPostgresqlStore = page_store_contract("TestPostgresqlStore", served_by(Postgresql))
TestMariadbStore = page_store_contract("TestMariadbStore", served_by(Mariadb))

SECRET = "a-whole-token"


@pytest.mark.parametrize("kind", [Postgresql, Mariadb])
def test_any_order_of_calls(kind):
    run_machine_at(kind, 2)


def mysql(wrapper, kind, code, text):
    return wrapper("INSERT", {}, kind(code, text))


def sqlite_error(name):
    cause = sqlite3.OperationalError("no")
    cause.sqlite_errorcode = getattr(sqlite3, name)
    return OperationalError("INSERT", None, cause)


def postgresql(state):
    cause = type(psycopg.errors.lookup(state).__name__, (psycopg.errors.lookup(state),), {})()
    return OperationalError("INSERT", {}, cause)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (mysql(IntegrityError, pymysql.IntegrityError, 1062, f"Duplicate entry '{SECRET}'"), "IntegrityError 1062"),
        (mysql(DataError, pymysql.DataError, 1366, f"Incorrect string value '{SECRET}'"), "DataError 1366"),
        (mysql(ProgrammingError, pymysql.ProgrammingError, 1064, f"near '{SECRET}'"), "ProgrammingError 1064"),
        (mysql(OperationalError, pymysql.OperationalError, 1045, "Access denied for user"), "Access denied for user"),
        (mysql(OperationalError, pymysql.OperationalError, 2003, "Can't connect\n to db"), "Can't connect to db"),
        (ValueError(SECRET), "ValueError"),
        (FileNotFoundError(2, "No such file", SECRET), "No such file"),
    ],
)
def test_what_an_error_says_and_what_not(error, said):
    assert safe_message(error).endswith(said)
    assert SECRET not in safe_message(error)


@pytest.mark.parametrize(
    ("error", "crossed", "broken"),
    [
        (mysql(OperationalError, pymysql.OperationalError, 1213, "Deadlock found"), True, True),
        (mysql(OperationalError, pymysql.OperationalError, 1205, "Lock wait timeout"), True, True),
        (mysql(IntegrityError, pymysql.IntegrityError, 1062, "Duplicate entry"), True, False),
        (mysql(OperationalError, pymysql.OperationalError, 2006, "gone away"), False, True),
        (mysql(DataError, pymysql.DataError, 1406, "Data too long"), False, False),
        (postgresql("40P01"), True, True),
        (postgresql("40001"), True, True),
        (postgresql("57014"), False, True),
        (UnicodeEncodeError("utf-8", "x", 0, 1, "no"), False, False),
    ],
)
def test_which_errors_are_whose(error, crossed, broken):
    assert is_retryable(error) is crossed
    assert is_broken(error) is broken


@pytest.mark.parametrize(
    ("error", "unwritable"),
    [
        (sqlite_error("SQLITE_FULL"), True),
        (sqlite_error("SQLITE_READONLY_DIRECTORY"), True),
        (sqlite_error("SQLITE_IOERR_WRITE"), True),
        (sqlite_error("SQLITE_BUSY"), False),
        (sqlite_error("SQLITE_NOTADB"), False),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EROFS, "Read-only file system"), True),
        (OSError(errno.ENOENT, "No such file or directory"), False),
        (postgresql("53100"), True),
        (postgresql("25006"), True),
        (postgresql("57014"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_show_a_store_that_cannot_be_written(error, unwritable):
    assert is_unwritable(error) is unwritable
