"""The media type that browsers read in ``Content-Type`` (Fetch Standard, "extract a MIME type")."""

from __future__ import annotations

import re
from typing import NamedTuple

from lbcompanion.html.charset import content_type_charset
from lbcompanion.html.possessive import one_or_more

# Members are separated by commas outside of quoted strings. An unterminated string extends to the end.
_MEMBER = re.compile(one_or_more(rb'[^",]++|"(?:[^"\\]++|\\.|)*+(?:"|\\?\Z)'), re.DOTALL)
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_ESSENCE = re.compile(rb"[ \t]*(" + _TOKEN + rb"/" + _TOKEN + rb")[ \t]*(?:;|\Z)")


class MediaType(NamedTuple):
    """A media type.

    :ivar essence: type and subtype, in lower case; empty if no value is valid.
    :ivar charset: the charset, in lower case.
    """

    essence: bytes
    charset: str | None

    def written(self) -> str:
        """The value of a ``Content-Type`` with this type."""
        essence = self.essence.decode("ascii")
        return essence if self.charset is None else f'{essence}; charset="{self.charset}"'


def extract_media_type(value: bytes) -> MediaType:
    """Extract the media type: the last valid member of a list counts, with the last charset named for it.

    :param value: the values of all ``Content-Type`` lines, joined by commas.
    """
    essence = b""
    charset: str | None = None
    for member in (value,) if b"," not in value else _MEMBER.findall(value):
        found = _ESSENCE.match(member)
        if found is None or found[1] == b"*/*":
            continue
        if found[1].lower() != essence:
            essence, charset = found[1].lower(), None
        charset = content_type_charset(member) or charset
    return MediaType(essence, charset)
