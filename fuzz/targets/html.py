"""Pages through the injecting machine, the prescan and the making of copies.

An input is what to do, in a dozen bytes, and a page. Broken is: whatever raises; a page that is not the input when our
snippets are taken out of it; another output for another cut; a document that another parser reads otherwise; a copy
that lacks more than was to be left out of it, or less.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from itertools import pairwise
from random import Random
from typing import Any
from unittest import SkipTest

from fuzz.target import Target
from lbcompanion.html import charset
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.fast_path import fast_head_end, fast_head_start
from lbcompanion.html.inject import Injector
from lbcompanion.html.masks import KEPT_ATTRIBUTES, Masks, RedactionError
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.place_patterns import InsertionPoint, InsertionPoints
from lbcompanion.html.redaction import redact
from lbcompanion.settings import CaptureTable
from tests.html.cases.position import PAGES
from tests.support.html_corpus import documents
from tests.support.html_tree import Tree
from tests.support.prescan import UNKNOWN, prescanned

TOKEN = "FuZzToKeN5e0c"
TOP = f'<script async src="/_lbc/fetch-from.js?v=1" data-lbc-token="{TOKEN}"></script>'.encode()
BOTTOM = f"<script data-lbc-token={TOKEN}>bottom('{TOKEN}')</script>".encode()
MASKS = Masks(CaptureTable().mask)
MORE_MASKS = Masks([".secret", "textarea", "template > b", "[data-x~=y]", "p b", "meta[name=csrf]"])

# Between blanks; a tilde stands for one inside of a token.
_WORDS = """
<html> <html~lang=en> </html> <head> </head> <head/> <body> </body> </body <body~class=x> <frameset> <frame> <p> </p>
<b> </b> <div> </div> <a~href=x> </a> <br> </br> <table> <tr> <td> </table> <select> <option> </select> <hr> <col>
<!doctype~html> <!DOCTYPE~html> <!DOCTYPE <!-- --> --!> <!--> <!---> - -- <! <? ?> <?xml </ </> < > / " ' = & &amp;
<script> </script> </script <script~src=x> <style> </style> <title> </title> <textarea> </textarea> <noscript>
</noscript> <iframe> </iframe> <noembed> <noframes> </noframes> <xmp> </xmp> <plaintext> <template> </template>
<template~shadowrootmode=open> <svg> </svg> <svg/> <math> </math> <mi> </mi> <mtext> <foreignObject> </foreignObject>
<desc> </desc> <annotation-xml~encoding=text/html> <![CDATA[ ]]> <link~rel=x> <base~href=/> <image> <!--x-->
<meta~charset=utf-8> <meta~charset=utf-16> <meta~charset=iso-2022-jp> <meta <meta~charset= charset=x
<meta~http-equiv=content-type~content="text/html;~charset=utf-8"> http-equiv= content= data-lbc-token <keygen>
<meta~http-equiv=content-security-policy~content="script-src"> <script~data-lbc-token=x> lbc:exclude <form> </form>
<!--lbc:exclude--> <!--~/lbc:exclude~--> <!--lbc:exclude <input~type=password~value=SECRET> <input <input>
<input~autocomplete=cc-number~value=SECRET> type=password value=SECRET autocomplete=cc-csc class=secret data-x=y
<i~class=secret>SECRET</i> amp <html~amp> \u26a1 <html~\u26a14ads> \ufeff \u00e9 <input~type=PASSWORD~value="a>b">
[ ] $1 \\1 {token} <search> <meta~name=csrf~content=SECRET>
"""
TOKENS: tuple[bytes, ...] = (
    *(word.replace("~", " ").encode() for word in _WORDS.split()),
    *(
        b" ",
        b"\n",
        b"\t",
        b"\r\n",
        b"\x0c",
        b"\x00",
        b"\x1b$B",
        b"\xff",
        b"a" * 1000,
        b"<!--" + b" " * 990 + b"-->",
        b"<a " + b"b=c " * 1500,
    ),
)

_ENCODINGS = ("", "", "", "", "utf-16-le", "utf-16-be")
_PATTERNS = (None, None, None, re.compile(b"<p>"), re.compile(b"</body>"), re.compile(b"x|<"), re.compile(b""))
_POLICIES: tuple[Any, ...] = (
    None,
    lambda result: "script-src",
    lambda result: (TOP, BOTTOM),
    lambda result: (BOTTOM, b""),
)
_CUTS = 6
_CHOICES = 8 + _CUTS
_EVERY_CUT_BYTES = 300
_TREE_BYTES = 1500
# An attribute whose name begins with "=" (13.2.5.32) is written by the mask's rewriter so that it reads as a value:
# what was to be masked is, but the element's attributes are others.
_EQUALS_NAME = re.compile(rb"[\t\n\f\r /]=")
# What the other parser reads otherwise than the HTML Standard says: "---!>" ends a comment (13.2.5.51) and "<!--!>"
# does not (13.2.5.43), one byte order mark is taken away and not two (Encoding, section 6), and "</br>" ends the head
# (13.2.6.4.4).
_MISREAD = re.compile(rb"(?i)---!>|<!--!>|\A(?:\xef\xbb\xbf){2}|</br")


class Plan:
    """The options that the first bytes of an input choose.

    :ivar page: the rest of it.
    """

    def __init__(self, data: bytes) -> None:
        control, page = data[:_CHOICES].ljust(_CHOICES, b"\0"), data[_CHOICES:]
        encoding = _ENCODINGS[control[0] % len(_ENCODINGS)]
        if encoding:
            page = page.decode("latin-1").encode(encoding)
            page = (b"\xff\xfe" if encoding == "utf-16-le" else b"\xfe\xff") * (control[0] >= 128) + page
        self.page = page
        self.top, self.bottom = TOP, BOTTOM if control[1] % 2 else b""
        top, bottom = _PATTERNS[control[2] % len(_PATTERNS)], _PATTERNS[control[3] % len(_PATTERNS)]
        insertion_points = InsertionPoints(
            top and InsertionPoint(top, control[2] >= 128), bottom and InsertionPoint(bottom, control[3] >= 128)
        )
        self.settings: dict[str, Any] = {
            "top_at_head_end": control[1] >= 128,
            "xhtml": control[4] % 8 == 7,
            "charset_known": control[4] >= 128,
            "needs_document": control[5] % 8 == 7,
            "on_policies": _POLICIES[control[6] % len(_POLICIES)],
            "insertion_points": insertion_points if top or bottom else None,
            "skip_if": re.compile(b"lbc") if control[5] >= 250 else None,
            "utf_16": ("", "utf-16le", "utf-16be")[control[7] % 3] if control[7] >= 200 else "",
        }
        self.cuts = sorted(len(page) * one // 256 for one in control[8:])
        self.cut_off = control[8] >= 128
        changed = insertion_points.top or insertion_points.bottom or self.settings["xhtml"] or self.settings["utf_16"]
        self.as_document = not (encoding or changed)
        self.more_masks = control[5] % 2 == 1
        self.excludes = control[6] < 200
        self.by_tree = control[7] % 4 == 0 and len(page) <= _TREE_BYTES and not _MISREAD.search(page)


def check(data: bytes) -> Hashable:
    """Do everything to one page."""
    plan = Plan(data)
    return _check_injector(plan), _check_fast_path(plan), _check_prescan(plan), _check_copy(plan)


def _inject(plan: Plan, cuts: Sequence[int]) -> tuple[bytes, Injector]:
    injector = Injector(plan.top, plan.bottom, **plan.settings)
    out = [injector.feed(plan.page[a:b]) for a, b in pairwise([0, *cuts, len(plan.page)])]
    return b"".join(out) + injector.finish(), injector


def _check_injector(plan: Plan) -> Hashable:
    page = plan.page
    out, injector = _inject(plan, ())
    assert injector.refusal is not Refusal.FAILED, "the machine failed"
    assert injector.inserted == (injector.refusal is None), "neither inserted nor refused, or both"
    assert without_snippets(out) == page, "another page"
    assert injector.inserted == (out != page), "reported as inserted, but the page is unchanged"
    ways = [plan.cuts]
    if len(page) <= _EVERY_CUT_BYTES:
        ways.append(list(range(1, len(page))))
    for cuts in ways:
        again, other = _inject(plan, cuts)
        assert again == out, f"another cut, another page: {cuts}"
        assert (other.inserted, other.refusal) == (injector.inserted, injector.refusal), "another cut, another verdict"
    if plan.cut_off:
        cut = Injector(plan.top, plan.bottom, **plan.settings)
        part = page[: plan.cuts[-1]]
        assert without_snippets(cut.feed(part) + cut.flush()) == part, "a page cut off lost something"
    if plan.by_tree and plan.as_document:
        before, after = Tree(page, TOKEN), Tree(out, TOKEN)
        assert all(after.ours), "a dead script"
        assert after.shown == before.shown, "another document"
    at = _at(page, out)
    return injector.refusal, injector.directive, plan.as_document, plan.settings["xhtml"], at, len(out) - len(page)


def _check_fast_path(plan: Plan) -> Hashable:
    """The fast path gives the result of the full injector."""
    settings = plan.settings
    if settings["utf_16"] or settings["xhtml"]:
        return None
    charset_known, at_head_end = settings["charset_known"], settings["top_at_head_end"]
    find_place = fast_head_end if at_head_end else fast_head_start
    place = find_place(plan.page, "utf-8" if charset_known else None, len(TOP))
    if place is not None:
        for needs_document in (False, True):
            injector = Injector(
                TOP,
                top_at_head_end=at_head_end,
                charset_known=charset_known,
                needs_document=needs_document,
                on_policies=_asked,
            )
            assert injector.feed(plan.page) + injector.finish() == plan.page[:place] + TOP + plan.page[place:]
            assert injector.inserted
    return place


def _asked(policies: tuple[str, ...]) -> str:
    raise AssertionError("a policy where none was seen")


def _at(page: bytes, out: bytes) -> int:
    """The offset of the first difference, by its order of magnitude."""
    same = next((at for at in range(0, len(page), 16) if page[at : at + 16] != out[at : at + 16]), len(page))
    return same.bit_length()


def without_snippets(out: bytes) -> bytes:
    """The output without one of each inserted snippet."""
    for snippet in (TOP, BOTTOM):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            out = out.replace(snippet.decode().encode(encoding), b"", 1)
    return out


def _check_prescan(plan: Plan) -> Hashable:
    page = plan.page
    found = charset.prescan(page)
    # The standard reads no character references here; browsers do, and so do we.
    if plan.by_tree and b"&" not in page[: charset.PRESCAN_BYTES]:
        assert prescanned(page) in (found and found.name, UNKNOWN), (
            "another <meta charset> than by the standard's words"
        )
    charset.content_type_charset(page[:200])
    assert charset.find_meta_charset(page) == found
    assert lowered(page) == page.lower()
    if found is None:
        return None
    assert 0 <= found.start < found.end <= charset.PRESCAN_BYTES
    assert page[found.start : found.start + 5].lower() == b"<meta"
    assert charset.page_charset(b"", page) == (charset.bom_charset(page) or found.name)
    assert charset.prescan(page[: found.end]) == found, "what follows the tag changes what it says"
    return charset.supports_insertion(found.name), found.start.bit_length()


def _check_copy(plan: Plan) -> Hashable:
    page = plan.page
    masks = MORE_MASKS if plan.more_masks else MASKS
    result = charset.bom_charset(page) or charset.page_charset(b"", page)
    try:
        copy = redact(page, exclude_blocks=plan.excludes, masks=masks, charset=result)
    except RedactionError as error:
        return str(error)
    if not charset.is_ascii_compatible(result):
        return "transcoded", copy is page
    if b"srcdoc" in page.lower():
        return copy is page, "frames"
    if plan.excludes and b"lbc:exclude" in page.lower() and _HIDES_COMMENTS.search(page.replace(b"<!--", b"")):
        return copy is page, "marks that may be no comments"
    without = without_blocks(page) if plan.excludes else page
    candidates = masks.candidates(page.lower())
    if not candidates:
        assert copy == without, "more is missing than the excluded blocks, or less"
        assert (copy is page) or copy != page, "a page in which nothing matches is not given back as it came"
    if plan.by_tree and not plan.more_masks and candidates and copy != page and without == page:
        _check_masked(page, copy)
    return copy is page, tuple(candidates), len(without) == len(page), len(copy) == len(without)


# Where these are, a comment may be none.
_HIDES_COMMENTS = re.compile(
    rb"(?i)<(?:script|style|title|textarea|noscript|iframe|noembed|noframes|xmp|plaintext|svg|math|select)|[\"'\0]|<[!?/]"
)
_MARK = re.compile(rb"[ \t\n\r\f\v]*(/?)lbc:exclude[ \t\n\r\f\v]*", re.IGNORECASE)


def without_blocks(page: bytes) -> bytes:
    """A page less its excluded blocks, read comment by comment; a closing mark without an opening one stays."""
    first, *rest = page.split(b"<!--")
    pieces = [first]
    depth = 0
    for piece in rest:
        inner, end, behind = piece.partition(b"-->")
        mark = _MARK.fullmatch(inner) if end else None
        if mark is None or (mark.group(1) and not depth):
            pieces += [b"<!--" + piece] * (not depth)
            continue
        depth += -1 if mark.group(1) else 1
        pieces += [behind] * (not depth)
    return b"".join(pieces)


def _check_masked(page: bytes, copy: bytes) -> None:
    """Only masked values differ."""
    if re.search(rb"(?i)<(?:svg|math|noscript)|\xef\xbb\xbf", page):
        # What the other parser sees of these is something else; to the mask engine "\ufeffvalue" is "value" as well.
        return
    before, after = Tree(page).shown, Tree(copy).shown
    for node in after:
        values = dict(node[3]) if len(node) == 4 else {}
        if _is_masked(node):
            assert not values.get("value"), "a masked value is in the copy"
            assert not values.keys() - KEPT_ATTRIBUTES - {"value", "content"}, "a masked element has other attributes"
    if any(_is_masked(node) and node[0] != "input" for node in before):
        return
    if _EQUALS_NAME.search(page):
        return
    assert [_masked(node) for node in after] == [_masked(node) for node in before], "the copy is another document"


def _is_masked(node: tuple[Any, ...]) -> bool:
    if len(node) != 4:
        return False
    values = dict(node[3])
    return (values.get("type") or "").lower() == "password" or "cc-" in (values.get("autocomplete") or "").lower()


def _masked(node: tuple[Any, ...]) -> tuple[Any, ...]:
    if not _is_masked(node):
        return node
    return (*node[:3], sorted((key, value) for key, value in node[3] if key in KEPT_ATTRIBUTES))


def _seeds(random: Random) -> Sequence[bytes]:
    try:
        hostile: Sequence[bytes] = documents()
    except SkipTest:
        hostile = ()
    pages = [page.replace("{T}", "").replace("{B}", "").encode() for page in PAGES]
    made = [_generated(random) for _ in range(200)]
    plain = bytes(_CHOICES)
    return [
        (plain if random.random() < 0.5 else random.randbytes(_CHOICES)) + page for page in [*hostile, *pages, *made]
    ]


def _generated(random: Random) -> bytes:
    """A page as sites have them."""
    inside = [
        "<p>Some words, and more of them.</p>",
        "<form method=post><input type='password' name=p value='SECRET'><input name=n value=1></form>",
        '<input autocomplete="cc-number" value="SECRET">',
        "<!-- lbc:exclude --><p>SECRET</p><!-- /lbc:exclude -->",
        "<script>var a = '</body>' + \"<!--\";</script>",
        "<svg><title>a</title><path d='M0'/></svg>",
        "<template><p>x</p></body></template>",
        "<table><tr><td>x</table>",
        "<!-- a comment </body> -->",
        "<textarea></body></textarea>",
        "\u65e5\u672c\u8a9e",
    ]
    head = [
        '<meta charset="utf-8">',
        "<title>A title</title>",
        '<meta name="viewport" content="width=device-width">',
        "<link rel=stylesheet href=/a.css>",
        "<style>p > a { color: red }</style>",
        "<script src=/a.js></script>",
        "<meta http-equiv='Content-Security-Policy' content=\"script-src 'self'\">",
        "<!-- " + "x" * random.choice((10, 900, 1100)) + " -->",
        '<noscript><link rel="x"></noscript>',
    ]
    begin = random.choice(("<!DOCTYPE html>\n", "<!doctype html>", "", '<?xml version="1.0"?>\n<!DOCTYPE html>\n'))
    html = random.choice(("<html>", '<html lang="en">', '<html xmlns="http://www.w3.org/1999/xhtml" lang="en">', ""))
    body = "\n".join(random.choices(inside, k=random.randint(0, 12)))
    start = "".join(random.choices(head, k=random.randint(0, 6)))
    return f"{begin}{html}\n<head>{start}</head>\n<body>{body}</body></html>\n".encode()


TARGET = Target(seeds=_seeds, tokens=TOKENS, check=check, choices=_CHOICES)
