"""Reads ``Integrity-Policy``, which may forbid scripts without ``integrity`` (Subresource Integrity Level 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: The field that carries it, in lower case.
FIELD = b"integrity-policy"

_LIST = re.compile(rb"(?:^|,)[ \t]*(blocked-destinations|sources)[ \t]*=[ \t]*\(([^)]*)\)")


def blocks_scripts(values: Iterable[bytes]) -> bool:
    """Whether a policy blocks scripts that lack ``integrity``, or ``crossorigin`` beside it.

    :param values: the page's ``Integrity-Policy`` lines.
    """
    # Several lines are one dictionary, of which the last member of a name counts (RFC 9651, section 4.2.2).
    members = {found[1]: found[2].split() for found in _LIST.finditer(b", ".join(values))}
    return b"script" in members.get(b"blocked-destinations", []) and b"inline" in members.get(b"sources", [b"inline"])
