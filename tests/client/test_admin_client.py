"""The client, against a running crawler."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.client import ApiError, Client, Missed, NotReachable, Outcome
from tests.support.children import wait_for
from tests.support.ports import free_port
from tests.support.served_crawler import PAGES, VISITOR, Served

pytestmark = [pytest.mark.slow, pytest.mark.network]


def tokens(values: Iterator[Outcome | Missed]) -> list[str]:
    return [each.recording.token for each in values if isinstance(each, Outcome)]


def test_recordings_and_their_pages(served: Served) -> None:
    client = served.client("vera")
    found = {each.token: each for each in client.recordings(outcome="archived")}
    assert set(found) == set(PAGES)
    one = found["t1"]
    assert (one.title, one.method, one.outcome, one.visitor) == ("Page 1", "GET", "archived", VISITOR)
    assert one.viewed_at.tzinfo is not None
    assert client.recording("t1") == one
    assert one.raw["by"] == "server"
    payload = client.page("t1")
    assert payload.body == PAGES["t1"]
    assert payload.content_type.startswith("text/html")
    with pytest.raises(ApiError, match="404: no recording") as refused:
        client.recording("no/such token?")
    assert refused.value.status == 404


def test_listings_are_read_to_their_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served.client("vera")
    whole = [each.token for each in client.recordings()]
    monkeypatch.setattr("lbcompanion.client.admin_client._PAGE_SIZE", 1)
    assert [each.token for each in client.recordings()] == whole
    (session,) = client.sessions(site="main")
    assert (session.visitor, session.pages) == (VISITOR, 3)
    assert {each.token for each in client.session(VISITOR)} == set(PAGES)
    address = client.recording("t0").url
    versions = client.versions(address)
    assert [(each.recordings, each.title) for each in versions] == [(2, "Page 0"), (1, "Page 1")]
    assert list(client.recordings(from_=datetime.now(UTC), outcome="archived")) == []
    with pytest.raises(ValueError, match="zone"):
        list(client.recordings(to=datetime(2026, 1, 1)))


def test_an_export(served: Served, tmp_path: Path) -> None:
    client, file = served.client("vera"), tmp_path / "pages.wacz"
    assert client.export(file, token="t1") == file.stat().st_size
    assert "datapackage.json" in zipfile.ZipFile(file).namelist()
    for criteria in ({"visitor": VISITOR}, {"outcome": "archived", "title": "Page"}):
        client.export(file, **criteria)  # type: ignore[arg-type]
    before = file.read_bytes()
    with pytest.raises(ApiError, match="404"):
        client.export(file, title="no such title")
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_no_failure_of_the_crawler(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, draft = tmp_path / "pages.wacz", tmp_path / "draft"
    draft.touch()
    # Unbuffered, so that the write fails, and not the end of the block.
    monkeypatch.setattr("lbcompanion.client.admin_client.open", partial(open, buffering=0), raising=False)
    full = lambda **_where: (os.open("/dev/full", os.O_WRONLY), str(draft))  # noqa: E731
    monkeypatch.setattr("lbcompanion.client.admin_client.tempfile.mkstemp", full)
    with pytest.raises(OSError, match="No space left"):
        served.client("vera").export(file, token="t1")
    assert list(tmp_path.iterdir()) == []


def test_erasing_needs_the_role(served: Served) -> None:
    (lost,) = served.lose()
    for user, status in (("vera", 403), ("nobody", 401)):
        with pytest.raises(ApiError) as refused:
            served.client(user).erase(token=lost)
        assert refused.value.status == status
    client = served.client()
    wait_for("the outcome", lambda: client.recording(lost).outcome, 90)
    assert client.erase(token=[lost], dry_run=True).recordings == 1
    assert client.recording(lost).reason
    erased = client.erase(token=lost)
    assert (erased.recordings, erased.archived, erased.waiting, erased.is_dry_run) == (1, 0, 0, False)
    with pytest.raises(ApiError, match="404"):
        client.recording(lost)
    with pytest.raises(ApiError, match="400"):
        client.erase()


def test_a_stream_of_what_is_there(served: Served) -> None:
    client = served.client("vera")
    new = served.lose(5)
    wait_for("the outcomes", lambda: all(client.recording(each).outcome for each in new), 90)
    found = tokens(client.stream("beginning", seconds=0, outcome="lost"))
    assert sorted(found[-5:]) == sorted(new)
    assert len(found) == len(set(found))
    assert tokens(client.stream("beginning", seconds=0, outcome="archived")) == list(PAGES)
    with pytest.raises(ApiError, match="400"):
        next(client.stream("not an id"))
    with pytest.raises(ApiError, match="401"):
        next(served.client("nobody").stream())


def test_a_stream_goes_on_after_a_crawler_was_killed(served: Served) -> None:
    pauses: list[float] = []
    client = served.client(sleep=pauses.append)
    start = [each.id for each in client.stream("beginning", seconds=0)][-1]
    stream = client.stream(start, seconds=180, max_failures=3)
    first = served.lose(3)
    assert sorted(next(stream).recording.token for _ in first) == sorted(first)  # type: ignore[union-attr]
    second = served.lose(3)
    wait_for("the outcomes", lambda: all(client.recording(each).outcome for each in second), 90)
    served.restart()
    # Some of these may have arrived before the end.
    assert sorted(next(stream).recording.token for _ in second) == sorted(second)  # type: ignore[union-attr]
    third = served.lose(1)
    assert [next(stream).recording.token] == third  # type: ignore[union-attr]
    assert pauses
    stream.close()  # type: ignore[attr-defined]


def test_a_stream_of_another_queue_says_that_outcomes_were_missed(served: Served) -> None:
    found = list(served.client().stream("00000000-7", seconds=0))
    assert isinstance(found[0], Missed)
    assert len(tokens(iter(found))) >= len(PAGES)


def test_the_webhook_gets_each_outcome_in_order(served: Served) -> None:
    client, hook = served.client(), served.hook
    start = [each.id for each in client.stream("beginning", seconds=0)][-1]
    hook.statuses = [302, 500]
    new = served.lose(10)
    wait_for("the webhook", lambda: set(new) <= set(hook.tokens()), 90, served.child)
    served.restart()
    new += served.lose(2)
    wait_for("the webhook", lambda: set(new) <= set(hook.tokens()), 90, served.child)
    in_order = tokens(client.stream(start, seconds=0))
    own = [each for each in dict.fromkeys(hook.tokens()) if each in new]
    assert own == in_order
    assert max(len(each.outcomes) for each in hook.deliveries) <= 4
    assert {each.webhook for each in hook.deliveries} == {"shop"}
    assert hook.refused == []
    (state,) = client._connection.json("/api/webhooks")["webhooks"]
    assert (state["name"], state["host"], state["error"]) == ("shop", "127.0.0.1", None)
    (line, *_) = client._connection.json("/api/audit", {"action": "send outcomes"})["audit"]
    assert line["detail"] == "webhook shop"
    assert "from=shop" not in (served.config.parent / "crawler.log").read_text()


def test_a_crawler_that_is_not_there() -> None:
    client: Any = Client(f"http://127.0.0.1:{free_port()}", timeout=5)
    with pytest.raises(NotReachable, match="no answer"):
        next(client.recordings())
