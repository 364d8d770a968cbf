"""The head of an answer about a copy: its fields' names, how it is written, passed on and read."""

import ast
import re
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import Page
from lbcompanion.protocol import headers
from lbcompanion.protocol.headers import (
    CopyHead,
    Field,
    FieldLookup,
    FieldName,
    Identity,
    Via,
    answering_node,
    copy_fields,
    page_fields,
    read_copy_head,
    relayed_fields,
)
from lbcompanion.protocol.tokens import digest_of, is_digest_of, proof, repr_digest
from lbcompanion.testing.strategies import SECRET

PACKAGE = Path(__file__).parents[2] / "lbcompanion"
NAMES = [value for value in vars(headers).values() if isinstance(value, FieldName)]
NODE = Identity("n1", SECRET)
PEER = Identity("n2", SECRET)
TOKEN = "1token"
NONCE = "bm9uY2U"
PAGE = Page(
    TOKEN, "https://www.example.com/caf\u00e9", "POST", 404, "text/html; charset=utf-8", 1_900_000_000.25, b"<p>page"
)
DIGEST = repr_digest(digest_of(PAGE.body))


def lookup(fields: list[Field]) -> FieldLookup:
    """Look a field up as a client does."""

    def header(name: str) -> str:
        assert name == name.lower()
        return next((value.decode("latin-1") for key, value in fields if key.lower() == name.encode()), "")

    return header


def header_of(**values: str) -> FieldLookup:
    return lambda name: values.get(name.replace("-", "_"), "")


# The names.


def test_a_name_is_written_in_one_way_and_looked_up_in_another() -> None:
    assert (headers.NODE.text, headers.NODE.written, headers.NODE.lower, headers.NODE.key) == (
        "Lbc-Node", b"Lbc-Node", "lbc-node", b"lbc-node",
    )  # fmt: skip


def test_the_names_of_this_protocol() -> None:
    assert sorted(name.text for name in NAMES if name.key.startswith(headers.PREFIX)) == [
        "Lbc-Authority", "Lbc-Capture", "Lbc-Captured-At", "Lbc-Echo", "Lbc-Fields-Left-Out", "Lbc-Forwarded-By",
        "Lbc-Hop", "Lbc-Node", "Lbc-Nonce", "Lbc-Page-Head", "Lbc-Page-Method", "Lbc-Page-Status", "Lbc-Page-Type",
        "Lbc-Page-Url", "Lbc-Proof", "Lbc-Removed", "Lbc-Token", "Lbc-Via",
    ]  # fmt: skip


#: A name of this protocol's; not an attribute of HTML (``data-lbc-token``), nor what a key is derived by
#: (``lbc-token-1``).
LITERAL = re.compile(r"(?<![\w-])lbc-[a-z]+(?:-[a-z]+)*(?![\w-])", re.IGNORECASE)


#: Cookies, which are no fields: the one of the crawler's admin listener.
COOKIES = {"lbc-admin"}


def literals(source: str) -> list[str]:
    """The names that stand in a module's texts, docstrings left out."""
    tree = ast.parse(source)
    docstrings = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    texts = [
        each.value.decode("latin-1") if isinstance(each.value, bytes) else each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str | bytes) and id(each) not in docstrings
    ]
    return [found for text in texts for found in LITERAL.findall(text)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('x = b"Lbc-Node"', ["Lbc-Node"]),
        ('x = f"lbc-page-url: {url}"', ["lbc-page-url"]),
        ('x = b"Lbc-Token: %b"', ["Lbc-Token"]),
        ('"""Of Lbc-Node."""', []),
        ('x = b"data-lbc-token"', []),
        ('x = "lbc-proof-1"', []),
    ],
)
def test_what_a_literal_is(source: str, found: list[str]) -> None:
    assert literals(source) == found


@pytest.mark.slow
def test_each_name_stands_in_one_module() -> None:
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "protocol" / "headers.py"
        and (names := [name for name in literals(path.read_text("utf-8")) if name not in COOKIES])
    }
    assert found == {}, "take these names from lbcompanion.protocol.headers"


# Writing.


def test_a_node_says_who_it_is() -> None:
    assert NODE.fields("", "") == [(b"Lbc-Node", b"n1")]
    assert NODE.fields("", NONCE) == [(b"Lbc-Node", b"n1"), (b"Lbc-Proof", proof(SECRET, "n1", "", NONCE).encode())]
    assert NODE.digest_fields(TOKEN, NONCE, DIGEST) == [
        (b"Lbc-Node", b"n1"),
        (b"Lbc-Proof", proof(SECRET, "n1", TOKEN, NONCE, DIGEST).encode()),
        (b"Repr-Digest", DIGEST.encode()),
    ]


def test_the_secret_is_not_shown() -> None:
    assert "secret" not in repr(NODE)


def test_the_head_of_a_copy_byte_for_byte() -> None:
    assert copy_fields(PAGE, NODE, token=TOKEN, nonce=NONCE, via=Via.STORE) == [
        (b"Content-Type", b"application/octet-stream"),
        (b"Lbc-Node", b"n1"),
        (b"Lbc-Proof", proof(SECRET, "n1", TOKEN, NONCE, DIGEST).encode()),
        (b"Lbc-Page-Url", b"https://www.example.com/caf\xe9"),
        (b"Lbc-Page-Method", b"POST"),
        (b"Lbc-Page-Status", b"404"),
        (b"Lbc-Page-Type", b"text/html; charset=utf-8"),
        (b"Lbc-Captured-At", b"2030-03-17T17:46:40.250000Z"),
        (b"Repr-Digest", DIGEST.encode()),
        (b"Lbc-Via", b"store"),
    ]


HEAD = b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\nSet-Cookie\r\n"


def test_a_copy_with_its_head_proves_the_head_and_its_length() -> None:
    page = evolve(PAGE, head=HEAD)
    both = repr_digest(digest_of(page.body + HEAD))
    written = copy_fields(page, NODE, token=TOKEN, nonce=NONCE, via=Via.OWN, with_head=True)
    plain = copy_fields(page, NODE, token=TOKEN, nonce=NONCE, via=Via.OWN)
    assert plain == copy_fields(PAGE, NODE, token=TOKEN, nonce=NONCE, via=Via.OWN)
    length = str(len(HEAD)).encode()
    replaced = {b"Lbc-Proof": proof(SECRET, "n1", TOKEN, NONCE, both, length.decode()).encode()}
    replaced[b"Repr-Digest"] = both.encode()
    expected = [(name, replaced.get(name, value)) for name, value in plain]
    assert written == [*expected[:-2], (b"Lbc-Page-Head", length), *expected[-2:]]
    assert NODE.is_proven(lookup(written), TOKEN, NONCE, both)
    for other in (b"", b"1", b"0%b" % length):
        wrong = [(name, other if name == b"Lbc-Page-Head" else value) for name, value in written]
        assert not NODE.is_proven(lookup(wrong), TOKEN, NONCE, both)
    without = [(name, value) for name, value in plain if name != b"Repr-Digest"]
    added = [*without, (b"Lbc-Page-Head", b"3"), (b"Repr-Digest", DIGEST.encode())]
    assert not NODE.is_proven(lookup(added), TOKEN, NONCE, DIGEST)
    assert read_copy_head(lookup(written)).head_bytes == len(HEAD)


def test_a_copy_without_a_head_is_sent_as_before() -> None:
    asked = copy_fields(PAGE, NODE, token=TOKEN, nonce=NONCE, via=Via.OWN, with_head=True)
    assert asked == copy_fields(PAGE, NODE, token=TOKEN, nonce=NONCE, via=Via.OWN)
    assert read_copy_head(lookup(asked)).head_bytes == 0


def test_a_peers_head_is_relayed_and_proven_again() -> None:
    page = evolve(PAGE, head=HEAD)
    both = repr_digest(digest_of(page.body + HEAD))
    theirs = copy_fields(page, PEER, token=TOKEN, nonce="theirs", via=Via.OWN, with_head=True)
    relayed = lookup(relayed_fields(lookup(theirs), NODE, token=TOKEN, nonce=NONCE))
    assert NODE.is_proven(relayed, TOKEN, NONCE, both)
    assert read_copy_head(relayed).head_bytes == len(HEAD)


def test_a_page_without_a_content_type_and_with_an_address_that_cannot_be_written() -> None:
    page = Page(TOKEN, "https://www.example.com/\u20ac", "G\u00cbT", 200, "", 0.0, b"")
    fields = copy_fields(page, NODE, token=TOKEN, nonce="", via=Via.OWN)
    assert fields[0] == (b"Content-Type", b"application/octet-stream")
    assert page_fields(page)[:2] == [(b"Lbc-Page-Url", b"https://www.example.com/?"), (b"Lbc-Page-Method", b"G?T")]


def test_a_peers_answer_goes_on_under_this_nodes_name() -> None:
    theirs = [*copy_fields(PAGE, PEER, token=TOKEN, nonce="theirs", via=Via.OWN), (b"Server", b"x")]
    assert relayed_fields(lookup(theirs), NODE, token=TOKEN, nonce=NONCE) == [
        (b"Content-Type", b"application/octet-stream"),
        *page_fields(PAGE),
        (b"Repr-Digest", DIGEST.encode()),
        *NODE.fields(TOKEN, NONCE, DIGEST),
        (b"Lbc-Via", b"peer"),
    ]
    again = relayed_fields(header_of(retry_after="1"), NODE, token=TOKEN, nonce="")
    assert again == [(b"Retry-After", b"1"), (b"Lbc-Node", b"n1"), (b"Lbc-Via", b"peer")]


def test_a_node_of_an_earlier_version_sends_the_copy_as_the_pages_type() -> None:
    written = copy_fields(PAGE, PEER, token=TOKEN, nonce="theirs", via=Via.OWN)
    earlier = [(b"Content-Type", b"text/html; charset=utf-8"), *written[1:]]
    earlier.remove((b"Lbc-Page-Type", b"text/html; charset=utf-8"))
    assert read_copy_head(lookup(earlier)) == read_copy_head(lookup(written))
    relayed = relayed_fields(lookup(earlier), NODE, token=TOKEN, nonce=NONCE)
    assert relayed == relayed_fields(lookup(written), NODE, token=TOKEN, nonce=NONCE)
    # The type of a miss is that of its JSON.
    miss = relayed_fields(header_of(content_type="application/problem+json"), NODE, token=TOKEN, nonce="")
    assert miss[0] == (b"Content-Type", b"application/problem+json")


# Reading.


def test_a_copys_head_is_read_as_it_was_written() -> None:
    page = Page(TOKEN, "https://www.example.com/a?b=c", "POST", 404, "text/html", 1_900_000_000.25, b"page")
    written = copy_fields(page, NODE, token=TOKEN, nonce=NONCE, via=Via.OWN)
    assert read_copy_head(lookup(written)) == CopyHead(
        "n1", page.url, page.method, page.status, page.content_type, page.captured_at, "own"
    )
    relayed = read_copy_head(lookup(relayed_fields(lookup(written), PEER, token=TOKEN, nonce=NONCE)))
    assert (relayed.node, relayed.via, relayed.url) == ("n2", "peer", page.url)


NOTHING = CopyHead("", "", "GET", 200, "", None, "own")


@pytest.mark.parametrize(
    "header",
    [
        header_of(),
        header_of(lbc_page_url="javascript:alert(1)", lbc_page_method="get", lbc_page_status="99"),
        header_of(lbc_page_url="https://a/ b", lbc_page_method="G T", lbc_page_status="\u0662\u0660\u0660"),
        header_of(lbc_captured_at="yesterday", lbc_node="n 1", content_type="\u00e9\r\n\t"),
        header_of(lbc_captured_at="10000-01-01T00:00:00Z", lbc_page_status="600"),
        header_of(lbc_captured_at="2026-11-23T21:10:00", lbc_node="n" * 33),
        *[header_of(lbc_page_head=text) for text in ("0", "-1", "01", "1.0", "1 ", "\u0661", "1" * 10)],
    ],
)
def test_what_cannot_be_read_is_left_out(header: FieldLookup) -> None:
    assert read_copy_head(header) == NOTHING


@given(st.dictionaries(st.sampled_from([name.lower for name in NAMES]), st.text(max_size=40)))
def test_no_text_breaks_the_reading(values: dict[str, str]) -> None:
    head = read_copy_head(lambda name: values.get(name, ""))
    assert 100 <= head.status <= 599
    assert head.content_type.isprintable()
    assert answering_node(lambda name: values.get(name, "")) == head.node


def test_a_proof_is_believed_of_its_own_node_token_nonce_and_digest_alone() -> None:
    header = lookup(NODE.digest_fields(TOKEN, NONCE, DIGEST))
    assert NODE.is_proven(header, TOKEN, NONCE, DIGEST)
    assert not PEER.is_proven(header, TOKEN, NONCE, DIGEST)
    assert not Identity("n1", b"another").is_proven(header, TOKEN, NONCE, DIGEST)
    assert not NODE.is_proven(header, "1other", NONCE, DIGEST)
    assert not NODE.is_proven(header, TOKEN, "other", DIGEST)
    assert not NODE.is_proven(header, TOKEN, NONCE)
    assert not NODE.is_proven(header_of(), TOKEN, NONCE, DIGEST)


def test_nobody_proves_an_empty_name() -> None:
    nobody = Identity("", SECRET)
    assert not nobody.is_proven(lookup(nobody.fields(TOKEN, NONCE)), TOKEN, NONCE)


def test_a_digest_is_that_of_its_bytes_alone() -> None:
    assert is_digest_of(DIGEST, PAGE.body)
    assert not is_digest_of(DIGEST, PAGE.body + b"x")
    assert not is_digest_of("", b"")
