"""The recorder script as it is served: its source with the configuration, and the version in its address."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

from attrs import frozen

_CONFIG = b"{/* lbc:config */}"
_VERSION_CHARS = 16


@frozen
class RecorderScript:
    """One version of the script.

    :ivar source: the bytes to serve.
    :ivar version: the value of ``?v=``, a hash of the source.
    """

    source: bytes
    version: str


def recorder_source(
    names: Iterable[str],
    prefix: str = "/_lbc",
    *,
    clicktale_names: bool = False,
    ratio: float = 1.0,
    visitor_cookie: str = "WRUID",
    identify: bool = False,
    force_parameter: str = "",
) -> bytes:
    """The script for one node's configuration.

    :param names: sticky cookies to record: names, or patterns between slashes, found anywhere in a name.
    :param ratio: the share of new visitors that is recorded.
    :param visitor_cookie: set in the browser where ``ratio`` is below 1; with 0 in it nothing is posted.
    :param identify: whether the script gives a visitor without a value of his own one, for the session.
    :param force_parameter: in the page's query: no lots are drawn; empty for none.
    """
    config = {
        "names": list(names),
        "prefix": prefix,
        "clicktaleNames": clicktale_names,
        "ratio": ratio,
        "visitorCookie": visitor_cookie,
        "identify": identify,
        "force": force_parameter,
    }
    source = (files("lbcompanion.recorder") / "recorder.js").read_bytes()
    return source.replace(_CONFIG, json.dumps(config).replace("<", "\\u003c").encode("ascii"))


def versioned_script(source: bytes) -> RecorderScript:
    """The script with the version of its source."""
    return RecorderScript(source, sha256(source).hexdigest()[:_VERSION_CHARS])
