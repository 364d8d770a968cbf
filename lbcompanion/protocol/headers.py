"""The copy protocol's header fields: their names, the head of an answer about a copy, written and read.

A node writes such a head, a peer passes it on under its own name, the crawler and the doctor read it. What each field
means is told in docs/reference-listener.rst.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from attrs import field, frozen

from lbcompanion.model import NODE_NAME, Page, from_rfc3339, to_rfc3339
from lbcompanion.protocol import shapes
from lbcompanion.protocol.tokens import is_valid_proof, proof, repr_digest

#: A header line: its name as it is written, and its value.
Field = tuple[bytes, bytes]
#: Gives a field's first value, by the field's name in lower case; empty where the message has no such field.
FieldLookup = Callable[[str], str]


@frozen
class FieldName:
    """A header field's name.

    :ivar text: as it is written.
    :ivar written: the same, as bytes.
    :ivar lower: in lower case.
    :ivar key: the same, as bytes: what :mod:`lbcompanion.http1.heads` looks a field up by.
    """

    text: str
    written: bytes = field(init=False)
    lower: str = field(init=False)
    key: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "written", self.text.encode("ascii"))
        object.__setattr__(self, "lower", self.text.lower())
        object.__setattr__(self, "key", self.written.lower())


#: What all names of this protocol begin with, in lower case.
PREFIX = b"lbc-"

# Of requests.
NONCE = FieldName("Lbc-Nonce")
#: A request with this field was passed on by a node, and goes no further.
HOP = FieldName("Lbc-Hop")
#: Asks for a copy of the page that is being requested.
CAPTURE = FieldName("Lbc-Capture")

# Of answers.
NODE = FieldName("Lbc-Node")
PROOF = FieldName("Lbc-Proof")
VIA = FieldName("Lbc-Via")
#: The token of a copy that was asked for by :data:`CAPTURE`.
CAPTURED_TOKEN = FieldName("Lbc-Token")
PAGE_URL = FieldName("Lbc-Page-Url")
PAGE_METHOD = FieldName("Lbc-Page-Method")
PAGE_STATUS = FieldName("Lbc-Page-Status")
CAPTURED_AT = FieldName("Lbc-Captured-At")
#: RFC 9530 section 3.
REPR_DIGEST = FieldName("Repr-Digest")
CONTENT_TYPE = FieldName("Content-Type")
RETRY_AFTER = FieldName("Retry-After")

#: What of a peer's answer is passed on as it came, in this order. Who answers, and with which proof, is not.
_RELAYED = (CONTENT_TYPE, PAGE_URL, PAGE_METHOD, PAGE_STATUS, CAPTURED_AT, REPR_DIGEST, RETRY_AFTER)


class Via(Enum):
    """Where the node that answers had the copy from."""

    OWN = "own"
    PEER = "peer"
    STORE = "store"


@frozen
class Identity:
    """A node's name, and the farm's secret, by which a node proves that the name is its own."""

    node: str
    secret: bytes = field(repr=False)

    def fields(self, token: str, nonce: str, digest: str = "") -> list[Field]:
        """Who answers, and the proof of it where the caller sent a nonce.

        :param token: empty for ``whoami``.
        :param digest: the answer's ``Repr-Digest``, empty where it has none.
        """
        fields: list[Field] = [(NODE.written, self.node.encode())]
        if nonce:
            fields.append((PROOF.written, proof(self.secret, self.node, token, nonce, digest).encode()))
        return fields

    def digest_fields(self, token: str, nonce: str, digest: str) -> list[Field]:
        """The same with the digest that the proof covers."""
        return [*self.fields(token, nonce, digest), (REPR_DIGEST.written, digest.encode())]

    def is_proven(self, header: FieldLookup, token: str, nonce: str, digest: str = "") -> bool:
        """Whether an answer has the proof that this node made it."""
        return bool(self.node) and is_valid_proof(header(PROOF.lower), self.secret, self.node, token, nonce, digest)


def page_fields(page: Page) -> list[Field]:
    """What the answer says of the page."""
    return [
        (PAGE_URL.written, page.url.encode("latin-1", "replace")),
        (PAGE_METHOD.written, page.method.encode("ascii", "replace")),
        (PAGE_STATUS.written, b"%d" % page.status),
        (CAPTURED_AT.written, to_rfc3339(page.captured_at).encode()),
    ]


def copy_fields(page: Page, identity: Identity, *, token: str, nonce: str, via: Via) -> list[Field]:
    """The head of an answer whose body is the copy.

    :param token: by which the copy was asked for.
    :param nonce: the caller's; empty where it sent none.
    """
    digest = repr_digest(page.sha256)
    return [
        (CONTENT_TYPE.written, page.content_type.encode("latin-1") or b"application/octet-stream"),
        *identity.fields(token, nonce, digest),
        *page_fields(page),
        (REPR_DIGEST.written, digest.encode()),
        (VIA.written, via.value.encode()),
    ]


def relayed_fields(header: FieldLookup, identity: Identity, *, token: str, nonce: str) -> list[Field]:
    """The head under which a node passes on a peer's answer: what that says of the copy, under this node's name.

    :param header: of the peer's answer, whose proof and digest hold.
    """
    relayed = [(name.written, value.encode("latin-1")) for name in _RELAYED if (value := header(name.lower))]
    digest = header(REPR_DIGEST.lower)
    return [*relayed, *identity.fields(token, nonce, digest), (VIA.written, Via.PEER.value.encode())]


@frozen
class CopyHead:
    """What the head of an answer says of the copy in its body.

    :ivar url: the page's; empty where none can be read.
    :ivar method: ``GET`` where none can be read.
    :ivar status: 200 where none can be read.
    :ivar content_type: printable characters only.
    :ivar captured_at: seconds since the epoch; None where no time can be read.
    :ivar via: as it came; ``own`` where nothing came.
    """

    node: str
    url: str
    method: str
    status: int
    content_type: str
    captured_at: float | None
    via: str


def read_copy_head(header: FieldLookup) -> CopyHead:
    """Read what :func:`copy_fields` and :func:`relayed_fields` write; never raises."""
    return CopyHead(
        node=answering_node(header),
        url=_matching(header(PAGE_URL.lower), shapes.ASCII_URL, ""),
        method=_matching(header(PAGE_METHOD.lower), shapes.CAPITAL_METHOD, "GET"),
        status=int(_matching(header(PAGE_STATUS.lower), shapes.STATUS, "200")),
        content_type="".join(char for char in header(CONTENT_TYPE.lower) if " " <= char <= "~"),
        captured_at=_time(header(CAPTURED_AT.lower)),
        via=header(VIA.lower) or Via.OWN.value,
    )


def answering_node(header: FieldLookup) -> str:
    """The node that an answer names as its maker, not proven yet; empty where that is no node's name."""
    return _matching(header(NODE.lower), NODE_NAME, "")


def _matching(value: str, pattern: re.Pattern[str], default: str) -> str:
    return value if pattern.fullmatch(value) else default


def _time(value: str) -> float | None:
    try:
        return from_rfc3339(value)
    except (ValueError, OverflowError):
        return None
