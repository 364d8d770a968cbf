"""Crawlers that share what they should not share: each is refused with a clear message, or loses nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.children import wait_for
from tests.support.crawler_group import CrawlerGroup
from tests.support.store_servers import Postgresql, of_its_own

pytestmark = pytest.mark.slow


@pytest.fixture
def group(tmp_path: Path) -> Iterator[CrawlerGroup]:
    """One crawler at PostgreSQL, which works, with 20 notices."""
    with of_its_own(Postgresql) as server:
        made = CrawlerGroup(server, tmp_path)
        try:
            made.start("c0")
            made.ports("c0")
            assert made.deliver(made.notices(20), ["c0"]) == "c0"
            yield made
            made.wait_for_the_end()
            made.stop()
            made.add_up()
            assert len(made.accepted) >= 20
        finally:
            made.close()


def refused(group: CrawlerGroup, folder: str) -> str:
    """Wait until a crawler has ended without a start; what it said."""
    child = group.crawlers.pop(folder)
    child.ended()
    assert "not started: " in child.last_words()
    assert not (group.folder / folder / "ports").exists()
    return child.last_words()


def test_the_archive_of_a_running_crawler(group: CrawlerGroup) -> None:
    archive = group.folder / "c0" / "archive"
    (group.folder / "linked").symlink_to(archive)
    for number, path in enumerate((archive, group.folder / "linked", archive.parent / ".." / "c0" / "archive")):
        name = f"c{number + 1}"
        group.start(name, archive_dir=str(path))
        assert "archive is in use by another crawler: c0 (state directory " in refused(group, name)
    # Another queue changes nothing about that.
    group.start("c5", archive_dir=str(archive), queue=f"sqlite:///{group.folder}/c5/own.db")
    assert "archive is in use by another crawler: c0" in refused(group, "c5")


def test_the_same_name_and_a_copied_state_folder(group: CrawlerGroup) -> None:
    group.start("c0", "same-name")
    assert 'in use by another crawler of the name "c0"' in refused(group, "same-name")
    shutil.copytree(group.folder / "c0", group.folder / "copied", ignore=shutil.ignore_patterns("ports"))
    group.start("", "copied")  # the state folder has the name
    assert 'in use by another crawler of the name "c0"' in refused(group, "copied")


def test_the_crawler_of_another_farm(group: CrawlerGroup) -> None:
    group.start("c1", secret_text="of another farm, which is long enough")
    assert "the queue belongs to a farm with another secret" in refused(group, "c1")


def test_another_archive_for_the_same_name(group: CrawlerGroup) -> None:
    """What was archived before is where it was; the crawler says what it misses, and goes on."""
    group.wait_for_the_end()
    first = group.crawlers["c0"]
    first.kill()
    first.ended()
    shutil.move(group.folder / "c0" / "archive", group.folder / "kept")
    (group.folder / "c0" / "ports").unlink()
    first.start()
    wait_for("the problem", lambda: "bytes with archived pages are missing" in group.problems("c0") or None)
    assert group.deliver(group.notices(5), ["c0"]) == "c0"
    group.wait_for_the_end()
    for file in (group.folder / "kept").glob("*.warc.gz"):
        shutil.move(file, group.folder / "c0" / "archive")
