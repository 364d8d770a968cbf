"""Real clients that resume the download of a page, and of files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.companion import Companion, companion
from tests.support.in_memory_node import without_tag
from tests.support.page_application import PageApplication, serving
from tests.support.programs import need_program

PAGE = b"<!DOCTYPE html><html><head><title>x</title></head><body>%b</body></html>" % b"".join(
    b"<p>line %d</p>\n" % number for number in range(400)
)
FILE = bytes(range(256)) * 40
HELD_BYTES = 2000

RESUME = {
    "curl": ["curl", "-s", "-C", "-", "-o"],
    "wget": ["wget", "-q", "-c", "--tries=1", "-O"],
}


@pytest.fixture(scope="module", name="front")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    application = PageApplication({"/page": ("text/html", PAGE), "/film.mp4": ("video/mp4", FILE)})
    application.resources["/stream"] = ("video/mp4", FILE)
    with companion(tmp_path_factory.mktemp("resumed")) as one, serving(application, one.application_port):
        yield one
        assert not one.failures()


def downloaded(front: Companion, path: str, program: str, file: Path) -> bytes:
    """The file after the program resumed its download."""
    need_program(program)
    subprocess.run([*RESUME[program], str(file), f"http://127.0.0.1:{front.port}{path}"], timeout=60, check=False)
    return file.read_bytes()


@pytest.mark.parametrize("program", RESUME)
@pytest.mark.parametrize("held", [1, HELD_BYTES, len(PAGE) - 1, len(PAGE), len(PAGE) + 50])
def test_a_resumed_page_has_no_hole(front: Companion, program: str, held: int, tmp_path: Path) -> None:
    whole = downloaded(front, "/page", program, tmp_path / "whole")
    assert whole != PAGE
    assert without_tag(whole) == PAGE
    file = tmp_path / "part"
    file.write_bytes(whole[:held])
    found = downloaded(front, "/page", program, file)
    assert found == whole[:held] or without_tag(found) == PAGE


@pytest.mark.parametrize("program", RESUME)
@pytest.mark.parametrize("path", ["/film.mp4", "/stream"])
def test_a_file_is_resumed(front: Companion, program: str, path: str, tmp_path: Path) -> None:
    file = tmp_path / "part"
    file.write_bytes(FILE[:HELD_BYTES])
    if path == "/stream":
        # By the first such request the node learns that the path is no page's.
        downloaded(front, path, program, tmp_path / "first")
        (tmp_path / "second").write_bytes(FILE[:1])
        downloaded(front, path, program, tmp_path / "second")
    assert downloaded(front, path, program, file) == FILE
