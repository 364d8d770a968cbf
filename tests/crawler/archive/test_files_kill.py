from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.protocol.tokens import digest_of
from tests.support.archiving_process import archive_due, body_of, open_archive
from tests.support.commands import ROOT

pytestmark = pytest.mark.network


def run_and_kill(folder: Path, seconds: float) -> int:
    """Start the child, kill it a while after it began to work; how many notices it said were safe."""
    command = [sys.executable, "-m", "tests.support.archiving_process", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [child.stdout.readline()]
        time.sleep(seconds)
        child.kill()
        told += child.stdout.readlines()
    return max((int(line) for line in told if line.endswith(b"\n")), default=0)


def test_kill_minus_nine_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    for seconds in (0.11, 0.173, 0.3):
        safe = run_and_kill(tmp_path, seconds)
        database, backlog, archive = open_archive(tmp_path)
        counts = backlog.counts()
        assert sum(counts.values()) >= safe
        database.close()
    database, backlog, archive = open_archive(tmp_path)
    archive_due(backlog, archive)
    counts = backlog.counts()
    assert counts["open"] == 0
    assert counts["archived"] >= 3
    digests: Counter[bytes] = Counter()
    for file in sorted((tmp_path / "archive").glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                body = record.content_stream().read()
                if record.rec_type == "response":
                    digests[digest_of(body)] += 1
    assert digests == {digest_of(body_of(f"t{number}")): 1 for number in range(counts["archived"])}
    database.close()
