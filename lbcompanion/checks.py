"""What a single value of the configuration may be: one small check for each kind, each of which says what is right.

A check takes the value as TOML gave it and the folder of the file, and gives the value as the settings want it.
Files that a value names are read here; nothing is opened on the network, ever.
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

#: What is asked of the farm's secret and of a key that copies are encrypted with, white space around it taken off.
SECRET_MIN_BYTES = 16
#: A ``token`` of RFC 9110 section 5.6.2: names of header fields, cookies and methods.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
#: The same without small letters: methods are case-sensitive, and the registered ones are written in capitals.
UPPER_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Z]+", re.ASCII)
_MAX_SHOWN_CHARS = 80
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?", re.ASCII)


def format_value(value: object) -> str:
    """A value as a message shows it: much as TOML writes it, cut where it is long."""
    if isinstance(value, dict):
        return "a table"
    try:
        written = json.dumps(value, ensure_ascii=False)
    except TypeError:  # TOML's dates
        written = str(value)
    return written if len(written) <= _MAX_SHOWN_CHARS else written[: _MAX_SHOWN_CHARS - 3] + "..."


def boolean(value: object, folder: Path) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidValue("true or false")
    return value


def integer(minimum: int, maximum: int | None = None) -> Check:
    """A whole number between bounds, which are allowed themselves. A boolean is not a number here."""
    allowed = f"a whole number, {minimum} or more" if maximum is None else f"a whole number from {minimum} to {maximum}"

    def check(value: object, folder: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(allowed)
        if value < minimum or (maximum is not None and value > maximum):
            raise InvalidValue(allowed)
        return value

    return check


def number(minimum: float, maximum: float | None = None, *, exclude_minimum: bool = False) -> Check:
    """A finite number between bounds.

    :param exclude_minimum: the lower bound itself is not allowed.
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
    """A string that matches as a whole; without a pattern, any string without control characters.

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
    """One of a few words."""
    allowed = ", ".join(f'"{word}"' for word in words)

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or value not in words:
            raise InvalidValue(allowed)
        return value

    return check


def list_of(check_item: Check, allowed: str, *, minimum: int = 0, unique: bool = False) -> Check:
    """A list, every item of which passes a check of its own.

    :param allowed: what the whole list is, for the message.
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
    """A table with free keys."""

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
    """Whether a node may be called so."""
    return NODE_NAME.fullmatch(name) is not None


def origin(*, empty: bool) -> Check:
    """``http(s)://HOST[:PORT]`` and nothing after it."""
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
    """A URL as a message may show it."""
    return '"' + re.sub(r"//[^/@]*@", "//...@", value) + '"'


def host_name(value: object, folder: Path) -> str:
    """A host's name as it is compared: in small letters, without a dot at the end."""
    if not isinstance(value, str) or len(value) > 254 or not _HOST_NAME.fullmatch(value):
        raise InvalidValue("host names such as admin.example.com, without a port")
    return value.lower().removesuffix(".")


def network(value: object, folder: Path) -> IPv4Network | IPv6Network:
    """A CIDR block, or one address."""
    allowed = "CIDR blocks such as 10.0.0.0/8 or 2001:db8::/32, host bits zero"
    if not isinstance(value, str):
        raise InvalidValue(allowed)
    try:
        return ip_network(value)
    except ValueError:
        raise InvalidValue(allowed) from None


def prefix(value: object, folder: Path) -> str:
    """The path below which everything of ours is found."""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise InvalidValue("a path such as /_lbc: letters, digits and -._~, no slash at the end")
    return value


def bytes_pattern(value: object, folder: Path) -> str:
    """A regular expression to be searched in a page's bytes; empty: none."""
    if not isinstance(value, str):
        raise InvalidValue("a regular expression, or empty")
    try:
        re.compile(value.encode())
    except (re.error, UnicodeError) as error:
        raise InvalidValue(f"a regular expression, or empty ({error})") from None
    return value


def cookie_name(value: object, folder: Path) -> str:
    """The name of a cookie, or a pattern between slashes that is searched in names."""
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
    """``NAME=VALUE``, or empty. What stands there is not shown."""
    allowed = 'a cookie such as "SRV=n1", or empty'
    if not isinstance(value, str):
        raise InvalidValue(allowed)
    name, equals, rest = value.partition("=")
    if value and not (equals and TOKEN.fullmatch(name) and rest.isascii() and rest.isprintable() and ";" not in rest):
        raise InvalidValue(allowed, "no such pair")
    return value


def path(value: object, folder: Path) -> Path:
    """A path; a relative one starts at the file's folder."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidValue("a path")
    return (folder / value).absolute()


def optional_path(value: object, folder: Path) -> Path | None:
    """The same, or None for the empty string."""
    return None if value == "" else path(value, folder)


def read_file(file: Path, allowed: str) -> bytes:
    """What a file holds.

    :raises InvalidValue: where it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidValue(allowed, f'"{file}" ({error.strerror})') from None


def readable_file(description: str, *, empty: bool = True) -> Check:
    """The path of a file that can be read, or None for the empty string."""
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
    """What a file with a secret or a key holds, without white space around it.

    :raises InvalidValue: where it cannot be read, or is too short.
    """
    allowed = f"a file that can be read, with a secret of {SECRET_MIN_BYTES} bytes or more"
    secret = read_file(file, allowed).strip()
    if len(secret) < SECRET_MIN_BYTES:
        raise InvalidValue(allowed, f'"{file}" with {len(secret)} bytes in it')
    return secret


def encryption_key_file(value: object, folder: Path) -> Path | None:
    """The path of a file with a key to seal copies with, or None for the empty string."""
    file = optional_path(value, folder)
    if file is not None:
        read_secret(file)
    return file


def ed25519_public_key(value: object, folder: Path) -> bytes:
    """The PEM text of the Ed25519 public key that a file holds."""
    allowed = "a file with an Ed25519 public key in PEM"
    pem = read_file(path(value, folder), allowed)
    try:
        read_public_key(pem)
    except ValueError:
        raise InvalidValue(allowed) from None
    return pem
