"""The application's fields in the heads of copies."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.heads import read_response_head
from lbcompanion.node.capture.archived_fields import ArchivedFields
from lbcompanion.protocol.removed_parts import RemovedParts
from lbcompanion.protocol.response_heads import PageHead
from lbcompanion.settings import CaptureTable, InjectTable
from tests.support.in_memory_node import PAGE, InMemoryNode

DEFAULT = CaptureTable().archive_fields_exclude


def page_head(raw: bytes, exclude: tuple[str, ...] = DEFAULT) -> PageHead:
    read = PageHead.read(ArchivedFields(exclude).head_of(read_response_head(raw)))
    assert read is not None
    return read


def names(*lines: bytes, exclude: tuple[str, ...] = DEFAULT) -> tuple[list[str], tuple[str, ...]]:
    """The names that are kept, and those that are left out."""
    found = page_head(b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b\r\n" % line for line in lines) + b"\r\n", exclude)
    return [name for name, _ in found.fields], found.left_out


@pytest.mark.parametrize("exclude", [DEFAULT, (), ("X-Internal",)])
def test_credentials_and_the_connections_fields_are_always_left_out(exclude: tuple[str, ...]) -> None:
    always = ("Set-Cookie", "SET-COOKIE2", "Keep-Alive", "transfer-encoding", "Trailer", "Proxy-Connection")
    always += ("authorization", "Proxy-Authorization", "Authentication-Info", "Proxy-Authenticate")
    assert names(*(b"%b: x" % name.encode() for name in always), exclude=exclude) == ([], always)


def test_the_list_of_the_configuration_has_no_regard_to_case() -> None:
    lines = b"x-INTERNAL: a", b"X-Internal-Id: b", b"WWW-Authenticate: Basic"
    assert names(*lines, exclude=("X-Internal",)) == (["X-Internal-Id", "WWW-Authenticate"], ("x-INTERNAL",))
    assert names(*lines) == (["x-INTERNAL", "X-Internal-Id"], ("WWW-Authenticate",))


def test_what_connection_names_is_left_out_as_the_visitor_does_not_get_it_either() -> None:
    lines = b"Connection: close, X-Hop", b"X-Hop: a", b"Content-Type: text/html", b"X-Other: b"
    assert names(*lines) == (["Content-Type", "X-Other"], ("Connection", "X-Hop"))
    # Connection cannot remove a field that is meant for all recipients.
    assert names(b"Connection: content-type", b"Content-Type: text/html") == (["Content-Type"], ("Connection",))


_NAMES = st.sampled_from(["Server", "SERVER", "X-A", "Set-Cookie", "X-Csrf-Token", "ETag", "Vary", "Link", "x-secret"])


@given(st.lists(st.tuples(_NAMES, st.sampled_from(["", "a", 'b; c="d"', "\xfc"])), max_size=12))
def test_any_fields_come_out_in_their_order_less_those_left_out(fields: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    found = page_head(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1"), ("X-Secret", "x-csrf-token"))
    kept = [(name, value) for name, value in fields if name not in {"Set-Cookie", "X-Csrf-Token", "x-secret"}]
    assert list(found.fields) == kept


# Through the node.


def test_a_copy_has_the_applications_own_fields() -> None:
    """Nothing that the companion changes for the visitor is in it: coding, validators, policies, dates, lengths."""
    companion = InMemoryNode(inject=InjectTable(csp="adapt"))
    body = gzip.compress(PAGE)
    lines = [
        b"server: Apache",
        b"Content-Type: text/html; charset=utf-8",
        b'ETag: "abc"',
        b"Content-Security-Policy: script-src 'none'",
        b"X-A: 1",
        b"Content-Encoding: gzip",
        b"x-a: 2",
        b"Set-Cookie: session=secret",
        b"Connection: keep-alive",
        b"Content-Length: %d" % len(body),
    ]
    companion.application.answers(b"HTTP/1.1 200 All Right\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body)
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert answer.get(b"content-security-policy") != b"script-src 'none'"
    assert answer.get(b"etag") != b'"abc"'
    assert companion.page.body == PAGE
    head = companion.page.head
    left_out = {b"Set-Cookie", b"Connection"}
    kept = [line for line in lines if line.partition(b":")[0] not in left_out]
    kept.append(b"Lbc-Removed: elements=0, blocks=0, documents=0")
    assert head == b"HTTP/1.1 200 All Right\r\n" + b"\r\n".join(kept) + b"\r\n\r\nSet-Cookie\r\nConnection\r\n"
    assert b"secret" not in head


def test_the_list_is_a_setting() -> None:
    companion = InMemoryNode(capture=CaptureTable(archive_fields_exclude=("X-Internal",)))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Internal: a\r\nX-Auth-Token: b\r\n"
    companion.application.answers(head + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE)
    companion.get()
    lines, _, names = companion.page.head.partition(b"\r\n\r\n")
    assert b"\r\nX-Auth-Token: b\r\nContent-Length: %d\r\n" % len(PAGE) in lines
    assert names == b"X-Internal\r\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<p>a<input type=password>", RemovedParts()),
        (b"<p>a<input type=password value=b>", RemovedParts(elements=1)),
        (b"<p>a<!-- lbc:exclude -->b<!-- /lbc:exclude -->", RemovedParts(blocks=1)),
    ],
)
@pytest.mark.parametrize("own", [b"", b"Lbc-Removed: elements=7, blocks=7, documents=7\r\n"])
def test_a_copy_says_how_many_parts_it_lacks_and_the_application_cannot_say_it(
    own: bytes, body: bytes, expected: RemovedParts
) -> None:
    companion = InMemoryNode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + own
    companion.application.answers(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    companion.get()
    read = PageHead.read(companion.page.head)
    assert read is not None
    assert read.removed == expected
    assert read.left_out == (("Lbc-Removed",) if own else ())


def test_a_page_is_kept_even_if_its_head_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise ValueError

    monkeypatch.setattr(ArchivedFields, "head_of", fail)
    companion = InMemoryNode()
    companion.get()
    assert (companion.page.body, companion.page.head) == (PAGE, b"")
    assert companion.counters.failed_open["copy's head: ValueError"] == 1
