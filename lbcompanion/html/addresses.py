"""Addresses in markup and style sheets, as browsers read them: the URL Standard, as far as it concerns http and https.

``urljoin`` and ``urlsplit`` are no readers of URLs: the one hands some texts on unchanged, the other drops characters
from them. An address that was checked in one form and is used in another can be made to say two things. Here it is
read once, and what comes out is printable ASCII: the text to check, to request and to record.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote_to_bytes

_PORTS = {"http": "80", "https": "443"}
_AROUND = "".join(map(chr, range(0x21)))
_INSIDE = str.maketrans("", "", "\t\n\r")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_WHOLE = re.compile(r"(https?)://([^/?]*)([^?]*)(?:\?(.*))?", re.ASCII | re.DOTALL)
_HOST = re.compile(r"[a-z0-9._-]+", re.ASCII)
_LABEL_OF_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_DOT = re.compile(r"%2e", re.IGNORECASE)

#: What stays as it is, beside letters, digits and ``_.-~`` (URL Standard section 1.3: the path and the special-query
#: percent-encode sets). ``%`` stays as well: what is encoded is not encoded twice.
_IN_PATH = "!$%&'()*+,/:;=@[\\]|"
_IN_QUERY = "!$%&()*+,/:;=?@[\\]^`{|}"


def joined(base: str, text: str) -> str:
    """The absolute address that a text means in a document, without its fragment; empty where it is none of HTTP's.

    An address with a user's name or password is none either: browsers fetch no file of a page by such a one. Nor is
    one whose port or host cannot be read.

    :param base: an absolute address as this function gave it, or empty: the text must be absolute then.
    """
    text = text.strip(_AROUND).translate(_INSIDE).partition("#")[0]
    scheme, own, rest = _scheme_and_rest(base, text)
    if scheme not in _PORTS:
        return ""
    before, mark, query = rest.partition("?")
    before = before.replace("\\", "/")
    if own:
        return _beside(own, before, mark, query)
    authority, slash, path = before.lstrip("/").partition("/")
    host = _authority(scheme, authority)
    return _written(scheme, host, slash + path, query) if host else ""


def _scheme_and_rest(base: str, text: str) -> tuple[str, str, str]:
    """The scheme, the base where the text is relative to it, and what follows the scheme."""
    named = _SCHEME.match(text)
    base_scheme = base.partition(":")[0]
    scheme = named[1].lower() if named else base_scheme
    rest = text[named.end() :] if named else text
    relative = scheme == base_scheme and rest[:2].replace("\\", "/") != "//"
    return scheme, base if relative else "", rest


def _beside(base: str, path: str, mark: str, query: str) -> str:
    whole = _WHOLE.fullmatch(base)
    if whole is None:
        return ""
    scheme, authority, base_path, base_query = whole.groups("")
    if not path:
        return _written(scheme, authority, base_path, query if mark else base_query)
    if not path.startswith("/"):
        path = f"{base_path.rpartition('/')[0]}/{path}"
    return _written(scheme, authority, path, query)


def _authority(scheme: str, written: str) -> str:
    """Host and port as they are compared, the scheme's own port left out; empty: not to be read."""
    host, _, port = written.rpartition(":") if re.search(r":[0-9]*\Z", written, re.ASCII) else (written, "", "")
    host = _host(host)
    number = port.lstrip("0") or ("0" if port else "")
    if not host or len(number) > 5 or int(number or 0) > 0xFFFF:
        return ""
    return host if number in ("", _PORTS[scheme]) else f"{host}:{number}"


def _host(written: str) -> str:
    try:
        if written.startswith("["):
            return f"[{IPv6Address(written[1:-1]).compressed}]" if written.endswith("]") and "%" not in written else ""
        name = unquote_to_bytes(written.encode("utf-8", "replace")).decode("utf-8")
        host = (name if name.isascii() else name.encode("idna").decode("ascii")).lower()
        if _LABEL_OF_A_NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            # Browsers read more forms of an IPv4 address than this one; a file by such a one is left out.
            host = str(IPv4Address(host.removesuffix(".")))
    except (AddressValueError, UnicodeError):
        return ""
    return host if _HOST.fullmatch(host) else ""


def _written(scheme: str, authority: str, path: str, query: str) -> str:
    path = _encoded("/".join(_segments(path)), _IN_PATH)
    # Twisted sends neither empty parameters nor an empty query, so the address that is recorded has none.
    last = path.rpartition("/")[2]
    if last.find(";") == len(last) - 1:
        path = path.removesuffix(";")
    return f"{scheme}://{authority}{path}" + (f"?{_encoded(query, _IN_QUERY)}" if query else "")


def _segments(path: str) -> list[str]:
    """The path's parts with ``.`` and ``..`` resolved; the first is empty."""
    kept: list[str] = []
    parts = path.split("/")[1:] or [""]
    for at, part in enumerate(parts):
        plain = _DOT.sub(".", part)
        if plain == "..":
            del kept[-1:]
        if plain not in (".", ".."):
            kept.append(part)
        elif at == len(parts) - 1:
            kept.append("")
    return ["", *kept]


def _encoded(text: str, safe: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe)
