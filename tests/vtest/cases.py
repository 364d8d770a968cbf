"""The cases in VTest's language: where they are, what each says about itself, how they are run.

A case is a file below ``cases/``. Comments at its top say what it is about, and besides, a line each:

``# companion: NAME``
    Which of :data:`COMPANIONS` it is for; ``usual`` where nothing is said.
``# broken: WHY``
    The companion does not do this right yet: the case is expected to fail.
``# coding: NAME``
    It is about this content coding, and is left out while the companion does not speak it.

In the case ``${companion}`` is the companion's address, ``${application}`` the one where it looks for the application,
``${python}`` this Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from attrs import frozen

from lbcompanion.demo.ports import LOOPBACK
from lbcompanion.http1.codings import DECODABLE
from tests.support.companion import Companion

_ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "cases"
_SAID = re.compile(r"^# (companion|broken|coding): (.+)$", re.MULTILINE)
_SECONDS = 60
_TOLD_BYTES = 6000

#: Companions by name: further lines of their files.
COMPANIONS = {
    "usual": "",
    # Deadlines so short that a case can wait for them.
    "hasty": """[limits]
head_seconds = 1
idle_seconds = 2
upstream_seconds = 1
upstream_connect_seconds = 1
head_bytes = 4096
header_lines = 20
""",
    # Nobody is believed what they say about those before them.
    "distrustful": "trusted_proxies = []\n",
    # Nothing is captured: a plain proxy.
    "plain": "[capture]\nenabled = false\n",
    # What is recorded may not be kept by browsers.
    "fresh": '[capture]\nrevalidate = "no-store"\n[fetch]\naddresses = ["127.0.0.0/8"]\nsignature = "off"\n',
}


@frozen
class Case:
    """One file."""

    path: Path
    companion: str
    broken: str
    coding: str

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def lacking(self) -> str:
        """The content coding that it needs and the companion has not."""
        return self.coding if self.coding and self.coding.encode() not in DECODABLE else ""


def read(path: Path) -> Case:
    """The description in a file."""
    said = dict(_SAID.findall(path.read_text()))
    return Case(path, said.get("companion", "usual"), said.get("broken", ""), said.get("coding", ""))


def all_cases() -> list[Case]:
    """Every case, in the order of names."""
    return [read(path) for path in sorted(FOLDER.glob("*/*.vtc"))]


def run(program: str, case: Case, companion: Companion, folder: Path) -> str:
    """Run one case; the end of its log where it failed, else nothing.

    :param program: varnishtest's path.
    :param folder: gets its files meanwhile.
    """
    command = [
        program,
        *("-D", f"companion={LOOPBACK}:{companion.port}"),
        *("-D", f"application={LOOPBACK}:{companion.application_port}"),
        *("-D", f"python={sys.executable}"),
        *("-t", str(_SECONDS)),
        str(case.path),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(_ROOT)},
        timeout=_SECONDS + 20,
        check=False,
    )
    told = done.stdout[-_TOLD_BYTES:] + done.stderr[-_TOLD_BYTES:] if done.returncode else b""
    if done.returncode:
        return f"varnishtest ended with {done.returncode}\n{told.decode('utf-8', 'replace')}"
    left = companion.left_open()
    return f"the companion still holds {left} though all others have left" if left else ""
