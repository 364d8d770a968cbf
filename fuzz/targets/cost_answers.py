"""The cost of one response of the application for a node: its fields, its chunks, and the markup of a page.

An input chooses a place of a response, and what is repeated there (:mod:`fuzz.cost`). A failure is: a head of 60 KB
that takes more than 50 ms of CPU time, or anything of twice the size that takes three times as long. Times are compared
several times before a failure is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from fuzz import cost
from lbcompanion.settings import CaptureTable, InjectTable, LimitsTable
from tests.support.cost_node import ANSWER_FIELDS, MARKUP, CostNode
from tests.support.cpu_cost import ELEMENTS
from tests.support.in_memory_node import html, request

_START = b"<!DOCTYPE html><html><head><title>a</title></head><body>"
TOKENS: tuple[bytes, ...] = (
    *(element.encode("latin-1") for element in MARKUP),
    *(element.encode() for element in ELEMENTS),
    *(
        b"script-src 'self' http://a{};",
        b"default-src 'none'",
        b"'nonce-a{}' ",
        b"'sha256-YQ==' ",
        b"\r\n",
        b"X-A{}: b",
    ),
    *(
        b"Content-Security-Policy: script-src a{}\r\n",
        b"Set-Cookie: a{}=b\r\n",
        b"1\r\na\r\n",
        b"1;a=b\r\na\r\n",
        b"{}",
    ),
    *(b"<table><tr><td>", b"<p><b>", b"</p></b>", b"<template>", b"</template>", b"<frameset>", b"<a><a>", b"<?xml ?>"),
    *(
        b"<div autocomplete='cc-{}'>",
        b"<a:b xmlns:a='{}'>",
        b"<!DOCTYPE a [",
        b"<!ENTITY a{} 'b'>",
        b"&a{};",
        b"<svg><a",
    ),
    *(b"<!-- stop -->", b"<!-- stop", b"<main", b"</main>", b"text/html; ", b";charset=utf-{}", b"<title></title>"),
)
_CONFIGURED: tuple[Mapping[str, object], ...] = (
    {},
    {
        "inject": InjectTable(csp="adapt"),
        "capture": CaptureTable(mask=("div[a^=b]", "b", "[value*='1']")),
    },
    {"inject": InjectTable(bottom=b"<b>", top=b"<i>", skip_if="<!-- stop -->")},
    {"inject": InjectTable(bottom=b"<b>", top=b"<i>", top_after="<main>", bottom_before="</main>")},
    {"capture": CaptureTable(mask=(), exclude_blocks=False)},
)
_TYPES = (b"text/html; charset=utf-8", b"application/xhtml+xml", b"text/html", b"text/html; charset=shift_jis")


@cache
def _node(number: int) -> CostNode:
    return CostNode(limits=LimitsTable(header_lines=20_000), **_CONFIGURED[number])


def _answering(variant: int, answer: bytes) -> Callable[[], object]:
    node, raw = _node(variant % len(_CONFIGURED)), request(b"/p")

    def ask() -> object:
        node.answer = answer
        return node.ask(raw)

    return ask


def _value(body: bytes) -> bytes:
    return body.translate(None, b"\r\n\0")


def _field(variant: int, body: bytes) -> Callable[[], object]:
    name = ANSWER_FIELDS[variant // 8 % len(ANSWER_FIELDS)]
    return _answering(variant, html(b"<p>a", name.encode() + b": " + _value(body)))


def _lines(variant: int, body: bytes) -> Callable[[], object]:
    return _answering(variant, html(b"<p>a", *(line for line in body.replace(b"\0", b"").splitlines() if line)))


def _raw(variant: int, body: bytes) -> Callable[[], object]:
    """The bytes of a chunked body."""
    return _answering(variant, html(b"", b"Transfer-Encoding: chunked", length=False) + body)


def _page(variant: int, body: bytes) -> Callable[[], object]:
    before = (_START, b"", b"<!DOCTYPE html><head>", b"<svg>", b'<meta http-equiv=content-security-policy content="')
    whole = before[variant // 8 % len(before)] + body
    kind = b"Content-Type: " + _TYPES[variant // 40 % len(_TYPES)]
    return _answering(variant, _typed(kind, b"Content-Length: %d" % len(whole)) + whole)


def _page_in_pieces(variant: int, body: bytes) -> Callable[[], object]:
    size = (997, 10_007, 61)[variant // 8 % 3]
    pieces = _pieces(_START + body, size)
    kind = b"Content-Type: " + _TYPES[variant // 40 % len(_TYPES)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return _answering(variant, _typed(kind, b"Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")


def _pieces(data: bytes, size: int) -> list[bytes]:
    """Cut bytes into pieces of this size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def _typed(*lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", b""))


PLACES: Mapping[str, cost.Place] = {
    "a field": _field,
    "many lines": _lines,
    "page in raw chunks": _raw,
    "page": _page,
    "page in pieces": _page_in_pieces,
}


TARGET = cost.target(PLACES, TOKENS)
