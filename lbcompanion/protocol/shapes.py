"""The syntax of the values that nodes, peers, browsers and the crawler send to each other.

Other modules define the meaning of each field; this one defines the allowed characters. All patterns are for
``fullmatch``.
"""

from __future__ import annotations

import re

from lbcompanion.protocol.tokens import MAX_CHARS

#: A token. :class:`lbcompanion.protocol.tokens.Tokens` checks whether this farm minted it.
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_CHARS}}}", re.ASCII)
#: ``Lbc-Nonce``: base64 of either alphabet, hexadecimal digits, a UUID.
NONCE = re.compile(r"[A-Za-z0-9_+/=.-]{1,128}", re.ASCII)

#: A page's URL in a browser's notice. UTF-8 cannot encode a lone surrogate.
BROWSER_URL = re.compile(r"https?://(?![/?#])[^\x00-\x20\x7f\ud800-\udfff]+", re.IGNORECASE)
#: A page's URL as a node writes it: the scheme in lower case, the rest as in the visitor's request.
PAGE_URL = re.compile(r"https?://(?![/?#])[^\x00-\x20\x7f]+")
#: A page's URL as a WARC record can contain it.
ASCII_URL = re.compile(r"https?://(?![/?#])[\x21-\x7e]+", re.ASCII)

#: A request's method (a token, RFC 9110 section 5.6.2), with a length beyond any real method.
METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
#: A request's method as a WARC record can contain it.
CAPITAL_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
#: An HTTP status code.
STATUS = re.compile(r"[1-5][0-9][0-9]", re.ASCII)
#: The number of bytes of a part of a body.
BYTE_COUNT = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
#: A field's value (RFC 9110 section 5.5), each byte as one character.
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: All times must be before this one: in some time zones the last day of 9999 cannot be represented.
LAST_SECOND = 253402214400.0
