"""Erasing recordings: rows, records, payloads, and what a crash leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbcompanion.crawler.erasure.warc_members import members, read_record
from lbcompanion.crawler.queue.backlog import AlreadyEnded
from lbcompanion.crawler.queue.payload_places import references_of
from tests.support.archives import NOW, copy
from tests.support.arrivals import arrival
from tests.support.erasing_place import Crashed, ErasingPlace, file_of_page

CSS = file_of_page("x.css", b"body { color: shared }")
JS = file_of_page("y.js", b"alert('shared too')")
STEPS = ("marked", "doomed", "copied", "written", "replaced", "removed")


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Any:
    place = ErasingPlace(tmp_path)
    yield place
    place.close()


@pytest.mark.slow
def test_a_recording_goes_with_its_records(place: ErasingPlace) -> None:
    place.keep("t1", b"first secret")
    place.keep("t2", b"second secret", method="POST")
    place.keep("t3", b"third secret")
    before = place.files()
    result = place.erase(tokens=("t2",))
    assert (result.recordings, result.archived, result.records, result.files, result.waiting) == (1, 1, 2, 1, 0)
    assert result.bytes > 0
    place.check({"t1": b"first secret", "t3": b"third secret"})
    place.check_files()
    assert place.files() != before
    assert b"second" not in place.plain()
    assert b"/t2" not in place.plain()


@pytest.mark.slow
def test_other_records_keep_their_bytes(place: ErasingPlace) -> None:
    for number in range(5):
        place.keep(f"t{number}", f"page {number}".encode(), file_of_page(f"{number}.css", f"file {number}".encode()))
    (old,) = place.files()
    data = old.read_bytes()
    place.erase(tokens=("t1", "t3"))
    (new,) = place.files()
    after = new.read_bytes()
    with new.open("rb") as stream:
        kept = [after[one.offset : one.offset + one.length] for one in members(stream, len(after), [])]
    assert len(kept) == 7
    assert all(piece in data for piece in kept)


@pytest.mark.slow
def test_a_file_without_recordings_is_removed(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    assert place.erase(urls=("http://www.example.com/t1",)).files == 1
    assert place.files() == []
    assert place.index.files() == {}
    place.keep("t2", b"two")
    place.check({"t2": b"two"})
    place.check_files()


@pytest.mark.slow
def test_a_file_that_goes_as_a_whole_is_not_read(place: ErasingPlace, monkeypatch: Any) -> None:
    place.keep("t1", b"one", CSS)
    place.keep("t2", b"two", CSS)
    monkeypatch.setattr(place.parts.place, "open", None)
    result = place.erase(urls=("http://www.example.com/*",))
    assert (result.recordings, result.records, result.files, result.waiting) == (2, 2, 1, 0)
    place.check({})
    place.check_files()


@pytest.mark.slow
def test_the_open_file_is_closed_first(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    place.keep("t2", b"two")
    place.erase(tokens=("t1",))
    place.keep("t3", b"three", CSS)
    assert len(place.files()) == 2
    place.check({"t2": b"two", "t3": b"three"})
    place.check_files()


@pytest.mark.slow
def test_a_payload_moves_to_the_first_revisit_that_needs_it(place: ErasingPlace) -> None:
    place.keep("t1", b"one", CSS, JS)
    place.keep("t2", b"two", CSS, at=NOW + 1)
    place.keep("t3", b"three", CSS, at=NOW + 2)
    place.erase(tokens=("t1",))
    kinds = [kind for kind, _ in place.records()]
    assert kinds == ["warcinfo", "response", "response", "response", "revisit"]
    place.check({"t2": b"two", "t3": b"three"})
    assert place.plain().count(CSS.body) == 1
    assert JS.body not in place.plain()
    assert b"2026-11-23T21:10:00" not in place.plain()
    (file,) = place.files()
    assert CSS.sha256.hex() in place.index.payloads(file.name)
    assert JS.sha256.hex() not in place.index.payloads(file.name)
    place.erase(tokens=("t2",))
    place.check({"t3": b"three"})
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "response"]
    place.erase(tokens=("t3",))
    assert place.files() == []


@pytest.mark.slow
def test_a_page_that_others_repeat_goes_and_its_bytes_stay(place: ErasingPlace) -> None:
    for number in range(3):
        place.keep(f"t{number}", b"the same for all", at=NOW + number)
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "revisit", "revisit"]
    place.erase(tokens=("t0",))
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "revisit"]
    place.check({"t1": b"the same for all", "t2": b"the same for all"})
    assert b"/t0" not in place.plain()
    place.erase(tokens=("t1",))
    place.check({"t2": b"the same for all"})


def in_own_files(folder: Path, number: int, on_step: Any = lambda _step: None, **more: Any) -> ErasingPlace:
    """Pages with the same bytes and the same style sheet, each in a file of its own."""
    place = ErasingPlace(folder, on_step, rotate_bytes=1, **more)
    for each in range(number):
        place.now = NOW + each
        place.keep(f"t{each}", b"the same for all", CSS, at=NOW + each)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 0, 3, 1)])
def test_bytes_move_to_other_files_that_need_them(tmp_path: Path, order: tuple[int, ...]) -> None:
    place = in_own_files(tmp_path, 4)
    assert [kind for kind, _ in place.records()].count("revisit") == 6
    left = {f"t{number}": b"the same for all" for number in range(4)}
    for number in order:
        del left[f"t{number}"]
        assert place.erase(tokens=(f"t{number}",)).waiting == 0
        place.check(left)
        place.check_files()
        assert place.plain().count(b"the same for all") == place.plain().count(CSS.body) == min(len(left), 1)
        assert f"/t{number}\r".encode() not in place.plain()
        assert f"21:10:0{number}".encode() not in place.plain()
    assert place.files() == []
    place.close()


@pytest.mark.slow
def test_files_that_need_no_erased_bytes_are_not_rewritten(tmp_path: Path) -> None:
    place = ErasingPlace(tmp_path, rotate_bytes=1)
    place.keep("t1", b"one", CSS)
    place.keep("t2", b"two", CSS, at=NOW + 1)
    place.keep("t3", b"three", at=NOW + 2)
    place.keep("t4", b"one", at=NOW + 3)
    names = [file.name for file in place.files()]
    place.erase(tokens=("t2", "t4"))
    assert [file.name for file in place.files()] == [names[0], names[2]]
    place.erase(tokens=("t3",))
    assert [file.name for file in place.files()] == [names[0]]
    place.check({"t1": b"one"})
    with place.database.read() as connection:
        assert references_of(connection, names) == frozenset()
    place.close()


@pytest.mark.slow
def test_offsets_of_other_files_payloads_follow_a_rewritten_file(tmp_path: Path) -> None:
    place = ErasingPlace(tmp_path)
    place.keep("t1", b"one")
    place.keep("t2", b"two", CSS, at=NOW + 1)
    place.archive.close_file()
    place.now += 1
    place.keep("t3", b"two", CSS, at=NOW + 2)
    (first, second) = place.files()
    place.erase(tokens=("t1",))
    assert second in place.files()
    assert first not in place.files()
    place.check({"t2": b"two", "t3": b"two"})
    place.erase(tokens=("t2",))
    place.check({"t3": b"two"})
    assert CSS.body in place.plain()
    place.close()


@pytest.mark.slow
def test_a_file_that_begins_to_refer_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    """A page is archived between the plan of an erasure and its end."""
    place: ErasingPlace

    def archive_more(done: str) -> None:
        if done == "written" and not place.backlog.recording("t9"):
            place.keep("t9", b"the same for all", CSS, at=NOW + 9)

    place = in_own_files(tmp_path, 2, archive_more)
    place.now += 1
    assert place.erase(tokens=("t0",)).waiting == 0
    place.check({"t1": b"the same for all", "t9": b"the same for all"})
    place.check_files()
    place.close()


@pytest.mark.slow
def test_a_file_that_needs_erased_bytes_is_missing(tmp_path: Path) -> None:
    place = in_own_files(tmp_path, 3)
    place.files()[1].unlink()
    assert place.erase(tokens=("t0",)).waiting == 0
    assert place.page("t2") == b"the same for all"
    assert len(place.health.lines()) == 1
    place.close()


@pytest.mark.slow
def test_without_a_successor_a_payload_goes(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    place.keep("t2", b"two", CSS)
    place.erase(tokens=("t2",))
    (file,) = place.files()
    assert place.index.payloads(file.name) == {}
    assert CSS.body not in place.plain()


@pytest.mark.slow
def test_a_page_that_is_fetched_meanwhile_leaves_nothing(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    place.backlog.add([arrival("t2")], NOW)
    assert place.erase(tokens=("t2",)).recordings == 1
    with pytest.raises(AlreadyEnded):
        place.archive.store("t2", copy(b"second secret"), (), "own", ())
    assert b"second" not in place.plain()
    assert place.erasures.without_erased([arrival("t2"), arrival("t3")], [])[0] == [arrival("t3")]


@pytest.mark.slow
def test_nothing_of_an_erased_row_is_in_the_database_files(place: ErasingPlace, tmp_path: Path) -> None:
    place.keep("erasedtoken", b"one", visitor="v1erased")
    place.keep("t2", b"two")
    assert any(b"erasedtoken" in file.read_bytes() for file in tmp_path.glob("q.db*"))
    place.erase(visitors=("v1erased",))
    place.database.compact()
    files = [file.read_bytes() for file in tmp_path.glob("q.db*")]
    assert not any(value in file for file in files for value in (b"erasedtoken", b"v1erased"))


@pytest.mark.slow
def test_bytes_of_a_failed_commit_are_cut_off(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    place.backlog.add([arrival("t2")], NOW)
    (file,) = place.files()
    with file.open("ab") as stream:
        stream.write(b"second secret, which was not committed")
    place.erase(tokens=("t2",))
    assert place.page("t1") == b"one"
    place.check_files()


@pytest.mark.slow
def test_records_that_cannot_be_removed_are_hidden_reported_and_removed_later(
    place: ErasingPlace, monkeypatch: Any
) -> None:
    place.keep("t1", b"one")
    place.keep("t2", b"two")

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(place.parts.place, "sync", full)
        assert place.erase(tokens=("t1",)).waiting == 1
    assert place.health.lines() == [
        f"erased records cannot be removed from the archive: {place.files()[0].name}: No space left on device; "
        "free or enlarge the disk, or correct the rights"
    ]
    place.check({"t2": b"two"})
    place.check_files()
    assert place.erasures.entries(9)[0]["finished_at"] is None
    place.sweep()
    place.check_files()
    assert b"one" not in place.plain()
    assert place.health.lines() == []
    entry = place.erasures.entries(9)[0]
    assert (entry["recordings"], entry["records"], entry["finished_at"]) == (1, 1, NOW)


@pytest.mark.slow
def test_a_file_that_disappeared_is_reported_and_its_rows_go(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    place.keep("t2", b"two")
    (file,) = place.files()
    file.unlink()
    assert place.erase(tokens=("t1",)).waiting == 0
    assert [row["token"] for row in place.backlog.recordings(9)] == ["t2"]
    assert any(file.name in line for line in place.health.lines())
    place.keep("t3", b"three")
    assert place.page("t3") == b"three"


@pytest.mark.slow
def test_a_damaged_record_costs_no_other(place: ErasingPlace) -> None:
    for number in range(4):
        place.keep(f"t{number}", f"page {number}".encode())
    (file,) = place.files()
    offset = place.backlog.recording("t1")["warc_offset"]  # type: ignore[index]
    data = bytearray(file.read_bytes())
    data[offset + 20 : offset + 60] = bytes(40)
    file.write_bytes(data)
    place.erase(tokens=("t2",))
    assert [place.page(token) for token in ("t0", "t3")] == [b"page 0", b"page 3"]
    place.erase(tokens=("t1",))
    place.check({"t0": b"page 0", "t3": b"page 3"})


@pytest.mark.slow
def test_a_shortened_file_costs_only_what_it_lacks(place: ErasingPlace) -> None:
    for number in range(3):
        place.keep(f"t{number}", f"page {number}".encode())
    (file,) = place.files()
    os.truncate(file, place.backlog.recording("t2")["warc_offset"] + 5)  # type: ignore[index]
    place.erase(tokens=("t0",))
    assert place.page("t1") == b"page 1"
    place.erase(tokens=("t2",))
    place.check({"t1": b"page 1"})


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_leaves_several_files_whole(tmp_path: Path, step: str) -> None:
    done: list[str] = []

    def crash_at_second(name: str) -> None:
        done.append(name)
        if name == step and done.count(name) == (2 if name in ("copied", "removed") else 1):
            raise Crashed

    place = in_own_files(tmp_path, 3, crash_at_second)
    with pytest.raises(Crashed):
        place.erase(tokens=("t0",))
    place.close()
    place = ErasingPlace(tmp_path, rotate_bytes=1)
    left = {"t1": b"the same for all", "t2": b"the same for all"}
    place.check(left)
    place.now += 5
    place.keep("t4", b"the same for all", at=NOW + 5)
    place.sweep()
    place.check({**left, "t4": b"the same for all"})
    place.check_files()
    assert b"/t0\r" not in place.plain()
    place.close()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_a_step_leaves_a_whole_archive(tmp_path: Path, step: str) -> None:
    def crash(done: str) -> None:
        if done == step:
            raise Crashed

    place = ErasingPlace(tmp_path, crash)
    place.keep("t1", b"one", CSS)
    place.keep("t2", b"two", CSS, at=NOW + 1)
    place.keep("t3", b"three", at=NOW + 1)
    with pytest.raises(Crashed):
        place.erase(tokens=("t1",))
    place.close()
    place = ErasingPlace(tmp_path)
    place.check({"t2": b"two", "t3": b"three"})
    place.keep("t4", b"four")
    place.sweep()
    place.check({"t2": b"two", "t3": b"three", "t4": b"four"})
    place.check_files()
    assert b"one" not in place.plain()
    assert place.erasures.entries(9)[0]["finished_at"] == NOW
    place.close()


@pytest.mark.programs
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_process_leaves_a_whole_archive(tmp_path: Path, step: str) -> None:
    place = ErasingPlace(tmp_path)
    place.keep("t1", b"one", CSS)
    place.keep("t2", b"two", CSS, at=NOW + 1)
    place.close()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child is killed
        ErasingPlace(tmp_path, lambda done: os._exit(9) if done == step else None).erase(tokens=("t1",))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    place = ErasingPlace(tmp_path)
    place.sweep()
    place.check({"t2": b"two"})
    place.check_files()
    assert b"one" not in place.plain()
    place.close()


FILES = [file_of_page(f"f{number}.css", f"payload {number}".encode()) for number in range(3)]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("keep"),
            st.tuples(
                st.lists(st.sampled_from(FILES), max_size=3),
                st.sampled_from(["", "shared page", "another shared page"]),
                st.sampled_from(["GET", "POST"]),
            ),
        ),
        st.tuples(st.just("erase"), st.lists(st.integers(0, 11), min_size=1, max_size=3)),
        st.tuples(st.just("crash"), st.tuples(st.integers(0, 11), st.sampled_from(STEPS))),
        st.tuples(st.just("restart"), st.none()),
    ),
    min_size=3,
    max_size=12,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS, st.sampled_from([1, 2000, 1 << 30]))
def test_any_sequence_leaves_each_page_readable_and_nothing_else(
    tmp_path_factory: Any, actions: list[tuple[str, Any]], rotate_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    crash_at = ""

    def step(done: str) -> None:
        if done == crash_at:
            raise Crashed

    def opened() -> ErasingPlace:
        return ErasingPlace(folder, step, rotate_bytes=rotate_bytes)

    place, expected, erased, tokens = opened(), dict[str, bytes](), set[bytes](), list[str]()
    for number, (action, detail) in enumerate(actions):
        crash_at = ""
        if action == "keep":
            token = f"token{len(tokens)}"
            tokens.append(token)
            files, shared, method = detail
            expected[token] = (shared or f"body of {token}.").encode() * 3
            place.keep(token, expected[token], *files, at=NOW + number, method=method)
        elif action == "restart":
            place.close()
            place = opened()
        else:
            chosen = detail if action == "erase" else [detail[0]]
            gone = tuple(f"token{each}" for each in chosen)
            crash_at = detail[1] if action == "crash" else ""
            try:
                place.erase(tokens=gone)
            except Crashed:
                crash_at = ""
                place.close()
                place = opened()
                place.sweep()
            erased |= {body for body in (expected.pop(each, None) for each in gone) if body}
        place.check(expected)
    place.check_files()
    assert not any(body in place.plain() for body in erased - set(expected.values()))
    assert not any(
        f"/token{number}\r".encode() in place.plain() for number in range(12) if f"token{number}" not in expected
    )
    wanted = {requisite.body for requisite in FILES if any(requisite.body in piece for piece in [place.plain()])}
    assert all(place.plain().count(body) <= len(place.files()) for body in wanted)
    place.close()


def test_a_record_is_read_and_written_back(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    (file,) = place.files()
    with file.open("rb") as stream:
        plain = [member.plain for member in members(stream, file.stat().st_size, [])]
    records = [read_record(each) for each in plain]
    assert all(record is not None for record in records)
    assert read_record(b"no record") is None


@pytest.mark.slow
def test_a_page_that_is_a_revisit_gets_the_bytes_of_the_erased_one(place: ErasingPlace) -> None:
    body = b"<p>the same for everyone"
    for token in ("t1", "t2", "t3", "t4"):
        place.keep(token, body)
    for number in range(1, 4):
        place.erase(tokens=(f"t{number}",))
        place.check({f"t{left}": body for left in range(number + 1, 5)})
        place.check_files()
    place.keep("t5", body)
    place.check({"t4": body, "t5": body})
