"""Real servers for these tests: each in the foreground, on a free port, with a folder of its own, as nobody."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import redis

from lbcompanion.demo.ports import ReservedPorts
from lbcompanion.testing.stopped_processes import stop_processes
from tests.support import failure_report
from tests.support.failure_report import LoggedProcess
from tests.support.programs import need_program

USER = "lbc"
#: A user of the SQL servers that may change rows, but no table.
ROWS_USER = "lbc_rows"
PASSWORD = "p@ss/word"
IN_URL = "p%40ss%2Fword"
START_SECONDS = 60
_STOP_SECONDS = 15

#: By program, the folder with the data of a server that was never started.
_NEW_DATA: dict[str, Path] = {}


class Server(ABC):
    """One server; it begins with :meth:`start`.

    :cvar program: as :func:`need_program` knows it.
    """

    program: str

    def __init__(self) -> None:
        self.path = need_program(self.program)
        self.folder = Path(tempfile.mkdtemp(prefix=f"lbc-{self.program}-"))
        self._ports = ReservedPorts()
        self.port = self._ports.take()
        self._process: subprocess.Popen[bytes] | None = None
        self._as = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self.prepare()

    def prepare(self) -> None:
        """Fill the folder."""
        return

    def make_data(self) -> None:
        """Make the data of a new server, in ``folder``."""
        return

    def copy_data(self, *names: str) -> None:
        """Give this server the folders that :meth:`make_data` makes; the first server of its program makes them.

        To make them costs PostgreSQL 0.9 s of CPU, to copy them 0.1 s.

        :param names: of the folders.
        """
        if self.program not in _NEW_DATA:
            self.make_data()
            made = Path(tempfile.mkdtemp(prefix=f"lbc-new-{self.program}-"))
            atexit.register(shutil.rmtree, made, ignore_errors=True)
            if self._as:
                os.chown(made, self._as["user"], self._as["group"])
            self.run("cp", "-a", *names, str(made))
            _NEW_DATA[self.program] = made
        else:
            self.run("cp", "-a", *(str(_NEW_DATA[self.program] / name) for name in names), str(self.folder))

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command that runs it in the foreground."""

    @abstractmethod
    def greet(self) -> None:
        """Ask it something; fails until it serves."""

    @property
    @abstractmethod
    def url(self) -> str:
        """For ``[store] url``."""

    @abstractmethod
    def clear(self) -> None:
        """Throw away what stores put there."""

    @abstractmethod
    def content(self) -> bytes:
        """All copies that it holds now, as they lie there."""

    def run(self, *command: str, given: bytes = b"") -> None:
        """Run a program to its end, as the server's user."""
        done = subprocess.run(
            command, input=given, cwd=self.folder, capture_output=True, check=False, timeout=60, **self._as
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")[-3000:]

    def start(self) -> None:
        """Start it and wait until it serves."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._as
            )
        failure_report.add(LoggedProcess(self.program, self.folder / "log", self._process))
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.greet()
            except (OSError, psycopg.Error, pymysql.Error, redis.RedisError) as error:
                said = f"{error}\n{(self.folder / 'log').read_text(errors='replace')[-3000:]}"
                assert self._process.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.02)

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    def freeze(self, how: signal.Signals) -> None:
        """Send SIGSTOP or SIGCONT to it and to the processes that it made for its clients; after SIGSTOP all of them
        have stopped."""
        assert self._process is not None
        pid = self._process.pid
        if how is signal.SIGSTOP:
            stop_processes([pid])  # first: then it makes no more processes
            stop_processes(self._children())
            return
        for each in (pid, *self._children()):
            with suppress(ProcessLookupError):
                os.kill(each, how)

    def _children(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return list(map(int, children))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; what it has on disk stays."""
        process = self._process
        if process is None:
            return
        self.freeze(signal.SIGCONT)
        self._process = None
        process.send_signal(how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end(self) -> None:
        """End it, and leave nothing."""
        self.stop()
        self._ports.release()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Server):
    program = "redis-server"

    def command(self) -> Sequence[str]:
        return [
            *(self.path, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--requirepass", PASSWORD, "--databases", "4"),
            *self.more(),
        ]

    def more(self) -> Sequence[str]:
        return []

    def client(self) -> Any:
        return redis.Redis(port=self.port, db=1, password=PASSWORD)

    def greet(self) -> None:
        with closing(self.client()) as client:
            client.ping()

    @property
    def url(self) -> str:
        return f"redis://:{IN_URL}@127.0.0.1:{self.port}/1"

    def clear(self) -> None:
        with closing(self.client()) as client:
            client.flushall()

    def content(self) -> bytes:
        with closing(self.client()) as client:
            return b"".join(b"".join(client.hgetall(key).values()) for key in client.keys("lbc:page:*"))


class Postgresql(Server):
    program = "postgres"

    def prepare(self) -> None:
        self.copy_data("data")

    def make_data(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        initdb = Path(self.path).resolve().with_name("initdb")
        self.run(
            *(str(initdb), "-D", str(self.folder / "data"), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"),
            *("--locale=C", "--no-sync", "--no-instructions", f"--pwfile={password}"),
        )

    def command(self) -> Sequence[str]:
        # As safe as it is out there, but for the power: fsync costs a shared machine's tests much.
        return [
            *(str(Path(self.path).resolve()), "-D", str(self.folder / "data"), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"),
            *("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=20"),
        ]

    def client(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        )

    def greet(self) -> None:
        with self.client() as client:
            client.execute("SELECT 1")

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{IN_URL}@127.0.0.1:{self.port}/postgres"

    def allow_rows(self) -> None:
        """Give the other user its rights at the present tables."""
        with self.client() as client:
            if not client.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROWS_USER,)).fetchone():
                client.execute(f"CREATE ROLE {ROWS_USER} LOGIN PASSWORD '{PASSWORD}'")
            client.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROWS_USER}")
            client.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ROWS_USER}")

    def clear(self) -> None:
        with self.client() as client:
            client.execute("DROP TABLE IF EXISTS lbc_schema, lbc_schema_steps, lbc_pages, lbc_bodies, lbc_tombstones")

    def content(self) -> bytes:
        with self.client() as client:
            return _joined(client.execute(_CONTENT).fetchall())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        # SIGINT is its fast shutdown: SIGTERM would wait for its clients.
        super().stop(how)


class Mariadb(Server):
    """A server that loses the commits of its last second when it is killed.

    :cvar flush: 1: none, from the next start on.
    """

    program = "mariadbd"
    flush = 0

    def allow_rows(self) -> None:
        """Do nothing: the other user has its rights from the start."""

    _FIRST = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\n"
    _LAST = (
        "create database pages character set latin1;\nflush privileges;\n"
        f"create user {USER}@'%' identified by '{PASSWORD}';\ngrant all on pages.* to {USER}@'%';\n"
        f"create user {ROWS_USER}@'%' identified by '{PASSWORD}';\n"
        f"grant select, insert, update, delete on pages.* to {ROWS_USER}@'%';\n"
    )
    _TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")

    def prepare(self) -> None:
        self.copy_data("data", "tmp")

    def make_data(self) -> None:
        # What mariadb-install-db does, which asks for further packages.
        share = next(
            one for one in map(Path, ("/usr/share/mysql", "/usr/share/mariadb")) if (one / self._TABLES[0]).exists()
        )
        # A server removes the temporary tables that it finds at its start, also those of another server.
        for folder in (self.folder / "data", self.folder / "tmp"):
            folder.mkdir()
            if self._as:
                os.chown(folder, self._as["user"], self._as["group"])
        given = self._FIRST + "\n".join((share / name).read_text() for name in self._TABLES) + self._LAST
        self.run(self.path, *self._options(), "--bootstrap", given=given.encode())

    def _options(self) -> Sequence[str]:
        return [
            *("--no-defaults", f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder / 'tmp'}"),
            "--skip-log-bin",
            *("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"),
            f"--innodb-flush-log-at-trx-commit={self.flush}",
        ]

    def command(self) -> Sequence[str]:
        return [
            *(self.path, *self._options(), f"--port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
        ]

    def client(self) -> Any:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database="pages", autocommit=True
        )

    def greet(self) -> None:
        with self.client() as client, client.cursor() as cursor:
            cursor.execute("SELECT 1")

    @property
    def url(self) -> str:
        return f"mysql://{USER}:{IN_URL}@127.0.0.1:{self.port}/pages"

    def clear(self) -> None:
        with self.client() as client, client.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS lbc_schema, lbc_schema_steps, lbc_pages, lbc_bodies, lbc_tombstones")

    def content(self) -> bytes:
        with self.client() as client, client.cursor() as cursor:
            cursor.execute(_CONTENT)
            return _joined(cursor.fetchall())


_CONTENT = "SELECT url, body FROM lbc_pages JOIN lbc_bodies USING (token)"


def _joined(rows: Sequence[Any]) -> bytes:
    return b"".join(url.encode() + body for url, body in rows)


#: What was started for all tests together.
_RUNNING: dict[type[Server], Server] = {}


def at_server(kind: type[Server]) -> Server:
    """A server of this kind, started at its first use, with what others put there; it ends with the tests."""
    if kind not in _RUNNING:
        server = _RUNNING[kind] = kind()
        atexit.register(server.end)
    found = _RUNNING[kind]
    if not found.runs:
        found.start()
    return found


def running(kind: type[Server]) -> Server:
    """The same with nothing in it."""
    server = at_server(kind)
    server.clear()
    return server


@contextmanager
def of_its_own(kind: Callable[[], Server]) -> Iterator[Server]:
    """A server for one test, which may do to it what it likes."""
    server = kind()
    try:
        server.start()
        yield server
    finally:
        with suppress(OSError):
            server.end()
