"""The services as processes: started by the command and by twistd, stopped by signals, with the exit codes promised."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbcompanion.cli import main
from lbcompanion.demo.processes import companion_command
from tests.support.commands import ROOT, TWISTD
from tests.support.listener_certificates import AUTHORITY
from tests.support.ports import free_port

pytestmark = pytest.mark.network

START_SECONDS = 60
STOP_SECONDS = 30


def by_command(kind: str, file: Path) -> list[str]:
    return companion_command(kind, "--config", str(file))


def by_twistd(kind: str, file: Path) -> list[str]:
    plugin = {"node": "lbcompanion", "crawler": "lbcompanion-crawler"}[kind]
    return [sys.executable, "-c", TWISTD, "-n", "--pidfile=", plugin, "--config", str(file)]


WAYS = [by_command, by_twistd]


class Farm:
    """The files of a farm of one node, on ports of its own."""

    def __init__(self, folder: Path) -> None:
        done = CliRunner().invoke(main, ["init", str(folder), "--nodes", "n1", "--origin", "http://127.0.0.1:1"])
        assert done.exit_code == 0, done.output
        self.folder = folder
        self.admin = {"node": free_port(), "crawler": free_port()}
        self._replace("n1.toml", "tcp:8080", f"tcp:{free_port()}:interface=127.0.0.1")
        self._replace("n1.toml", "tcp:127.0.0.1:8000", f"tcp:127.0.0.1:{free_port()}")
        self._replace("n1.toml", "tcp:9101", f"tcp:{self.admin['node']}")
        self._replace("crawler.toml", "tcp:9200", f"tcp:{free_port()}")
        self._replace("crawler.toml", "tcp:9201", f"tcp:{self.admin['crawler']}")

    def _replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def file(self, kind: str) -> Path:
        return self.folder / {"node": "n1.toml", "crawler": "crawler.toml"}[kind]

    def is_healthy(self, kind: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin[kind], timeout=60)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@pytest.fixture(name="farm")
def _farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


@contextmanager
def started(command: list[str], folder: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_until_healthy(farm: Farm, kind: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + START_SECONDS
    while not farm.is_healthy(kind):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "not healthy in time"
        time.sleep(0.1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["node", "crawler"])
def test_a_service_starts_and_ends_with_sigterm(farm: Farm, kind: str, way) -> None:  # type: ignore[no-untyped-def]
    with started(way(kind, farm.file(kind)), farm.folder) as process:
        wait_until_healthy(farm, kind, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=STOP_SECONDS)
    # twistd stops in the same good order, and ends by the signal itself at last.
    assert process.returncode == (-signal.SIGTERM if way is by_twistd else 0), out + err
    assert "Traceback" not in out + err
    secret = (farm.folder / "farm.secret").read_text().strip()
    assert secret not in out + err


@pytest.mark.parametrize("kind", ["node", "crawler"])
def test_a_service_ends_with_ctrl_c_and_logs_json(farm: Farm, kind: str) -> None:
    with started(by_command(kind, farm.file(kind)), farm.folder, LBC_LOG="json") as process:
        wait_until_healthy(farm, kind, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, out + err
    for line in err.splitlines():
        assert {"time", "level", "from", "message"} <= set(json.loads(line))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["node", "crawler"])
def test_a_port_that_is_taken_ends_the_service(farm: Farm, kind: str, way) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", farm.admin[kind]))
        taken.listen()
        with started(way(kind, farm.file(kind)), farm.folder) as process:
            out, err = process.communicate(timeout=START_SECONDS)
    assert process.returncode == (0 if way is by_twistd else 1), out + err  # twistd has no other code for this
    assert "not started" in out + err
    assert str(farm.admin[kind]) in out + err


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["node", "crawler"])
def test_a_bad_configuration_is_exit_2(farm: Farm, kind: str, way) -> None:  # type: ignore[no-untyped-def]
    farm.file(kind).write_text(farm.file(kind).read_text().replace("state_dir", "state_dri"))
    with started(way(kind, farm.file(kind)), farm.folder) as process:
        out, err = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 2, out + err
    assert "state_dri is no known key; allowed: did you mean state_dir?" in err


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["node", "crawler"])
def test_a_service_goes_on_after_sighup(farm: Farm, kind: str, way) -> None:  # type: ignore[no-untyped-def]
    """The units of systemd reload by it. It would end the process that has no handler."""
    with started(way(kind, farm.file(kind)), farm.folder) as process:
        wait_until_healthy(farm, kind, process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        wait_until_healthy(farm, kind, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=STOP_SECONDS)
    assert "Traceback" not in out + err


@pytest.mark.parametrize("kind", ["node", "crawler"])
def test_a_service_that_is_starting_ignores_sighup(farm: Farm, kind: str) -> None:
    """For systemd a unit has started once its process is there: a reload may come before the handler."""
    text = farm.file(kind).read_text()
    farm.file(kind).unlink()
    os.mkfifo(farm.file(kind))
    with started(by_command(kind, farm.file(kind)), farm.folder) as process:
        with farm.file(kind).open("w") as opened:  # once the process opens it, too
            process.send_signal(signal.SIGHUP)
            with suppress(BrokenPipeError):
                opened.write(text)
        wait_until_healthy(farm, kind, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, out + err


def test_a_service_that_has_ended_ignores_sighup() -> None:
    """A handler would end with the interpreter, and the signal would end the process then: a stop would look failed."""
    code = """
import signal
from twisted.application.service import Service
from twisted.internet import reactor
from lbcompanion.run import foreground
foreground.reload_on_sighup(reactor, lambda: None)
reactor.callWhenRunning(reactor.stop)
foreground.run_service(Service(), reactor, json_lines=None)
print(signal.getsignal(signal.SIGHUP).name)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS, check=True)
    assert done.stdout == "SIG_IGN\n", done.stderr


def test_sighup_makes_the_crawler_read_its_certificates_again(farm: Farm) -> None:
    certificate, _ = AUTHORITY.write(farm.folder, "a", "127.0.0.1")
    port = farm.admin["crawler"]
    farm._replace("crawler.toml", f"tcp:{port}", f"ssl:{port}:privateKey=a.key:certKey=a.pem")
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())

    def shown() -> bytes:
        plain = socket.create_connection(("127.0.0.1", port), 60)
        with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as asking:
            assert asking.version() == "TLSv1.3"
            asking.sendall(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            assert asking.recv(100).startswith(b"HTTP/1.")
            return asking.getpeercert(True) or b""

    def first_shown() -> bytes:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return shown()
            except ConnectionRefusedError:
                assert time.monotonic() < end, "it does not listen"
                time.sleep(0.1)

    with started(by_command("crawler", farm.file("crawler")), farm.folder) as process:
        first = first_shown()
        AUTHORITY.write(farm.folder, "a", "127.0.0.1")
        process.send_signal(signal.SIGHUP)
        end = time.monotonic() + START_SECONDS
        while shown() == first:
            assert time.monotonic() < end, "the old certificate stays"
        second = shown()
        certificate.write_bytes(b"rubbish")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert shown() == second
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=STOP_SECONDS)
    assert (out + err).count("certificate reloaded") == 1
    assert (out + err).count("certificate not reloaded, the old one stays") == 1
    assert "Traceback" not in out + err


def test_a_fetch_of_no_token_is_exit_1(farm: Farm) -> None:
    with started(companion_command("fetch", "nonsense", "--config", str(farm.file("crawler"))), farm.folder) as process:
        out, err = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1, out + err
    assert "lbcompanion: not a token" in err
    assert "Traceback" not in err
