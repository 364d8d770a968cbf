"""Checks of single configuration values; the error of a check says which values are allowed.

A check takes the parsed TOML value and the folder of the file. It returns the value for the settings, or raises
:class:`~lbcompanion.errors.InvalidValue`. Checks read the files that a value names, and never use the network.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lbcompanion.errors import InvalidValue
from lbcompanion.model import NODE_NAME
from lbcompanion.protocol.keys import read_public_key

#: A check: (value, folder of the configuration file) -> the value for the settings.
Check = Callable[[object, Path], Any]

#: Minimum length of the farm's secret and of the encryption key, without surrounding white space.
SECRET_MIN_BYTES = 16
#: A ``token`` of RFC 9110 section 5.6.2: names of header fields, cookies and methods.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
#: A ``token`` without lower-case letters: methods are case-sensitive, and all registered ones are upper-case.
UPPER_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Z]+", re.ASCII)
_MAX_SHOWN_CHARS = 80
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?", re.ASCII)


def format_value(value: object) -> str:
    """Format a value for a message: similar to TOML, truncated if it is long."""
    if isinstance(value, dict):
        return "a table"
    try:
        written = json.dumps(value, ensure_ascii=False)
    except TypeError:  # TOML's dates
        written = str(value)
    return written if len(written) <= _MAX_SHOWN_CHARS else written[: _MAX_SHOWN_CHARS - 3] + "..."


def boolean(value: object, folder: Path) -> bool:
    """Check a boolean."""
    if not isinstance(value, bool):
        raise InvalidValue("true or false")
    return value


def integer(minimum: int, maximum: int | None = None) -> Check:
    """Make a check for an integer between inclusive bounds. A boolean is not an integer here."""
    allowed = f"a whole number, {minimum} or more" if maximum is None else f"a whole number from {minimum} to {maximum}"

    def check(value: object, folder: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(allowed)
        if value < minimum or (maximum is not None and value > maximum):
            raise InvalidValue(allowed)
        return value

    return check


def number(minimum: float, maximum: float | None = None, *, exclude_minimum: bool = False) -> Check:
    """Make a check for a finite number between inclusive bounds.

    :param exclude_minimum: exclude the lower bound.
    """
    allowed = f"a number {'above' if exclude_minimum else 'from'} {minimum:g}" + (
        "" if maximum is None else f" to {maximum:g}"
    )

    def check(value: object, folder: Path) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidValue(allowed)
        if value < minimum or (exclude_minimum and value == minimum) or (maximum is not None and value > maximum):
            raise InvalidValue(allowed)
        return float(value)

    return check


def text(pattern: re.Pattern[str] | None, allowed: str, *, empty: bool = False) -> Check:
    """Make a check for a string that matches the whole pattern; without a pattern, for any printable string.

    :param allowed: the allowed values, for the message.
    :param empty: whether the empty string is allowed as well.
    """

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str):
            raise InvalidValue(allowed)
        if not value:
            if empty:
                return value
            raise InvalidValue(allowed)
        if not value.isprintable() or (pattern is not None and not pattern.fullmatch(value)):
            raise InvalidValue(allowed)
        return value

    return check


def choice(*words: str) -> Check:
    """Make a check for one of some words."""
    allowed = ", ".join(f'"{word}"' for word in words)

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or value not in words:
            raise InvalidValue(allowed)
        return value

    return check


def list_of(check_item: Check, allowed: str, *, minimum: int = 0, unique: bool = False) -> Check:
    """Make a check for a list, which applies another check to each item.

    :param allowed: the allowed lists, for the message.
    :param minimum: the minimum length.
    :param unique: whether all items must differ.
    """

    def check(value: object, folder: Path) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < minimum:
            raise InvalidValue(allowed)
        checked = tuple(_check_item(check_item, item, folder) for item in value)
        if unique and len(set(checked)) < len(checked):
            raise InvalidValue(f"{allowed}, each once")
        return checked

    return check


def _check_item(check_item: Check, item: object, folder: Path) -> Any:
    try:
        return check_item(item, folder)
    except InvalidValue as error:
        raise InvalidValue(error.allowed, error.shown_value or f"a list with {format_value(item)}") from None


def mapping(check_key: Callable[[str], bool], key_allowed: str, check_item: Check) -> Check:
    """Make a check for a table with free keys, which applies another check to each value."""

    def check(value: object, folder: Path) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise InvalidValue("a table")
        for key in value:
            if not check_key(key):
                raise InvalidValue(key_allowed, f'named "{key}"')
        return {key: _check_entry(key, check_item, item, folder) for key, item in value.items()}

    return check


def _check_entry(key: str, check_item: Check, item: object, folder: Path) -> Any:
    try:
        return check_item(item, folder)
    except InvalidValue as error:
        raise InvalidValue(error.allowed, error.shown_value or format_value(item), key) from None


def is_node_name(name: str) -> bool:
    """Whether this is a valid node name."""
    return NODE_NAME.fullmatch(name) is not None


def origin(*, empty: bool) -> Check:
    """Make a check for an origin: ``http(s)://HOST[:PORT]`` without a path."""
    allowed = "an origin such as https://www.example.com, without a path" + (", or empty" if empty else "")

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise InvalidValue(allowed)
        if value and not _is_origin(value):
            raise InvalidValue(allowed, hide_password(value))
        return value

    return check


def _is_origin(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    bare = f"[{host}]" if ":" in host else host
    written = f"{parts.scheme}://{bare}" + ("" if port is None else f":{port}")
    return parts.scheme in ("http", "https") and bool(_HOST.fullmatch(host)) and written == value.lower() and port != 0


def hide_password(value: str) -> str:
    """Format a URL for a message, without user and password. A password may contain ``/`` and ``@`` by mistake."""
    return '"' + re.sub(r"//.*@", "//...@", value, flags=re.DOTALL) + '"'


def has_password(url: str) -> bool:
    """Whether a URL contains a password."""
    return re.search(r"//[^/?#@]*:[^/?#]+@", url) is not None


def host_name(value: object, folder: Path) -> str:
    """Check a host name; return it in lower case and without a trailing dot, for comparisons."""
    if not isinstance(value, str) or len(value) > 254 or not _HOST_NAME.fullmatch(value):
        raise InvalidValue("host names such as admin.example.com, without a port")
    return value.lower().removesuffix(".")


def network(value: object, folder: Path) -> IPv4Network | IPv6Network:
    """Check a CIDR block or an address."""
    allowed = "CIDR blocks such as 10.0.0.0/8 or 2001:db8::/32, host bits zero"
    if not isinstance(value, str):
        raise InvalidValue(allowed)
    try:
        return ip_network(value)
    except ValueError:
        raise InvalidValue(allowed) from None


def prefix(value: object, folder: Path) -> str:
    """Check the path prefix of the companion's own resources."""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise InvalidValue("a path such as /_lbc: letters, digits and -._~, no slash at the end")
    return value


def bytes_pattern(value: object, folder: Path) -> str:
    """Check a regular expression that is searched in a page's bytes; it may be empty."""
    if not isinstance(value, str):
        raise InvalidValue("a regular expression, or empty")
    try:
        re.compile(value.encode())
    except (re.error, UnicodeError) as error:
        raise InvalidValue(f"a regular expression, or empty ({error})") from None
    return value


def cookie_name(value: object, folder: Path) -> str:
    """Check a cookie name, or a pattern between slashes that is searched in names."""
    allowed = "cookie names, or patterns between slashes such as /SRV[0-9]+/"
    if not isinstance(value, str) or not value:
        raise InvalidValue(allowed)
    if len(value) > 2 and value[0] == value[-1] == "/":
        try:
            re.compile(value[1:-1])
        except re.error as error:
            raise InvalidValue(f"{allowed} ({error})") from None
    elif not TOKEN.fullmatch(value):
        raise InvalidValue(allowed)
    return value


def cookie_pair(value: object, folder: Path) -> str:
    """Check ``NAME=VALUE``, or empty. The message does not show the value."""
    allowed = 'a cookie such as "SRV=n1", or empty'
    if not isinstance(value, str):
        raise InvalidValue(allowed)
    name, equals, rest = value.partition("=")
    if value and not (equals and TOKEN.fullmatch(name) and rest.isascii() and rest.isprintable() and ";" not in rest):
        raise InvalidValue(allowed, "no such pair")
    return value


def path(value: object, folder: Path) -> Path:
    """Check a path. A relative path starts at the file's folder; the result is absolute."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidValue("a path")
    return (folder / value).absolute()


def optional_path(value: object, folder: Path) -> Path | None:
    """Check a path as :func:`path`; return None for the empty string."""
    return None if value == "" else path(value, folder)


def read_file(file: Path, allowed: str) -> bytes:
    """Read a file.

    :raises InvalidValue: if it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidValue(allowed, f'"{file}" ({error.strerror})') from None


def readable_file(description: str, *, empty: bool = True) -> Check:
    """Make a check for the path of a readable file. If ``empty``, the empty string is allowed and gives None."""
    allowed = f"{description} that can be read" + (", or empty" if empty else "")

    def check(value: object, folder: Path) -> Path | None:
        if value == "" and empty:
            return None
        if not isinstance(value, str) or not value:
            raise InvalidValue(allowed)
        file = path(value, folder)
        read_file(file, allowed)
        return file

    return check


def read_secret(file: Path) -> bytes:
    """Read a file with a secret or a key, and strip surrounding white space.

    :raises InvalidValue: if the file cannot be read, or the secret is too short.
    """
    allowed = f"a file that can be read, with a secret of {SECRET_MIN_BYTES} bytes or more"
    secret = read_file(file, allowed).strip()
    if len(secret) < SECRET_MIN_BYTES:
        raise InvalidValue(allowed, f'"{file}" with {len(secret)} bytes in it')
    return secret


def encryption_key_file(value: object, folder: Path) -> Path | None:
    """Check the path of the encryption key's file; return None for the empty string."""
    file = optional_path(value, folder)
    if file is not None:
        read_secret(file)
    return file


def ed25519_public_key(value: object, folder: Path) -> bytes:
    """Check the path of a file with an Ed25519 public key; return the PEM text."""
    allowed = "a file with an Ed25519 public key in PEM"
    pem = read_file(path(value, folder), allowed)
    try:
        read_public_key(pem)
    except ValueError:
        raise InvalidValue(allowed) from None
    return pem
