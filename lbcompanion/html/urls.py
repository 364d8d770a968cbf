"""URLs in markup and style sheets, as browsers read them: the URL Standard, as far as it concerns http and https.

``urljoin`` and ``urlsplit`` are no readers of URLs: the one hands some texts on unchanged, the other drops characters
from them. An address that was checked in one form and is used in another can be made to say two things. Here it is
read once. The result is printable ASCII: the text to check, to request and to record.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote_to_bytes

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_STRIPPED = "".join(map(chr, range(0x21)))
_REMOVED = str.maketrans("", "", "\t\n\r")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_ABSOLUTE_URL = re.compile(r"(https?)://([^/?]*)([^?]*)(?:\?(.*))?", re.ASCII | re.DOTALL)
_HOST = re.compile(r"[a-z0-9._-]+", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_DOT = re.compile(r"%2e", re.IGNORECASE)

#: The characters that are not encoded, beside letters, digits and ``_.-~`` (URL Standard section 1.3: the path and the
#: special-query percent-encode sets). ``%`` is not encoded either, so that nothing is encoded twice.
_IN_PATH = "!$%&'()*+,/:;=@[\\]|"
_IN_QUERY = "!$%&()*+,/:;=?@[\\]^`{|}"


def resolve_url(base: str, text: str) -> str:
    """Resolve a URL in a document to an absolute one without its fragment; empty if it is not an http or https URL.

    URLs with credentials are rejected too, because browsers do not fetch subresources from them; so are URLs with an
    invalid host or port.

    :param base: an absolute address as this function gave it, or empty: the text must be absolute then.
    """
    text = text.strip(_STRIPPED).translate(_REMOVED).partition("#")[0]
    scheme, relative_to, rest = _scheme_and_rest(base, text)
    if scheme not in _DEFAULT_PORTS:
        return ""
    before, question_mark, query = rest.partition("?")
    before = before.replace("\\", "/")
    if relative_to:
        return _resolve_relative(relative_to, before, question_mark, query)
    authority, slash, path = before.lstrip("/").partition("/")
    host = _authority(scheme, authority)
    return _serialised(scheme, host, slash + path, query) if host else ""


def _scheme_and_rest(base: str, text: str) -> tuple[str, str, str]:
    """The scheme, the base where the text is relative to it, and what follows the scheme."""
    named = _SCHEME.match(text)
    base_scheme = base.partition(":")[0]
    scheme = named[1].lower() if named else base_scheme
    rest = text[named.end() :] if named else text
    relative = scheme == base_scheme and rest[:2].replace("\\", "/") != "//"
    return scheme, base if relative else "", rest


def _resolve_relative(base: str, path: str, question_mark: str, query: str) -> str:
    absolute = _ABSOLUTE_URL.fullmatch(base)
    if absolute is None:
        return ""
    scheme, authority, base_path, base_query = absolute.groups("")
    if not path:
        return _serialised(scheme, authority, base_path, query if question_mark else base_query)
    if not path.startswith("/"):
        path = f"{base_path.rpartition('/')[0]}/{path}"
    return _serialised(scheme, authority, path, query)


def _authority(scheme: str, text: str) -> str:
    """Host and port as they are compared, the scheme's own port left out; empty: not to be read."""
    host, _, port = text.rpartition(":") if re.search(r":[0-9]*\Z", text, re.ASCII) else (text, "", "")
    host = _host(host)
    number = port.lstrip("0") or ("0" if port else "")
    if not host or len(number) > 5 or int(number or 0) > 0xFFFF:
        return ""
    return host if number in ("", _DEFAULT_PORTS[scheme]) else f"{host}:{number}"


def _host(text: str) -> str:
    try:
        if text.startswith("["):
            return f"[{IPv6Address(text[1:-1]).compressed}]" if text.endswith("]") and "%" not in text else ""
        name = unquote_to_bytes(text.encode("utf-8", "replace")).decode("utf-8")
        host = (name if name.isascii() else name.encode("idna").decode("ascii")).lower()
        if _NUMERIC_LABEL.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            # Browsers read more forms of an IPv4 address than this one; a file by such a one is left out.
            host = str(IPv4Address(host.removesuffix(".")))
    except (AddressValueError, UnicodeError):
        return ""
    return host if _HOST.fullmatch(host) else ""


def _serialised(scheme: str, authority: str, path: str, query: str) -> str:
    path = _percent_encoded("/".join(_without_dot_segments(path)), _IN_PATH)
    # Twisted sends neither empty parameters nor an empty query, so the address that is recorded has none.
    last = path.rpartition("/")[2]
    if last.find(";") == len(last) - 1:
        # Without it, ``.;`` becomes a dot segment.
        path = "/".join(_without_dot_segments(path.removesuffix(";")))
    return f"{scheme}://{authority}{path}" + (f"?{_percent_encoded(query, _IN_QUERY)}" if query else "")


def _without_dot_segments(path: str) -> list[str]:
    """The path's parts with ``.`` and ``..`` resolved; the first is empty."""
    segments: list[str] = []
    parts = path.split("/")[1:] or [""]
    for at, part in enumerate(parts):
        plain = _DOT.sub(".", part)
        if plain == "..":
            del segments[-1:]
        if plain not in (".", ".."):
            segments.append(part)
        elif at == len(parts) - 1:
            segments.append("")
    return ["", *segments]


def _percent_encoded(text: str, safe: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe)
