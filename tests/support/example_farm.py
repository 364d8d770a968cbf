"""A platform's example as a user runs it: started by its script, known by what that prints, ended by Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import frozen
from warcio.archiveiterator import ArchiveIterator

from tests.support import failure_report
from tests.support.children import Child, wait_for
from tests.support.farm import fetched
from tests.support.programs import need_program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_PRINTED = re.compile(
    r"^the site +(http://127\.0\.0\.1:\d+)/\nthe archive +http://127\.0\.0\.1:(\d+)/\nfiles, logs +(\S+) .*\nCtrl-C",
    re.MULTILINE,
)


@frozen
class PageView:
    """A page as the browser showed it.

    :ivar body: less the tag.
    """

    url: str
    method: str
    status: int
    token: str
    body: bytes


@frozen
class ExampleFarm:
    """A running example.

    :ivar origin: the site.
    :ivar api: the port of the crawler's API.
    :ivar folder: with configurations, logs and archive.
    """

    origin: str
    api: int
    folder: Path

    def recordings(self) -> dict[str, dict[str, Any]]:
        """All recordings by token."""
        _, body = fetched(self.api, "/api/recordings?limit=1000")
        return {recording["token"]: recording for recording in json.loads(body)["recordings"]}

    def finished(self, views: Sequence[PageView]) -> dict[str, dict[str, Any]]:
        """All recordings, once those of these views have their outcome."""

        def look() -> dict[str, dict[str, Any]] | None:
            found = self.recordings()
            return found if all(found.get(view.token, {}).get("outcome") for view in views) else None

        try:
            return wait_for("outcomes", look)
        except AssertionError as failure:
            raise AssertionError(f"{failure}; found: {json.dumps(self.recordings(), indent=1)}") from None

    def check_archived(self, views: Sequence[PageView]) -> Mapping[str, Mapping[str, Any]]:
        """Each view is archived byte for byte, from the node that made the page, and nothing else is.

        :returns: the recordings.
        """
        found = self.finished(views)
        assert set(found) == {view.token for view in views}, "not each viewed page, or more than the viewed pages"
        for view in views:
            recording = found[view.token]
            assert recording["outcome"] == "archived", recording
            assert recording["answered_by"] == recording["origin_node"], recording
            status, body = fetched(self.api, f"/api/recordings/{view.token}/page")
            assert status == 200
            assert body == view.body, f"{view.method} {view.url}: archived otherwise:\n{_difference(body, view.body)}"
            assert recording["sha256"] == sha256(body).hexdigest()
            assert recording["url"] == view.url
            assert recording["requisites"]["missing"] == [], recording
        return found

    def style_sheets(self) -> set[str]:
        """The addresses of all style sheets in the archive."""
        found = set()
        for file in sorted((self.folder / "archive").glob("*.warc.gz*")):
            with file.open("rb") as stream:
                for record in ArchiveIterator(stream):
                    fields = record.http_headers
                    if record.rec_type == "response" and fields.get_header("Content-Type", "").startswith("text/css"):
                        found.add(record.rec_headers.get_header("WARC-Target-URI"))
        return found

    def routes(self) -> Counter[str]:
        """How the pages were fetched."""
        return Counter(recording["route"] for recording in self.recordings().values())

    def died(self) -> bool:
        """Whether it was ended."""
        return not self.folder.exists()

    def last_words(self) -> str:
        """The end of each log."""
        tails = [f"---- {file.name} ----\n{file.read_text('utf-8', 'replace')[-3000:]}" for file in self._log_files()]
        return "\n".join(tails)

    def _log_files(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))


def _difference(archived: bytes, seen: bytes) -> str:
    lines = [text.decode("utf-8", "replace").splitlines() for text in (seen, archived)]
    return "\n".join(line[:500] for line in unified_diff(*lines, "seen", "archived", n=0, lineterm=""))


@contextmanager
def example_farm(name: str, folder: Path, *programs: str, variant: str = "") -> Iterator[ExampleFarm]:
    """Run an example, and end it by SIGINT; nothing of it may remain.

    :param name: its folder in ``examples``.
    :param folder: gets the script's output.
    :param programs: what it needs.
    :param variant: the script's argument.
    """
    for program in programs:
        need_program(program)
    command = [str(EXAMPLES / name / "run"), *([variant] if variant else [])]
    child = Child(name, command, folder / "run.log", {})
    child.start()
    try:
        found = wait_for(name, lambda: _PRINTED.search(child.log.read_text()), 120, child)
        farm = ExampleFarm(found[1], int(found[2]), Path(found[3]))
        failure_report.add(farm)
        yield farm
    finally:
        child.send(signal.SIGINT)
        code = child.ended()
    assert code == 0, child.last_words()
    assert not farm.folder.exists()
    assert _processes_of(farm.folder) == []


def _processes_of(folder: Path) -> list[str]:
    """The command lines of processes that were started for a farm in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in environment + command:
            found.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
    return found
