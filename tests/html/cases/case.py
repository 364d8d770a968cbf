"""The data of one case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

PAGE = "<!DOCTYPE html><html><head><title>x</title></head><body>@@</body></html>"
INJECTED = PAGE.replace("</head>", "{T}</head>")
HTML = "Content-Type: text/html; charset=utf-8"
#: Not recorded: no copy is kept.
NONE = "none"


@frozen
class Case:
    """One page on its way, whole: request, answer, and what must come of them.

    :ivar name: the rule.
    :ivar out: what the visitor gets; ``{T}`` stands for the tag, ``{N}`` for the tag with the nonce ``abc``, ``{X}`` for
        the tag as XHTML has it; None: the page as it is.
    :ivar page: what the application sends; None: ``out`` without the tag.
    :ivar copy: what is kept; None: the page as it is; ``NONE``: nothing.
    :ivar why: why no copy was kept, or else why nothing was inserted.
    :ivar asked: the request's fields, a line each.
    :ivar answered: the answer's fields.
    :ivar told: header lines that the visitor must get; ``Name:`` alone: a field that it must not get.
    :ivar settings: ``{"capture": {...}}``, where they are not the defaults.
    """

    name: str
    out: str | bytes | None = INJECTED
    page: str | bytes | None = None
    copy: str | bytes | None = None
    why: str = ""
    asked: tuple[str, ...] = ()
    answered: tuple[str, ...] = (HTML,)
    told: tuple[str, ...] = ()
    method: str = "GET"
    target: str = "/shop/page"
    status: int = 200
    settings: Mapping[str, Mapping[str, Any]] = Factory(dict)
