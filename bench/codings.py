"""CPU time and size for each level of each content coding: ``python -m bench.codings``."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Iterator
from timeit import Timer

from rich import box
from rich.console import Console
from rich.table import Table

from lbcompanion.http1.coding_libraries import DEFLATE_LIBRARY, brotli, zstd
from lbcompanion.http1.codings import decode_whole, encode_whole

_REPEATS = 9
_SAMPLE_SECONDS = 0.01
_LETTERS = "etaoinshrdlucmfwypvbgk"


def page(size: int) -> bytes:
    """A page of a shop: markup that comes again and words that do not, the same at each run."""
    chance = random.Random(size)
    words = ["".join(chance.choices(_LETTERS, k=chance.randint(2, 9))) for _ in range(1500)]
    parts = ["<!doctype html><html><head><title>Shop</title></head><body class='list'><main>"]
    length = 0
    while length < size:
        number = chance.randrange(10**6)
        text = " ".join(words[min(int(chance.expovariate(0.008)), 1499)] for _ in range(chance.randint(5, 40)))
        parts.append(
            f"<article id='p{number}'><a href='/tools/{number}'><img src='/img/{number}.webp' alt=''></a>\n"
            f"<p>{text}. <em>{chance.randrange(999)}.95</em></p></article>\n"
        )
        length += len(parts[-1])
    return "".join(parts).encode()[:size]


def _us(part: Callable[[], object]) -> float:
    timer = Timer(part, timer=time.process_time)
    number = 1
    while timer.timeit(number) < _SAMPLE_SECONDS:
        number *= 2
    return 1e6 * min(timer.repeat(_REPEATS, number)) / number


def _writers() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    for level in (1, 3, 6):
        yield f"gzip, zlib, level {level}", lambda data, level=level: zlib.compress(data, level, 31)
    if DEFLATE_LIBRARY is not zlib:
        for level in (0, 1, 2, 3):
            yield f"gzip, ISA-L, level {level}", lambda data, level=level: DEFLATE_LIBRARY.compress(data, level, 31)
    for quality in (0, 1, 2, 3, 4, 5):
        yield f"br, quality {quality}", lambda data, quality=quality: brotli.compress(data, quality=quality, lgwin=18)
    for level in (1, 2, 3, 4, 5):
        coder = zstd.ZstdCompressor(level)
        yield f"zstd, level {level}", lambda data, coder=coder: coder.compress(data, coder.FLUSH_FRAME)
    for coding in (b"gzip", b"br", b"zstd"):
        yield f"{coding.decode()}, as used here", lambda data, coding=coding: encode_whole(coding, data)


def _readers(body: bytes) -> Iterator[tuple[str, Callable[[bytes], bytes], bytes]]:
    gzip = zlib.compress(body, 6, 31)
    yield "gzip undone, zlib", lambda data: zlib.decompress(data, 31), gzip
    for coding, coded in ((b"gzip", gzip), (b"br", brotli.compress(body, quality=5)), (b"zstd", zstd.compress(body))):
        name = f"{coding.decode()} undone, as here"
        yield name, lambda data, coding=coding: decode_whole(coding, data, 1 << 22), coded


def show(console: Console) -> None:
    """Measure and print."""
    table = Table(title="Codings: CPU us and bytes", box=box.SIMPLE, title_justify="left")
    for heading in ("", "10 KB", "bytes", "100 KB", "bytes"):
        table.add_column(heading, justify="left" if not heading else "right")
    bodies = [page(10240), page(102400)]
    rows: dict[str, list[str]] = {}
    for body in bodies:
        for name, write in _writers():
            rows.setdefault(name, []).extend((f"{_us(lambda w=write, b=body: w(b)):.1f}", str(len(write(body)))))
        for name, read, coded in _readers(body):
            rows.setdefault(name, []).extend((f"{_us(lambda r=read, c=coded: r(c)):.1f}", str(len(coded))))
    for name, row in rows.items():
        table.add_row(name, *row)
    console.print(table)


if __name__ == "__main__":
    show(Console())
