"""The companion's own answers: statuses, headers, proofs (docs/reference-listener.rst)."""

from __future__ import annotations

import pytest

from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import InMemoryNode
from tests.support.own_answers import guarded, proved, with_page

# The others.


def test_whoami() -> None:
    companion = InMemoryNode()
    answer = companion.get(b"/_lbc/whoami", b"Lbc-Nonce: abc")
    assert (answer.status, answer.json) == (200, {"node": "n1"})
    assert answer.get(b"content-type") == b"application/json"
    assert answer.get(b"lbc-node") == b"n1"
    assert answer.get(b"lbc-proof") == proved("n1", "", "abc")
    assert guarded(answer)
    assert companion.get(b"/_lbc/whoami").all(b"lbc-proof") == []
    echo = companion.get(b"/_lbc/whoami", b"Lbc-Echo: 1\r\nUser-Agent: " + b"x" * 300)
    assert echo.json == {"node": "n1", "host": "www.example.com", "user-agent": "x" * 256}
    assert companion.get(b"/_lbc/whoami?x=1", method=b"HEAD").status == 200


@pytest.mark.parametrize("folder", [b"", b"/shop", b"/shop/a.b", b"/_lbcx"])
def test_below_a_pages_folder_there_are_the_script_and_the_notice(folder: bytes) -> None:
    companion = InMemoryNode()
    answer = companion.get(folder + f"/-/_lbc/fetch-from?v={companion.script.version}".encode())
    assert (answer.status, answer.body) == (200, companion.script.source)
    assert answer.get(b"cache-control") == b"public, max-age=31536000, immutable, no-transform"
    assert companion.get(folder + b"/-/_lbc/notice", method=b"POST").status == 400
    assert companion.get(folder + b"/-/_lbc/notice").status == 405
    assert companion.application.received_requests == []


@pytest.mark.parametrize(
    "end", [b"/-/_lbc/whoami", b"/-/_lbc/page/x", b"/-/_lbc/debug", b"/_lbc/notice", b"x/_lbc/fetch-from"]
)
def test_all_else_there_is_the_applications(end: bytes) -> None:
    companion = InMemoryNode()
    companion.get(b"/shop" + end)
    assert len(companion.application.received_requests) == 1


def test_the_script() -> None:
    companion = InMemoryNode()
    versioned_script = f"/_lbc/fetch-from.js?v={companion.script.version}".encode()
    answer = companion.get(versioned_script)
    assert answer.status == 200
    assert answer.body == companion.script.source
    assert b"immutable" in (answer.get(b"cache-control") or b"")
    assert answer.get(b"content-type") == b"text/javascript; charset=utf-8"
    assert answer.get(b"access-control-allow-origin") == b"*"
    head = companion.get(versioned_script, method=b"HEAD")
    assert head.body == b""
    assert head.get(b"content-length") == b"%d" % len(companion.script.source)
    tag = answer.get(b"etag")
    assert tag is not None
    assert companion.get(versioned_script, b"If-None-Match: " + tag).status == 304
    unversioned = companion.get(b"/_lbc/fetch-from.js")
    assert unversioned.get(b"cache-control") == b"public, max-age=300, no-transform"


@pytest.mark.parametrize("end", [b"", b"x", b"&v=1", b"?v=2"])
def test_the_script_of_another_version_is_stored_by_no_cache(end: bytes) -> None:
    """A tag of that version names another digest, and a browser that got these bytes from a cache would refuse them."""
    companion = InMemoryNode()
    version = companion.script.version.encode() + end if end else b"0123456789abcdef"
    for path in (b"/_lbc/fetch-from.js", b"/shop/-/_lbc/fetch-from"):
        answer = companion.get(path + b"?v=" + version)
        assert (answer.status, answer.body) == (200, companion.script.source)
        assert answer.get(b"cache-control") == b"no-store, no-transform"


@pytest.mark.parametrize("path", [b"/_lbc", b"/_lbc/", b"/_lbc/nothing", b"/_lbc?x", b"/_lbc/page", b"/_lbc/whoami/"])
def test_there_is_nothing_else(path: bytes) -> None:
    companion = InMemoryNode()
    answer = companion.get(path)
    assert answer.status == 404
    assert guarded(answer)
    assert companion.application.received_requests == []


@pytest.mark.parametrize("path", [b"/_lbcx", b"/x/_lbc/whoami", b"//_lbc/whoami", b"/_lbc%2Fwhoami", b"/_LBC/whoami"])
def test_what_only_looks_like_ours_is_the_applications(path: bytes) -> None:
    companion = InMemoryNode()
    companion.get(path)
    assert [seen.target for seen in companion.application.received_requests] == [path]


# What goes into the log.


def test_no_log_line_holds_what_must_stay_secret() -> None:
    companion, token = with_page()
    cookie = b"Cookie: sessionid=5e55104; SRV=n1secret"
    path = f"/_lbc/page/{token}".encode()
    companion.get(path, cookie)
    companion.get(path, cookie, b"Authorization: Bearer 5e55104")
    companion.fetch(token)
    companion.fetch(token, "DELETE")
    companion.fetch(token)
    companion.get(b"/ \x01" + path, cookie)
    companion.application.answers(b"bad: " + token.encode() + b"\r\n\r\n")
    companion.get(b"/", cookie)
    companion.application.answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=5e55104\r\n folded\r\n\r\n")
    companion.get(b"/", cookie)
    companion.get(b"/_lbc/notice", cookie, method=b"POST")
    assert len(companion.logged) >= 6
    for line in companion.logged:
        for secret in (token, "5e55104", "n1secret", SECRET.decode()):
            assert secret not in line
