"""An application that has few workers: idle connections of the companion must not hold those that visitors wait for."""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbcompanion.demo.ports import LOOPBACK
from tests.support.children import Children, wait_for
from tests.support.companion import Companion, companion
from tests.support.programs import need_program

_WORKERS = 8
_REQUESTS = 256
_AT_ONCE = 64
# An estimate needs a few rounds of answers, and a busy machine may answer in another order.
_CROWDS_TO_LEARN = 4
_MODULES = Path("/usr/lib/apache2/modules")
_ASKED = b"GET /logo.png HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_PATIENCE_SECONDS = 120
#: A worker waits this long for the next request on a connection; a visitor never has to.
_KEPT_SECONDS = 600


@contextmanager
def _apache(folder: Path, port: int) -> Iterator[None]:
    """Apache's prefork with few workers, each of which keeps its connection for long."""
    program = need_program("apache2")
    if not (_MODULES / "mod_mpm_prefork.so").is_file():
        need_program("apache2 with mod_mpm_prefork")
    site = folder / "site"
    site.mkdir()
    (site / "logo.png").write_bytes(bytes(4000))
    modules = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in ("mpm_prefork", "authz_core"))
    file = folder / "apache.conf"
    file.write_text(
        f"""
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Mutex file:{folder}
ErrorLog {folder}/apache.error
ServerName {LOOPBACK}
Listen {LOOPBACK}:{port}
{modules}
StartServers {_WORKERS}
MinSpareServers {_WORKERS}
MaxSpareServers {_WORKERS}
ServerLimit {_WORKERS}
MaxRequestWorkers {_WORKERS}
KeepAlive On
KeepAliveTimeout {_KEPT_SECONDS}
MaxKeepAliveRequests 0
DocumentRoot {site}
<Directory {site}>
Require all granted
</Directory>
"""
    )
    children = Children(folder)
    child = children.start("apache", [program, "-DFOREGROUND", "-f", str(file)])
    try:
        wait_for("Apache", lambda: _answers(port), 60, child)
        yield
    finally:
        children.kill()


@contextmanager
def _gunicorn(folder: Path, port: int) -> Iterator[None]:
    """Gunicorn with sync workers, each of which closes its connection after one response."""
    python = need_program("gunicorn")
    (folder / "shop.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'image/png'), ('Content-Length', '4000')])\n"
        "    return [bytes(4000)]\n"
    )
    options = ["--workers", "2", "--worker-class", "sync", "--bind", f"{LOOPBACK}:{port}", "--log-level", "error"]
    options += ["--chdir", str(folder), "--no-control-socket"]
    children = Children(folder)
    child = children.start("gunicorn", [python, "-m", "gunicorn", *options, "shop:application"])
    try:
        wait_for("Gunicorn", lambda: _answers(port), 60, child)
        yield
    finally:
        children.kill()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", "/logo.png", headers={"Connection": "close"})
        return connection.getresponse().read() == bytes(4000)
    except OSError:
        return False
    finally:
        connection.close()


async def _visit(front: Companion) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, front.port)
    try:
        writer.write(_ASKED)
        answer = await reader.read()
        return answer[:12] if answer.endswith(bytes(4000)) else b"cut short"
    finally:
        writer.close()


async def _crowd(front: Companion) -> Counter[bytes]:
    """Visitors who come in a crowd; what they got."""
    got: Counter[bytes] = Counter()
    left = iter(range(_REQUESTS))

    async def visitor() -> None:
        for _ in left:
            got[await _visit(front)] += 1

    # A fraction of what a worker would hold on to an idle connection: only what made way can have served all of them.
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(visitor() for _ in range(_AT_ONCE)))
    return got


@pytest.mark.parametrize("most", [None, _WORKERS, 32])
def test_prefork(tmp_path: Path, most: int | None) -> None:
    """A crowd is served by few workers, with and without a cap, though these keep idle connections for long."""
    more = "" if most is None else f"[limits]\nupstream_connections = {most}\n"
    with companion(tmp_path, more) as front, _apache(tmp_path, front.application_port):
        assert asyncio.run(_crowd(front)) == {b"HTTP/1.1 200": _REQUESTS}
        # Crowds whose idle connections the one before has left.
        assert asyncio.run(_crowd(front)) == {b"HTTP/1.1 200": _REQUESTS}
        assert front.metric("upstream_waiting") == 0
        assert front.metric("upstream_open") <= (most or _WORKERS + 1)
        made, made_way = front.metric("upstream_connections_total"), front.metric("upstream_made_way_total")
        assert made <= 2 * _REQUESTS
        if most is None:
            # The number of workers is learned from a crowd: most of the next one waits for a connection.
            assert made_way > 0
            for _ in range(_CROWDS_TO_LEARN):
                if front.metric("upstream_workers") == _WORKERS:
                    break
                assert asyncio.run(_crowd(front)) == {b"HTTP/1.1 200": _REQUESTS}
            assert front.metric("upstream_workers") == _WORKERS
            assert front.metric("upstream_waited_total") > 0
            assert made < _REQUESTS
        else:
            assert front.metric("upstream_waited_total") > 0
        assert front.failures() == []


def test_gunicorn(tmp_path: Path) -> None:
    """Workers that close each connection are never starved: nothing is learned, and no request waits, after the first
    responses have shown that no connection is kept."""
    with companion(tmp_path) as front, _gunicorn(tmp_path, front.application_port):
        assert asyncio.run(_crowd(front)) == {b"HTTP/1.1 200": _REQUESTS}
        waited = front.metric("upstream_waited_total")
        assert waited < 2 * _AT_ONCE
        assert asyncio.run(_crowd(front)) == {b"HTTP/1.1 200": _REQUESTS}
        assert front.metric("upstream_workers") == 0
        assert front.metric("upstream_waited_total") == waited
        assert front.metric("upstream_made_way_total") == 0
        assert front.metric("upstream_open") == 0
        assert front.failures() == []
