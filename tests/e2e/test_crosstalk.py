"""Many visitors before an application of bad manners: nobody gets another's answer, nor half of one as a whole."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lbcompanion.demo.ports import LOOPBACK
from tests.support.companion import Companion, companion
from tests.support.raw_visitor import Answer, RawVisitor

_VISITORS = 20
_REQUESTS = 40
_PAGE = b"<!doctype html><html><head><title>x</title></head><body>"


def _body(name: bytes) -> bytes:
    return name + b":" + name * 50 + b";"


def _length(name: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(_body(name)) + _body(name)


def _chunks(name: bytes) -> bytes:
    whole = _body(name)
    pieces = [whole[at : at + 40] for at in range(0, len(whole), 40)]
    return (
        b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    )


def _page(name: bytes) -> bytes:
    page = _PAGE + _body(name)
    return b"Content-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page


#: What is said behind the first lines of an answer, and whether the connection closes behind it.
_MANNERS: list[tuple[str, Callable[[bytes], bytes], bool]] = [
    ("length", _length, False),
    ("chunks", _chunks, False),
    ("page", _page, False),
    ("length and closes", _length, True),
    ("chunks and closes", _chunks, True),
    ("until it closes", lambda name: b"\r\n" + _body(name), True),
    ("more than it promised", lambda name: _length(name) + _length(b"evil"), False),
    ("less than it promised", lambda name: _length(name)[:-20], True),
    ("half of its chunks", lambda name: _chunks(name)[:-30], True),
    ("half a page", lambda name: _page(name)[:-20], True),
]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b" ", 2)
            fields = head.lower()
            if b"\r\ncontent-length: " in fields:
                await reader.readexactly(int(fields.partition(b"\r\ncontent-length: ")[2].split(b"\r\n")[0]))
            name = target[1:]
            choice = int(name.rpartition(b".")[2])
            if choice == len(_MANNERS):
                break  # without a word
            _, manner, closes = _MANNERS[choice]
            said = manner(name)
            if method == b"HEAD":
                said = said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            first, rest = said[: len(said) // 2], said[len(said) // 2 :]
            writer.write(b"HTTP/1.1 200 OK\r\nX-Name: " + name + b"\r\n" + first)
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(rest)
            await writer.drain()
            if closes:
                break
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


def _visit(front: Companion, number: int) -> Counter[str]:
    """One visitor's requests, one after the other and in pipelines; what became of them."""
    chance = random.Random(number)
    seen: Counter[str] = Counter()
    visitor = RawVisitor(front.port)
    for turn in range(_REQUESTS):
        wanted = []
        for at in range(chance.choice((1, 1, 1, 3))):
            name = b"v%d.%d.%d.%d" % (number, turn, at, chance.randrange(len(_MANNERS) + 1))
            wanted.append((chance.choice((b"GET", b"GET", b"HEAD", b"POST")), name))
        visitor.send(b"".join(_request(method, name) for method, name in wanted))
        if chance.random() < 0.05:
            # Leaves without an answer.
            visitor.close()
            visitor = RawVisitor(front.port)
            continue
        for method, name in wanted:
            answer = visitor.answer(method)
            seen[_judged(answer, method, name)] += 1
            if answer is None or not answer.whole:
                break
        if visitor.ended or answer is None or not answer.whole or answer.get(b"connection") == b"close":
            visitor.close()
            visitor = RawVisitor(front.port)
    visitor.close()
    return seen


def _request(method: bytes, name: bytes) -> bytes:
    head = method + b" /" + name + b" HTTP/1.1\r\nHost: a\r\n"
    return head + (b"Content-Length: 5\r\n\r\nhello" if method == b"POST" else b"\r\n")


def _judged(answer: Answer | None, method: bytes, name: bytes) -> str:
    manner = int(name.rpartition(b".")[2])
    if answer is None:
        return "closed"
    if answer.status == 502:
        assert manner == len(_MANNERS) or "half" in _MANNERS[manner][0] or "less" in _MANNERS[manner][0], name
        return "502"
    assert answer.get(b"x-name") == name
    if method == b"HEAD":
        assert answer.body == b""
        return "head"
    if not answer.whole:
        assert "half" in _MANNERS[manner][0] or "less" in _MANNERS[manner][0], name
        return "cut"
    assert answer.body.endswith(_body(name))
    assert b"evil" not in answer.body
    return "whole"


def test_no_visitor_gets_anothers_answer(tmp_path: Path) -> None:
    async def crowd(front: Companion) -> Counter[str]:
        async with await asyncio.start_server(_serve, LOOPBACK, front.application_port, backlog=128):
            told = await asyncio.gather(
                *(asyncio.to_thread(_visit, front, number) for number in range(_VISITORS)), return_exceptions=True
            )
        seen: Counter[str] = Counter()
        for one in told:
            if isinstance(one, BaseException):
                raise one
            seen += one
        return seen

    with companion(tmp_path) as front:
        seen = asyncio.run(crowd(front))
        assert {"whole", "cut", "502", "head"} <= set(seen)
        # Once a connection ended, what was in the pipeline behind is not answered: that is all.
        assert seen["closed"] < seen["whole"]
        assert not front.left_open()
        assert not front.failures()
