"""The tag that is inserted without configuration, whole."""

from __future__ import annotations

from lbcompanion.html.snippets import default_tag_parts


def default_tag(
    token: str,
    fetch_url: str,
    script_url: str,
    nonce: str | None = None,
    xhtml: bool = False,
    integrity: str = "",
) -> bytes:
    """The tag as a node makes it.

    :param fetch_url: where the copy can be had; it may lack the token at its end.
    """
    start, middle, end = default_tag_parts(
        fetch_url.removesuffix(token), script_url, nonce, xhtml=xhtml, integrity=integrity
    )
    named = token.encode("ascii")
    return b"".join((start, named, middle, named if fetch_url.endswith(token) else b"", end))
