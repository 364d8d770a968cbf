"""A PostgreSQL server for the queue of several crawlers: a new database, with the settings that it has by default."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from bench.peers.interface import Peer, PeerFailed, program

_USER = "lbcompanion"
_READY_SECONDS = 30.0


class Postgresql(Peer):
    """The server; its data is in a folder of its own below ``/tmp``, because it does not run as root."""

    name = "PostgreSQL"
    _data: Path | None = None
    _password = ""

    @classmethod
    def missing(cls) -> str:
        """The server's program."""
        return "" if _server() else "postgres"

    def command(self) -> list[str]:
        """The command of the server, after ``initdb`` has made its data."""
        server = _server()
        if server is None:
            raise PeerFailed("PostgreSQL is needed for several crawlers; install postgresql")
        self._data = Path(tempfile.mkdtemp(prefix="lbcompanion-bench-postgres-"))
        self._password = secrets.token_hex(16)
        password_file = self._data / "password"
        password_file.write_text(self._password)
        as_user = ["env", "-C", str(self._data)]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._data, password_file):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            as_user += ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        initdb = [str(server.with_name("initdb")), "-D", "db", "-U", _USER, "-A", "scram-sha-256", "-E", "UTF8"]
        made = subprocess.run(
            [*as_user, *initdb, "--locale=C", "--pwfile=password"], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise PeerFailed(f"initdb failed:\n{made.stderr[-1000:]}")
        addresses = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._data}"]
        return [*as_user, str(server), "-D", "db", "-p", str(self.port), *addresses]

    @property
    def url(self) -> str:
        """The URL for ``[crawler] queue``."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers.

        :raises PeerFailed: if it does not.
        """
        super().start()
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                return self.connect().close()
            except psycopg.OperationalError as failure:
                if time.monotonic() > deadline:
                    raise PeerFailed(f"PostgreSQL does not answer: {failure}") from None
                time.sleep(0.05)

    def connect(self) -> psycopg.Connection:
        """Return a connection to it."""
        return psycopg.connect(self.url, autocommit=True)

    def stop(self) -> None:
        """End it, and remove its data."""
        super().stop()
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)


def _server() -> Path | None:
    """The program of the newest version; Debian does not put it on the PATH."""
    found = program("postgres")
    if found is not None:
        return Path(found).resolve()
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return versions[-1] if versions else None
