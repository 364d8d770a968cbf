"""Pages through the rewriting for the replay, judged by other parsers of HTML and CSS.

An input is an encoding, in one byte, and a page. Broken is: whatever raises; a page in which something would be loaded
from elsewhere than the replay, or a script would run.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from random import Random

from fuzz.target import Target
from fuzz.targets.html import TOKENS
from lbcompanion.crawler.replay.addresses import ReplayAddresses, replay_address
from lbcompanion.crawler.replay.html_rewriting import rewrite_page
from tests.support.hostile_pages import HOSTILE
from tests.support.loading_parts import unrewritten

_URL = "http://www.example.com/a/b?c=d"
_ENCODINGS = ("", "; charset=utf-8", "; charset=windows-1252", "; charset=shift_jis", "; charset=utf-16le")
_WORDS = """
src= href= xlink:href= srcset= style= srcdoc= poster= background= data= action= formaction= ping= //evil http://evil/x
url( url(//e) '//e' "//e" @import @namespace image-set( src( \\75rl( ) } { ; : /* */ \\ \\0a &quot; &#104; &colon; <img
<image <use <feImage <a <area <form <input <video <source <object <embed <iframe <frame <link~rel=stylesheet <meta
<base <style> </style> <script </script <svg> </svg> <math> </math> <math><annotation-xml> <foreignObject> <set
<animate attributeName=href to= values= from= http-equiv=refresh content=0;url=//e onload=x <![CDATA[ ]]> <!-- --> `
"""


def _seeds(_random: Random) -> Sequence[bytes]:
    pages = [page.replace("{t}", "http://t.test").replace("{{", "{").replace("}}", "}") for page in HOSTILE.values()]
    return [b"\0" + page.encode() for page in pages]


def _check(data: bytes) -> Hashable:
    content_type = "text/html" + _ENCODINGS[data[0] % len(_ENCODINGS)] if data else "text/html"
    resolve = ReplayAddresses("T", "utf-8", {}, {})
    found = rewrite_page(data[1:], _URL, content_type, resolve)
    shown = found.body.decode("utf-8")
    prefix = replay_address("T")
    left = unrewritten(shown, lambda address: address.startswith(prefix))
    if left:
        raise AssertionError(f"not rewritten: {left[:3]}")
    return len(found.missing) > 0, found.refresh is not None, "<style" in shown, "<svg" in shown, "srcdoc" in shown


TARGET = Target(
    seeds=_seeds,
    tokens=(*TOKENS, *(word.replace("~", " ").encode() for word in _WORDS.split())),
    check=_check,
    choices=1,
    short_run=300,
    max_bytes=8192,
)
