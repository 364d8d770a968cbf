"""The tree-construction documents of html5lib's tests, made to be hostile.

They are read out of html5lib's source package, which ``make test`` brings. ``LBC_HTML5LIB_TESTS`` names a folder with
a newer edition: a checkout of html5lib-tests.
"""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tests.support.programs import leave_out

_FOLDER = "/tree-construction/"
_SECTIONS = (b"#errors", b"#new-errors", b"#document", b"#document-fragment", b"#script-off", b"#script-on")


def _files() -> Iterator[bytes]:
    if folder := os.environ.get("LBC_HTML5LIB_TESTS"):
        for path in sorted(Path(folder).rglob("*.dat")):
            if _FOLDER in f"{path}":
                yield path.read_bytes()
        return
    for archive in (Path(sys.prefix) / "html5lib").glob("html5lib-*.tar.gz"):
        with tarfile.open(archive) as tar:
            for member in sorted(tar.getmembers(), key=lambda one: one.name):
                if _FOLDER in member.name and member.name.endswith(".dat"):
                    held = tar.extractfile(member)
                    assert held is not None
                    yield held.read()


def read(text: bytes) -> Iterator[bytes]:
    """The documents of one file that are parsed with scripts on, and as documents."""
    for one in (b"\n" + text).split(b"\n#data\n")[1:]:
        lines = one.split(b"\n")
        sections = [line for line in lines if line in _SECTIONS]
        if b"#document-fragment" in sections or b"#script-off" in sections:
            continue
        yield b"\n".join(lines[: lines.index(sections[0])])


@lru_cache(1)
def documents() -> tuple[bytes, ...]:
    """All of them.

    :raises unittest.SkipTest: they are not there.
    """
    found = tuple(document for text in _files() for document in read(text))
    if not found:
        leave_out("html5lib's documents")
    return found
