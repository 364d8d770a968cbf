from __future__ import annotations

import pytest

from lbcompanion.crawler.replay.addresses import NOT_FOUND, NOT_KEPT_MEDIA, ReplayAddresses, kind_of, replay_address
from lbcompanion.crawler.replay.html_rewriting import Replacement, Use
from lbcompanion.crawler.replay.recorded_files import FileRecord


def file(content_type: str) -> FileRecord:
    return FileRecord(0, "x", "response", content_type, "", 0)


ADDRESSES = ReplayAddresses(
    "T",
    "windows-1252",
    {
        "http://s/c": file("text/css"),
        "http://s/i": file("image/png"),
        "http://s/v": file("image/svg+xml"),
        "http://s/p": file("text/html"),
    },
    {"http://s/gone": "404"},
    {"http://s/lent"},
)


def at(what: str, name: str) -> Replacement:
    return Replacement(f"/replay/T/{what}?url=http%3A%2F%2Fs%2F{name}")


@pytest.mark.parametrize(
    ("use", "name", "found"),
    [
        (Use.STYLE, "c", at("style/windows-1252", "c")),
        (Use.IMAGE, "i", at("file", "i")),
        (Use.FILE, "v", at("file", "v")),
        (Use.IMAGE, "lent", at("file", "lent")),
        (Use.OBJECT, "i", at("file", "i")),
        (Use.OBJECT, "v", at("frame", "v")),
        (Use.OBJECT, "p", at("frame", "p")),
        (Use.OBJECT, "c", Replacement("", "such objects are not shown")),
        (Use.FRAME, "x", at("frame", "x")),
        (Use.LINK, "x", at("link", "x")),
        (Use.FILE, "gone", Replacement("", "404")),
        (Use.STYLE, "x", Replacement("", NOT_FOUND)),
        (Use.MEDIA, "x", Replacement("", NOT_KEPT_MEDIA)),
        (Use.IMAGE, "gone", Replacement(at("missing", "gone").address, "404")),
        (Use.STYLE, "i", Replacement("", "its type is not text/css, so that browsers do not use it")),
    ],
)
def test_what_stands_in_the_place_of_an_address(use: Use, name: str, found: Replacement) -> None:
    assert ADDRESSES(use, f"http://s/{name}") == found


def test_an_address_needs_no_escaping_anywhere() -> None:
    assert replay_address("T", "file", "http://s/ä?a=b&c='\",\\<>()") == (
        "/replay/T/file?url=http%3A%2F%2Fs%2F%C3%A4%3Fa%3Db%26c%3D%27%22%2C%5C%3C%3E%28%29"
    )


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("Text/CSS; charset=x", "style"),
        ("image/svg+xml", "svg"),
        ("image/webp", "image"),
        ("image/x+xml", ""),
        ("font/woff2", "font"),
        ("application/font-woff", "font"),
        ("application/octet-stream", "font"),
        ("text/html;x", "page"),
        ("text/xml", ""),
        ("text/javascript", "script"),
        ("", ""),
    ],
)
def test_the_kind_of_a_file(content_type: str, kind: str) -> None:
    assert kind_of(content_type) == kind
