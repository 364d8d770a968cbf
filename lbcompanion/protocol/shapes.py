"""The shapes of the values that nodes, peers, browsers and the crawler send to each other.

A field or a key says elsewhere what it means; here it says which characters it may have. All patterns are for
``fullmatch``.
"""

from __future__ import annotations

import re

from lbcompanion.protocol.tokens import MAX_CHARS

#: A token's form; whether it is a token of this farm is for :class:`lbcompanion.protocol.tokens.Tokens` to check.
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_CHARS}}}", re.ASCII)
#: ``Lbc-Nonce``: base64 of either alphabet, hexadecimal digits, a UUID.
NONCE = re.compile(r"[A-Za-z0-9_+/=.-]{1,128}", re.ASCII)

#: A page's address as a browser names it in a notice. Half a surrogate pair cannot be written in UTF-8.
BROWSER_URL = re.compile(r"https?://[^\x00-\x20\x7f\ud800-\udfff]+", re.IGNORECASE)
#: A page's address as a node writes it: the scheme in lower case, the rest as the visitor's request had it.
PAGE_URL = re.compile(r"https?://[^\x00-\x20\x7f]+")
#: A page's address as a WARC record can hold it.
ASCII_URL = re.compile(r"https?://[\x21-\x7e]+", re.ASCII)

#: A request's method (RFC 9110 section 5.6.2: a token), at a length that no real one has.
METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
#: A request's method as a WARC record can hold it.
CAPITAL_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
#: A status of HTTP in a field.
STATUS = re.compile(r"[1-5][0-9][0-9]", re.ASCII)
#: A field's value (RFC 9110 section 5.5), each byte as one character.
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: Times are before this one: the last day of the year 9999 is out of reach of some time zones.
LAST_SECOND = 253402214400.0
