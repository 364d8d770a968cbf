"""Reads ``Integrity-Policy``, which may forbid scripts without ``integrity`` (Subresource Integrity Level 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: The field that carries it, in lower case.
FIELD = b"integrity-policy"

# A longer policy is not parsed, and counts as blocking if it names scripts.
_MAX_BYTES = 2048
_STRING = rb'"(?:[^"\\]|\\.)*"'
# A member of the dictionary that is a list of tokens, and a token with its parameters (RFC 9651). Texts in quotes may
# contain commas and brackets.
_MEMBER = re.compile(rb"([^=,;\s\"]+)[ \t]*=[ \t]*\(((?:[^)\"]|" + _STRING + rb")*)\)|" + _STRING)
_TOKEN = re.compile(rb"([^\s;\"]+)(?:;(?:[^\s\"]|" + _STRING + rb")*)?|" + _STRING)


def blocks_scripts(values: Iterable[bytes]) -> bool:
    """Whether a policy blocks scripts that lack ``integrity``, or ``crossorigin`` beside it.

    :param values: the page's ``Integrity-Policy`` lines.
    """
    policies = b", ".join(values)
    if len(policies) > _MAX_BYTES:
        return b"script" in policies
    # Several lines are one dictionary, of which the last member of a name counts (RFC 9651, section 4.2.2).
    members = {found[1]: found[2] for found in _MEMBER.finditer(policies) if found[1]}
    return b"script" in _tokens(members.get(b"blocked-destinations", b"")) and b"inline" in _tokens(
        members.get(b"sources", b"inline")
    )


def _tokens(inner_list: bytes) -> set[bytes]:
    return {found[1] for found in _TOKEN.finditer(inner_list) if found[1]}
