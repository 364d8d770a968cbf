"""Notices on the wire."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import NoticeError
from lbcompanion.model import Loss, Notice, from_rfc3339
from lbcompanion.protocol.notices import (
    BROWSER_LIMIT_BYTES,
    read_browser_notice,
    read_delivery,
    read_notices,
    write_notices,
)
from lbcompanion.testing.strategies import notices

GOOD: dict[str, Any] = {
    "token": "1abcDEF-_n1",
    "url": "https://www.example.com/a?b=c#d",
    "cookies": {"SRV": "n1", "sess": '"Cg4x=="'},
    "viewed_at": "2026-11-23T21:10:00.5Z",
}
HANDED: dict[str, Any] = GOOD | {"noticed_at": "2026-11-23T21:10:01+00:00", "page_url": "", "by": "browser"}
VALUE = "a visitor's own"


def body(**changes: Any) -> bytes:
    return json.dumps({key: value for key, value in (GOOD | changes).items() if value is not ...}).encode()


def batch(**changes: Any) -> bytes:
    bad = {key: value for key, value in (HANDED | changes).items() if value is not ...}
    return json.dumps({"notices": [HANDED, bad]}).encode()


def test_a_browsers_notice_is_read() -> None:
    notice = read_browser_notice(body(further="key"))
    assert notice.token == GOOD["token"]
    assert notice.url == GOOD["url"]
    assert notice.cookies == GOOD["cookies"]
    assert notice.viewed_at == from_rfc3339("2026-11-23T21:10:00.500000+00:00")
    assert "Cg4x" not in repr(notice)


BAD: list[tuple[str, Any]] = [
    ("token", ...),
    ("token", None),
    ("token", ""),
    ("token", "a" * 64),
    ("token", "a/../b"),
    ("token", "a\n"),
    ("url", ...),
    ("url", 1),
    ("url", ""),
    ("url", "javascript:alert(1)"),
    ("url", "https://a/ b"),
    ("url", "https://a/\u0000"),
    ("url", "https://a/\ud800"),
    ("cookies", ...),
    ("cookies", []),
    ("cookies", {"a": 1}),
    ("cookies", {"a": None}),
    ("cookies", {"": "b"}),
    ("cookies", {"a\n": VALUE}),
    ("cookies", {"a": VALUE + "\0"}),
    ("cookies", {"a": VALUE + "\r\n"}),
    ("cookies", {"a": VALUE + "\ud800"}),
    ("cookies", {"a": VALUE * 400}),
    ("cookies", {"a" * 5000: VALUE}),
    ("viewed_at", ...),
    ("viewed_at", 1700000000),
    ("viewed_at", ""),
    ("viewed_at", "2026-11-23"),
    ("viewed_at", "2026-11-23T21:10:00"),
    ("viewed_at", "20261123T211000Z"),
    ("viewed_at", "2026-13-23T21:10:00Z"),
    ("viewed_at", "2026-11-23T21:10:00Z\n"),
    ("viewed_at", "0001-01-01T00:00:00Z"),
    ("viewed_at", "9999-12-31T23:59:59Z"),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_what_is_malformed_is_named_and_never_repeated(key: str, value: Any) -> None:
    for read, sent in ((read_browser_notice, body), (read_notices, batch)):
        with pytest.raises(NoticeError, match=key) as caught:
            read(sent(**{key: value}))
        assert caught.value.status == 400
        assert VALUE not in str(caught.value)
        assert (read is read_notices) == ("notices[1]" in str(caught.value))


@pytest.mark.parametrize(
    ("key", "value"),
    [("url", "https://a/" + "b" * 140000), ("cookies", {str(number): VALUE for number in range(1025)})],
)
def test_there_is_a_limit_to_each(key: str, value: Any) -> None:
    with pytest.raises(NoticeError, match=rf"notices\[1\]\.{key}"):
        read_notices(batch(**{key: value}))


@pytest.mark.parametrize("time", ["2026-11-23t21:10:00z", "2026-11-23 21:10:00Z", "2026-11-23T22:10:00.0+01:00"])
def test_times_in_other_dress(time: str) -> None:
    assert read_browser_notice(body(viewed_at=time)).viewed_at == from_rfc3339("2026-11-23T21:10:00+00:00")


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"{", b"[]", b"null", b'"a"', b"\xff\xfe", b"[" * 10000, b"{}", b"NaN", b"\xef\xbb\xbf{}",
        b'{"token":"a","token":"b"}', b'{"token":' + b"1" * 5000 + b"}", b'{"notices":{}}', b'{"notices":[1]}',
    ],
)  # fmt: skip
def test_nonsense_is_refused(sent: bytes) -> None:
    for read in (read_browser_notice, read_notices):
        with pytest.raises(NoticeError) as caught:
            read(sent)
        assert caught.value.status == 400


def test_too_much_is_too_much() -> None:
    room = BROWSER_LIMIT_BYTES - len(body(further=""))
    assert read_browser_notice(body(further="x" * room))
    with pytest.raises(NoticeError) as caught:
        read_browser_notice(body(further="x" * (room + 1)))
    assert caught.value.status == 413
    with pytest.raises(NoticeError) as caught:
        read_notices(write_notices([]), 5)
    assert caught.value.status == 413


def test_losses_stand_beside_the_notices() -> None:
    losses = [Loss("1abc", "the node stopped"), Loss("1abd", "caf\u00e9")]
    assert read_delivery(write_notices([], losses)) == ([], losses)
    # Nothing new is said where none are lost, and where a node says nothing of them none are.
    assert write_notices([]) == b'{"notices":[]}'
    assert read_delivery(b'{"notices":[]}') == ([], [])
    # An older crawler reads over them.
    assert json.loads(write_notices([], losses))["notices"] == []


@pytest.mark.parametrize(
    "lost",
    [
        {}, None, "x", [1], [{}], [{"token": "1abc"}], [{"token": "1abc", "reason": 5}], [{"reason": "it went"}],
        [{"token": "1abc", "reason": ""}], [{"token": "1abc", "reason": "a\nb"}], [{"token": "1 c", "reason": "a"}],
        [{"token": "1abc", "reason": "a" * 301}],
    ],
)  # fmt: skip
def test_losses_that_are_malformed(lost: Any) -> None:
    with pytest.raises(NoticeError, match="lost") as caught:
        read_delivery(json.dumps({"notices": [], "lost": lost}).encode())
    assert caught.value.status == 400


@given(st.lists(notices(), max_size=4))
def test_what_is_written_is_read(sent: list[Notice]) -> None:
    assert read_notices(write_notices(sent)) == sent


def test_the_sender_of_a_notice_is_named() -> None:
    with pytest.raises(NoticeError, match=r"notices\[1\]\.by"):
        read_notices(batch(by="somebody"))
    with pytest.raises(NoticeError, match=r"notices\[1\]\.by"):
        read_notices(batch(by=["browser"]))
    for unusable in (
        ...,
        "file:///etc",
        "http://a, b/",
        "http:///",
        7,
        None,
        ["http://a/"],
        "http://a/" + "b" * 200000,
    ):
        assert read_notices(batch(page_url=unusable))[1].page_url == ""


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*HANDED, "notices"]), inner, max_size=4)


json_bytes = st.recursive(st.none() | st.integers() | st.text(max_size=5), nested, max_leaves=8).map(
    lambda said: json.dumps(said).encode()
)


@given(st.binary(max_size=60) | json_bytes)
def test_nothing_but_a_refusal_comes_of_hostile_text(sent: bytes) -> None:
    for read in (read_browser_notice, read_notices):
        with suppress(NoticeError):
            read(sent)
