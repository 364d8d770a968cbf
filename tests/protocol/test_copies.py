"""The body of ``PUT page/TOKEN``."""

import json
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import CopyError
from lbcompanion.model import PAGE_METADATA, Page
from lbcompanion.protocol.copies import HEAD_BYTES, Frame, page_from_frame, page_to_frame, read_copy, write_copy
from lbcompanion.protocol.headers import MAX_PAGE_URL_BYTES
from lbcompanion.protocol.tokens import digest_of

TOKEN = "1token"
PAGE = Page(TOKEN, "https://www.example.com/caf\u00e9", "GET", 200, "text/html", 1_900_000_000.25, b"<p>a\nb")
SHA = digest_of(PAGE.body).hex()


def changed(values: dict[str, Any] | None = None, body: bytes = PAGE.body, **page: Any) -> bytes:
    """A copy's body with other values in it."""
    frame = page_to_frame(PAGE, age=1.5)
    return Frame({**frame.values, "page": {**frame.values["page"], **page}, **(values or {})}, body).written()


def test_the_body_byte_for_byte() -> None:
    assert write_copy(PAGE, 1.5) == (
        b'{"age":1.5,"page":{"token":"1token","url":"https://www.example.com/caf\\u00e9","method":"GET","status":200,'
        b'"content_type":"text/html","captured_at":1900000000.25,"sha256":"' + SHA.encode() + b'"}}\n<p>a\nb'
    )


def test_a_copy_is_read_as_it_was_written() -> None:
    page, age = read_copy(write_copy(PAGE, 1.5), TOKEN)
    assert (page, page.sha256, page.kept_at, age) == (PAGE, PAGE.sha256, None, 1.5)


def test_names_of_a_newer_program_are_ignored() -> None:
    assert read_copy(changed({"newer": [1]}, newer={"a": 1}), TOKEN) == (PAGE, 1.5)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]\n", b"null\n", b"{}\n", b'{"page":{}}\n', b'{"page":[],"age":1}\n', b'{"page":7,"age":1}\n',
        b"\xff\xfe\n", b"[" * 100_000, changed({"age": None}), changed({"age": "x"}), changed({"age": [1]}),
        changed({"age": 10**400}), changed(sha256="no hex"), changed(sha256=7),
    ],
)  # fmt: skip
def test_what_is_no_copy(body: bytes) -> None:
    with pytest.raises(CopyError, match=r"\Ano page\Z"):
        read_copy(body, TOKEN)


@pytest.mark.parametrize(
    "body",
    [
        changed({"age": -1}), changed({"age": float("nan")}), changed({"age": float("inf")}), changed({"age": 1e12}),
        changed(token="1other"), changed(token=None), changed(url=7), changed(url="javascript:x"),
        changed(url="https://a/\r\nb"), changed(method="GET /"), changed(method=""), changed(method="A" * 65),
        changed(content_type="a\r\nb"), changed(content_type="\u20ac"), changed(content_type=None),
        changed(status=99), changed(status=1000), changed(status=True), changed(status="200"),
        changed(captured_at="1"), changed(captured_at=-1), changed(captured_at=True), changed(captured_at=1e12),
        changed(captured_at=float("nan")), changed(captured_at=float("inf")), changed(captured_at=10**400),
        changed(body=b"another body"), changed(sha256="00" * 32),
    ],
)  # fmt: skip
def test_what_no_node_makes(body: bytes) -> None:
    with pytest.raises(CopyError, match="not the one that the address names"):
        read_copy(body, TOKEN)


def test_the_copy_is_that_of_the_address() -> None:
    with pytest.raises(CopyError):
        read_copy(write_copy(PAGE, 1.5), "1other")


@pytest.mark.slow
@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps({"page": value, "age": value}).encode()
))  # fmt: skip
def test_nothing_but_a_refusal_comes_of_hostile_bytes(body: bytes) -> None:
    with pytest.raises(CopyError):
        read_copy(body, TOKEN)


def test_a_frame_without_a_page() -> None:
    frame = Frame({"do": "peek", "token": TOKEN})
    assert frame.written() == b'{"do":"peek","token":"1token"}\n'
    assert Frame.read(frame.written()) == frame
    with pytest.raises(KeyError):
        page_from_frame(frame)


def test_the_longest_head_of_a_page_fits() -> None:
    page = Page("1" * 63, "https://" + "\xff" * 65536, "A" * 64, 200, "\xff" * 8192, 1e9, b"")
    assert len(write_copy(page, 1e9)) < HEAD_BYTES


def test_a_head_is_sent_if_it_fits() -> None:
    url = "https://" + "\xff" * (MAX_PAGE_URL_BYTES - 8)
    for size, sent in ((65536, True), (65537, False)):
        page = Page("1" * 63, url, "A" * 64, 200, "\xff" * 2048, 1e9, b"", head=b"\xff" * size)
        written = write_copy(page, 1e9)
        assert len(written) < HEAD_BYTES
        assert read_copy(written, "1" * 63)[0].head == (page.head if sent else b"")


@pytest.mark.parametrize("head", [None, 7, "\u20ac", ["x"]])
def test_a_page_is_worth_more_than_its_head(head: object) -> None:
    frame = page_to_frame(PAGE, age=1)
    frame.values["page"]["head"] = head
    assert read_copy(frame.written(), TOKEN) == (PAGE, 1)


def test_earlier_programs_send_no_head_and_read_no_head() -> None:
    page = evolve(PAGE, head=b"HTTP/1.1 200 OK\r\nServer: \xfc\r\n\r\nSet-Cookie\r\n")
    frame = page_to_frame(page)
    assert page_from_frame(Frame.read(frame.written())) == page
    # Earlier programs ignore names that they do not know.
    assert set(frame.values["page"]) - {"head"} == set(page_to_frame(PAGE).values["page"])
    assert page_from_frame(page_to_frame(PAGE)).head == b""


def test_all_of_a_page_is_handed_over_but_the_time_of_keeping() -> None:
    names = {one.alias for one in fields(Page)}
    assert names - set(PAGE_METADATA) == {"body", "sha256", "kept_at", "head"}
    assert [one.name for one in fields(Page)][: len(PAGE_METADATA)] == list(PAGE_METADATA)


@pytest.mark.parametrize("body", [b"", b"\n", b"one\ntwo\x00"])
def test_a_frame_is_read_as_it_was_written(body: bytes) -> None:
    frame = Frame({"do": "put", "more": [1, None]}, body)
    assert Frame.read(frame.written()) == frame


@pytest.mark.parametrize("data", [b"", b"x\n", b"[]\n", b"1\nbody"])
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also json's
        Frame.read(data)


def test_a_page_comes_through_whole() -> None:
    page = evolve(PAGE, body=b"<p>\n\xff")
    frame = Frame.read(page_to_frame(page, do="put").written())
    assert frame.values["do"] == "put"
    assert page_from_frame(frame) == page
    assert page_from_frame(frame).sha256 == page.sha256
