"""Public tools that read archives: pywb, cdxj-indexer and wacz, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lbcompanion.demo.ports import ReservedPorts
from tests.support.programs import need_program

_START_SECONDS = 60


def run_tool(name: str, *arguments: str | Path, cwd: Path | None = None) -> str:
    """Run a tool to its end, and return its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [need_program(name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)
    assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
    return done.stdout


def cdxj_lines(*files: Path) -> list[tuple[str, str, Mapping[str, str]]]:
    """What cdxj-indexer says about WARC files, sorted: key, time and the other values of each line."""
    lines = run_tool("cdxj-indexer", "--post-append", *files).splitlines()
    parsed = (line.split(" ", 2) for line in lines)
    return sorted(((key, date, json.loads(rest)) for key, date, rest in parsed), key=lambda line: line[:2])


def surt_keys(urls: Sequence[str]) -> list[str]:
    """The keys that the library of these tools makes of addresses."""
    python = Path(need_program("pywb")).with_name("python")
    code = "import json, sys, surt; print(json.dumps([surt.surt(url) for url in json.load(sys.stdin)]))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code], input=json.dumps(urls), capture_output=True, text=True, env=environment, check=True
    )
    return list(json.loads(done.stdout))


class Pywb:
    """A running pywb with one collection."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/test"

    def page(self, date: str, url: str, form: bytes | None = None) -> bytes:
        """The body that is shown for an address at a time (14 digits), without rewriting; empty if there is none.

        :param form: send this form by POST.
        """
        fields = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        try:
            with urlopen(Request(f"{self._base}/{date}id_/{url}", form, fields), timeout=20) as response:
                return bytes(response.read())
        except HTTPError as answer:
            answer.close()
            if answer.code != 404:
                raise
            return b""


@contextmanager
def pywb(folder: Path, *files: Path) -> Iterator[Pywb]:
    """Run pywb on WARC files or WACZ files."""
    run_tool("wb-manager", "init", "test", cwd=folder)
    run_tool(
        "wb-manager", "add", *(("--unpack-wacz",) if files[0].suffix == ".wacz" else ()), "test", *files, cwd=folder
    )
    with _running(folder) as player:
        yield player


@contextmanager
def pywb_on_archive(folder: Path, archive: Path) -> Iterator[Pywb]:
    """Run pywb on a folder of WARC files with their indexes beside them, as they are."""
    paths = f"    index_paths: {archive}/\n    archive_paths: {archive}/\n"
    (folder / "config.yaml").write_text(f"collections:\n  test:\n{paths}")
    with _running(folder) as player:
        yield player


@contextmanager
def _running(folder: Path) -> Iterator[Pywb]:
    ports = ReservedPorts()
    port = ports.take()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [need_program("pywb"), "--bind", "127.0.0.1", "--port", str(port)]
    output = (folder / "pywb.log").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                    break
            except HTTPError as answer:
                answer.close()
                break
            except (URLError, OSError):
                assert process.poll() is None, (folder / "pywb.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield Pywb(port)
    finally:
        process.terminate()
        process.wait(20)
        output.close()
        ports.release()
