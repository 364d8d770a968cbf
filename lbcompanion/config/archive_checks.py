"""Checks of ``[crawler] archive``: the form of its URL, and whether the library for object stores is installed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from lbcompanion.config import file_checks
from lbcompanion.errors import InvalidValue

ALLOWED = "file:///FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; a PREFIX may be left out"
_INSTALL = "the same once its library is there (pip install 'lbcompanion[object-store]'), or file:///FOLDER"
_SCHEMES = ("file", "s3", "gs", "az")
# Without characters that a URL would have to encode, and without user, port, query and fragment.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9!_.'()=,+-]{1,255}", re.ASCII)


def archive_url(value: object, folder: Path) -> str:
    """Check the URL of the archive, and return it without a slash at its end.

    :raises InvalidValue: if the URL has no known form, its folder cannot be used, or the library is not installed.
    """
    if value == "":
        return ""
    if not isinstance(value, str):
        raise InvalidValue(ALLOWED)
    scheme, _, rest = value.partition("://")
    if scheme not in _SCHEMES or value != value.strip():
        raise InvalidValue(ALLOWED, _shown(value))
    if scheme == "file":
        return f"file://{_local_folder(value, rest, folder)}"
    bucket, *segments = rest.rstrip("/").split("/")
    if not _BUCKET.fullmatch(bucket) or not all(_is_segment(each) for each in segments):
        raise InvalidValue(ALLOWED, _shown(value))
    if find_spec("obstore") is None:
        raise InvalidValue(_INSTALL, f"{scheme}://, but obstore is not installed")
    return value.rstrip("/")


def _is_segment(text: str) -> bool:
    return text not in (".", "..") and _SEGMENT.fullmatch(text) is not None


def _local_folder(value: str, rest: str, base: Path) -> Path:
    if not rest.startswith("/") or len(rest) == 1 or any(char in rest for char in "%?#"):
        raise InvalidValue("file:///FOLDER, the absolute path of a folder, without % ? and #", _shown(value))
    return file_checks.folder(rest, base)


def _shown(value: str) -> str:
    # Between :// and @ may be a password.
    return f'"{re.sub(r"://[^/]*@", "://...@", value)}"'
