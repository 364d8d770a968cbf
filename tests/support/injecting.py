"""Pages through the injector, with the snippets of the tests."""

from __future__ import annotations

from itertools import pairwise

from lbcompanion.html.inject import Injector
from tests.support.html_fragments import BOTTOM, TOP


def run(page: bytes, cuts: list[int] | None = None, **settings: object) -> tuple[bytes, Injector]:
    """The page through an injector, cut at the given places."""
    injector = Injector(TOP, settings.pop("bottom", BOTTOM), **settings)  # type: ignore[arg-type]
    edges = [0, *sorted(cuts or []), len(page)]
    out = b"".join(injector.feed(page[a:b]) for a, b in pairwise(edges))
    return out + injector.finish(), injector


def filled(expected: str) -> bytes:
    return expected.encode().replace(b"{T}", TOP).replace(b"{B}", BOTTOM)


WITH_POLICY = (
    b'<html><head><title>x</title><META http-equiv="Content-Security-Policy" '
    b'content="script-src &apos;nonce-abc\'; img-src *"></head><body></body></html>'
)
