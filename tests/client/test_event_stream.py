from __future__ import annotations

import io
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.client import event_stream
from lbcompanion.client.event_stream import Event, LineTooLong, read_events


def read(text: str, last_id: str = "", size: int = 3) -> list[Event]:
    return list(read_events(partial(io.BytesIO(text.encode()).read, size), last_id))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("data: a\n\n", [Event("message", "", "a")]),
        ("data:a\ndata: b\ndata\n\n", [Event("message", "", "a\nb\n")]),
        ("event: x\nid: 7\ndata: a\n\ndata: b\n\n", [Event("x", "7", "a"), Event("message", "7", "b")]),
        (": a comment\n\nretry: 3\n\nevent: x\n\ndata: a\r\n\r\n", [Event("message", "", "a")]),
        ("id: 8\n\n", [Event("message", "8", None)]),
        (": beat\nid: 8\n\ndata: a\n\n", [Event("message", "8", None), Event("message", "8", "a")]),
        ("id: 7\ndata: a\n\nid: 9\ndata: cut", [Event("message", "7", "a")]),
        ("id: 7\ndata: a\n\nid: 9\ndata: cut\n", [Event("message", "7", "a")]),
        ("id: a\0b\ndata: a\n\n", [Event("message", "", "a")]),
    ],
)
def test_events(text: str, found: list[Event]) -> None:
    assert read(text) == found


def test_the_last_id_stays() -> None:
    assert read("data: a\n\n", "5") == [Event("message", "5", "a")]


def test_a_line_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_LINE_BYTES", 9)
    assert read("data: 123\n\n") == [Event("message", "", "123")]
    with pytest.raises(LineTooLong):
        read("data: 12345678\n\n")


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.from_regex("[a-z]{1,5}", fullmatch=True), st.text("ab :\u00e4", max_size=5))),
    st.integers(1, 50),
)
def test_what_is_written_is_read(events: list[tuple[str, str]], size: int) -> None:
    text = "".join(f"event: {kind}\nid: {number}\ndata: {data}\n\n" for number, (kind, data) in enumerate(events))
    assert read(text, size=size) == [Event(kind, str(number), data) for number, (kind, data) in enumerate(events)]
