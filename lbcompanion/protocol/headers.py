"""The header fields of the copy protocol: their names, and how an answer's head about a copy is written and read.

A node writes such a head, a peer relays it under its own name, and the crawler and the doctor read it.
docs/reference-listener.rst describes each field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from attrs import field, frozen

from lbcompanion.model import NODE_NAME, Page, from_rfc3339, to_rfc3339
from lbcompanion.protocol import shapes
from lbcompanion.protocol.tokens import digests_of, is_valid_proof, proof, repr_digest

#: A header field: its name as written, and its value.
Field = tuple[bytes, bytes]
#: Returns the first value of a field by its lower-case name; empty if the message has no such field.
FieldLookup = Callable[[str], str]


@frozen
class FieldName:
    """A header field's name in four forms.

    :ivar text: the name as written.
    :ivar written: the name as written, as bytes.
    :ivar lower: the name in lower case.
    :ivar key: the name in lower case, as bytes: the key for lookups in :mod:`lbcompanion.http1.heads`.
    """

    text: str
    written: bytes = field(init=False)
    lower: str = field(init=False)
    key: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "written", self.text.encode("ascii"))
        object.__setattr__(self, "lower", self.text.lower())
        object.__setattr__(self, "key", self.written.lower())


#: The prefix of this protocol's field names, in lower case.
PREFIX = b"lbc-"

# In requests.
NONCE = FieldName("Lbc-Nonce")
#: Marks a request that a node forwarded; it is not forwarded again.
HOP = FieldName("Lbc-Hop")
#: Asks ``whoami`` to repeat the request's own ``Host`` and ``User-Agent``.
ECHO = FieldName("Lbc-Echo")
#: The nodes that forwarded a request to their application, so that a loop is recognised.
FORWARDED_BY = FieldName("Lbc-Forwarded-By")
#: The authority that the client signed, for the case that a balancer replaces ``Host``.
AUTHORITY = FieldName("Lbc-Authority")
#: Requests a copy of the requested page.
CAPTURE = FieldName("Lbc-Capture")

# In answers.
NODE = FieldName("Lbc-Node")
PROOF = FieldName("Lbc-Proof")
VIA = FieldName("Lbc-Via")
#: The token of the copy that :data:`CAPTURE` requested.
CAPTURED_TOKEN = FieldName("Lbc-Token")
PAGE_URL = FieldName("Lbc-Page-Url")
PAGE_METHOD = FieldName("Lbc-Page-Method")
PAGE_STATUS = FieldName("Lbc-Page-Status")
#: The page's ``Content-Type``. The copy itself is sent as :data:`COPY_TYPE`.
PAGE_TYPE = FieldName("Lbc-Page-Type")
CAPTURED_AT = FieldName("Lbc-Captured-At")
#: In a request for a copy it asks for the page's head, with the value 1. In the answer it is the length of the head
#: (:mod:`lbcompanion.protocol.response_heads`), which follows the page's bytes in the body.
PAGE_HEAD = FieldName("Lbc-Page-Head")
#: In a WARC record only: the names of the application's fields that are left out of the record.
FIELDS_LEFT_OUT = FieldName("Lbc-Fields-Left-Out")
#: In a page's head and in a WARC record: how many parts of the page masks and excluded blocks removed from the copy.
REMOVED = FieldName("Lbc-Removed")
#: RFC 9530 section 3.
REPR_DIGEST = FieldName("Repr-Digest")
CONTENT_TYPE = FieldName("Content-Type")
RETRY_AFTER = FieldName("Retry-After")

#: The longest URL of a page that can be transferred: ``Lbc-Page-Url`` must fit into one line of the HTTP client of
#: crawler and peers, which is limited to 16384 bytes (``twisted.protocols.basic.LineReceiver.MAX_LENGTH``).
MAX_PAGE_URL_BYTES = 16000

#: The ``Content-Type`` of a copy: balancers and caches change HTML on its way (nginx's ``sub_filter``, mod_pagespeed).
COPY_TYPE = b"application/octet-stream"

#: The fields of a peer's answer that are relayed unchanged, in this order. Node and proof are replaced.
_RELAYED = (
    CONTENT_TYPE,
    PAGE_URL,
    PAGE_METHOD,
    PAGE_STATUS,
    PAGE_TYPE,
    CAPTURED_AT,
    PAGE_HEAD,
    REPR_DIGEST,
    RETRY_AFTER,
)


class Via(Enum):
    """The place in which the answering node found the copy."""

    OWN = "own"
    PEER = "peer"
    STORE = "store"


@frozen
class Identity:
    """A node's name, and the farm's secret, which proves it."""

    node: str
    secret: bytes = field(repr=False)

    def fields(self, token: str, nonce: str, digest: str = "", page_head: str = "") -> list[Field]:
        """Return ``Lbc-Node``, and ``Lbc-Proof`` if the caller sent a nonce.

        :param token: the requested token; empty for ``whoami``.
        :param nonce: the caller's nonce; empty if it sent none.
        :param digest: the answer's ``Repr-Digest``; empty if it has none.
        :param page_head: the answer's ``Lbc-Page-Head``; empty if it has none.
        """
        fields: list[Field] = [(NODE.written, self.node.encode())]
        if nonce:
            fields.append((PROOF.written, proof(self.secret, self.node, token, nonce, digest, page_head).encode()))
        return fields

    def digest_fields(self, token: str, nonce: str, digest: str) -> list[Field]:
        """Return the fields of :meth:`fields`, and ``Repr-Digest``, which the proof covers."""
        return [*self.fields(token, nonce, digest), (REPR_DIGEST.written, digest.encode())]

    def is_proven(self, header: FieldLookup, token: str, nonce: str, digest: str = "") -> bool:
        """Whether an answer contains a valid proof that this node sent it."""
        return bool(self.node) and is_valid_proof(
            header(PROOF.lower), self.secret, self.node, token, nonce, digest, header(PAGE_HEAD.lower)
        )


def page_fields(page: Page) -> list[Field]:
    """Return the fields that describe the page."""
    return [
        (PAGE_URL.written, page.url.encode("latin-1", "replace")),
        (PAGE_METHOD.written, page.method.encode("ascii", "replace")),
        (PAGE_STATUS.written, b"%d" % page.status),
        *([(PAGE_TYPE.written, page.content_type.encode("latin-1"))] if page.content_type else []),
        (CAPTURED_AT.written, to_rfc3339(page.captured_at).encode()),
    ]


def copy_fields(
    page: Page, identity: Identity, *, token: str, nonce: str, via: Via, with_head: bool = False
) -> list[Field]:
    """Return the header fields of an answer whose body is the copy.

    :param token: the requested token.
    :param nonce: the caller's nonce; empty if it sent none.
    :param with_head: whether the page's head, unless it is empty, follows the page's bytes in the body.
    """
    if with_head and page.head:
        page_head = str(len(page.head))
        digest = repr_digest(digests_of(page.body, page.head)[1])
    else:
        page_head = ""
        digest = repr_digest(page.sha256)
    return [
        (CONTENT_TYPE.written, COPY_TYPE),
        *identity.fields(token, nonce, digest, page_head),
        *page_fields(page),
        *([(PAGE_HEAD.written, page_head.encode())] if page_head else []),
        (REPR_DIGEST.written, digest.encode()),
        (VIA.written, via.value.encode()),
    ]


def relayed_fields(header: FieldLookup, identity: Identity, *, token: str, nonce: str) -> list[Field]:
    """Return the header fields under which a node relays a peer's answer: the peer's description, this node's proof.

    :param header: looks up fields of the peer's answer; its proof and digest are verified already.
    """
    values = {name: value for name in _RELAYED if (value := header(name.lower))}
    if PAGE_URL in values:
        # A peer of an earlier version sends the copy with the page's type, and so does one that was asked as such.
        values |= {PAGE_TYPE: values.get(PAGE_TYPE) or values.get(CONTENT_TYPE, ""), CONTENT_TYPE: COPY_TYPE.decode()}
    relayed = [(name.written, values[name].encode("latin-1")) for name in _RELAYED if values.get(name)]
    digest = header(REPR_DIGEST.lower)
    page_head = header(PAGE_HEAD.lower)
    return [*relayed, *identity.fields(token, nonce, digest, page_head), (VIA.written, Via.PEER.value.encode())]


@frozen
class CopyHead:
    """The description of a copy in an answer's header fields.

    :ivar node: the answering node's name, not verified; empty if the field is missing or malformed.
    :ivar url: the page's URL; empty if the field is missing or malformed.
    :ivar method: the request's method; ``GET`` if the field is missing or malformed.
    :ivar status: the page's status code; 200 if the field is missing or malformed.
    :ivar content_type: the page's ``Content-Type``, printable characters only.
    :ivar captured_at: seconds since the epoch; None if the field is missing or malformed.
    :ivar via: the received value; ``own`` if the field is missing.
    :ivar head_bytes: how many bytes at the end of the body are the page's head; 0 if the field is missing or malformed.
    """

    node: str
    url: str
    method: str
    status: int
    content_type: str
    captured_at: float | None
    via: str
    head_bytes: int = 0


def read_copy_head(header: FieldLookup) -> CopyHead:
    """Read the fields of :func:`copy_fields` and :func:`relayed_fields`; never raises."""
    return CopyHead(
        node=answering_node(header),
        url=_matching(header(PAGE_URL.lower), shapes.PAGE_URL, ""),
        method=_matching(header(PAGE_METHOD.lower), shapes.CAPITAL_METHOD, "GET"),
        status=int(_matching(header(PAGE_STATUS.lower), shapes.STATUS, "200")),
        content_type="".join(char for char in _page_type(header) if " " <= char <= "~"),
        captured_at=_time(header(CAPTURED_AT.lower)),
        via=header(VIA.lower) or Via.OWN.value,
        head_bytes=int(_matching(header(PAGE_HEAD.lower), shapes.BYTE_COUNT, "0")),
    )


def _page_type(header: FieldLookup) -> str:
    # A node of an earlier version sends the copy with the page's type.
    return header(PAGE_TYPE.lower) or header(CONTENT_TYPE.lower)


def answering_node(header: FieldLookup) -> str:
    """Return the node name in an answer, not verified; empty if it is missing or malformed."""
    return _matching(header(NODE.lower), NODE_NAME, "")


def _matching(value: str, pattern: re.Pattern[str], default: str) -> str:
    return value if pattern.fullmatch(value) else default


def _time(value: str) -> float | None:
    try:
        return from_rfc3339(value)
    except (ValueError, OverflowError):
        return None
