"""Finds the end of a page's head, by the tree construction rules: the first token that ends it or implies its end.

HTML Standard, section 13.2.6.4.4 ("in head"): white space, comments, doctypes, the elements of a head with their
contents, and stray end tags stay in the head; it ends before ``</head>``, or else before the first other token.
"""

from __future__ import annotations

import re
from enum import Enum

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.html.body_end import has_base
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.head import MAX_HEAD_BYTES, has_no_policy_or_marker, meta_policies
from lbcompanion.html.markup_reader import MarkupReader
from lbcompanion.html.snippets import MARKER
from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTES,
    BOGUS_COMMENT,
    EMPTY_END_TAG,
    END_TAG,
    LAST_SPACE_REFERENCE,
    MAYBE_SPACE_REFERENCE,
    SPACE_REFERENCE,
    START_TAG,
    WS,
    any_case,
    attributes,
    tag_name,
)

_VOID = (b"base", b"basefont", b"bgsound", b"link", b"meta")
_TEXT = (b"noframes", b"noscript", b"script", b"style", b"title")
# Start tags that stay in the head; browsers ignore those of html and head there.
_IN_HEAD = frozenset((*_VOID, *_TEXT, b"template", b"html", b"head"))
_ENDS = frozenset((b"head", b"body", b"html", b"br"))
_NAME_END = rb"(?=[" + WS + rb"/>])"

# As many tokens as are of no interest, in one match that cannot fail.
_RUN = re.compile(
    rb"(?:["
    + WS
    + rb"]++|<(?:"
    + any_case(b"link", b"basefont", b"bgsound", b"html", b"head")
    + rb")"
    + _NAME_END
    + ATTRIBUTES
    + rb">|"
    + BOGUS_COMMENT
    + rb"|"
    + EMPTY_END_TAG
    + rb"|</(?!(?:"
    + any_case(*_ENDS)
    + rb")"
    + _NAME_END
    + rb")[A-Za-z][^"
    + WS
    + rb"/>]*+"
    + ATTRIBUTES
    + rb">|)*+"
)
# The tokens of a common head, each of them whole, with names in lower case. Only the text of a script has a "<" in it.
_ATTRIBUTES = (
    rb"(?:[" + WS + rb"]++[^" + WS + rb"\"'<>/=]++(?:=(?:\"[^\"]*+\"|'[^']*+'|[^" + WS + rb"\"'<>=]++)|)?+|)*+"
    rb"[" + WS + rb"]*+/?+>"
)
_COMMON_HEAD = re.compile(
    rb"(?:["
    + WS
    + rb"]*+<(?:(?:link|meta|base)"
    + _ATTRIBUTES
    + rb"|title>[^<]*+</title>|script"
    + _ATTRIBUTES
    + rb"[^<]*+(?:<(?!/"
    + any_case(b"script")
    + rb"|!--)[^<]*+|)*+</script>|style"
    + _ATTRIBUTES
    + rb"[^<]*+</style>|!--(?:[^->]|-[^->])(?:[^-]++|-(?!-)|)*+-->)|)*+["
    + WS
    + rb"]*+"
)
# A name in a <meta> that is written with character references may be that of a policy.
_ENCODED_NAME = re.compile(rb"http-equiv=[\"']?[" + WS + rb"]*+[^&>]{0,32}&")
_SPACE = re.compile(SPACE_REFERENCE)
_LAST_SPACE = re.compile(LAST_SPACE_REFERENCE)
_MAYBE_SPACE = re.compile(MAYBE_SPACE_REFERENCE)
# A tag of which at least the name is known.
_NAMED_TAG = re.compile(rb"<(/?[A-Za-z][^" + WS + rb"/>]*+)(?=[" + WS + rb"/>])")
# An end tag of raw text: the text goes on if the tag does not end.
_TEXT_END = re.compile(rb"</(?:" + any_case(*_TEXT) + rb")" + _NAME_END)
_TAG = re.compile(rb"<[A-Za-z][^" + WS + rb"/>]*+" + ATTRIBUTES + rb">")
# The start of a token that may stay in the head, or of an end tag.
_UNFINISHED = re.compile(rb"<(?:[A-Za-z/!?]|\Z)")
_XML_HEAD_END = re.compile(rb"</head[" + WS + rb">]")
_XML_TEXT = re.compile(rb"[^<]++")
_XML_TAG = re.compile(START_TAG + rb"|" + END_TAG)


def end_of_common_tokens(data: bytes, position: int) -> int:
    """The end of a head's common tokens; ``position`` if one of them has a policy or this project's marker."""
    tokens = _COMMON_HEAD.match(data, position)
    if tokens is None or tokens.end() == position:
        return position
    zone = lowered(tokens.group())
    return tokens.end() if has_no_policy_or_marker(zone) and _ENCODED_NAME.search(zone) is None else position


class HeadForm(Enum):
    """The form of a head, without its tags: it consists of common tokens only, or not."""

    UNCOMMON = 0
    COMMON = 1
    COMMON_WITH_BASE = 2


# Pages of a site have the same heads, and a page is requested often.
_head_forms: BoundedCache[bytes, HeadForm] = BoundedCache(max_bytes=2097152, max_key_bytes=MAX_HEAD_BYTES)


def head_form(head: bytes) -> HeadForm:
    """The form of a head; known without reading it if it was read before."""
    form = _head_forms.get(head)
    return _head_forms.put(head, _form_of(head)) if form is None else form


def _form_of(head: bytes) -> HeadForm:
    if end_of_common_tokens(head, 0) != len(head):
        return HeadForm.UNCOMMON
    return HeadForm.COMMON_WITH_BASE if has_base(head) else HeadForm.COMMON


class HeadReader(MarkupReader):
    """Reads a head piece by piece, from its first token.

    :ivar ended: whether the head ends where :attr:`position` is.
    :ivar policies: the content security policies of its ``<meta>`` tags, enforcing ones only.
    :ivar has_marker: whether the companion's tag is there already.
    """

    ended = False
    has_marker = False

    def __init__(self, xhtml: bool) -> None:
        super().__init__(xhtml)
        self.policies: list[str] = []

    def read(self, data: bytes, at_end: bool) -> None:
        """Read on from :attr:`position` as far as the input allows."""
        if not (self.is_nested or self._xhtml):
            end = data.find(b"</head>", self.position, self.position + MAX_HEAD_BYTES)
            if end >= 0 and head_form(data[self.position : end]) is not HeadForm.UNCOMMON:
                self.position = end
                self._end()
                return
            self.position = end_of_common_tokens(data, self.position)
            if data.startswith(b"</head>", self.position):
                self._end()
                return
        super().read(data, at_end)
        if at_end and not (self.stopped or self.is_nested or self._xhtml or _TEXT_END.match(data, self.position)):
            # The end of the page implies the end of the head. A tag that does not end is ignored.
            self._end()

    def _end(self) -> None:
        self.ended = self.stopped = True

    def _run(self) -> re.Pattern[bytes]:
        return super()._run() if self._stack else _RUN

    def _read_token(self, data: bytes, at_end: bool) -> None:
        start = self.position
        if self._stack or data.startswith(b"<!--", start):
            super()._read_token(data, at_end)
        elif tag := _NAMED_TAG.match(data, start):
            self._read_tag(tag.group(1).lower(), data)
        elif data.startswith(b"&", start):
            self._read_reference(data, at_end)
        elif not _UNFINISHED.match(data, start):
            self._end()

    def _read_tag(self, name: bytes, data: bytes) -> None:
        if name[1:] in _ENDS and name.startswith(b"/"):
            self._end()
        elif name.startswith(b"/"):
            # It has not ended, or the run would have taken it.
            return
        elif name not in _IN_HEAD:
            self._end()
        elif tag := _TAG.match(data, self.position):
            self.position = tag.end()
            self._handle_head_tag(name, tag.group())

    def _handle_head_tag(self, name: bytes, tag: bytes) -> None:
        if name == b"meta":
            self.policies += meta_policies(tag)
        elif name == b"script" and MARKER in tag.lower():
            self.has_marker = self.has_marker or MARKER in attributes(tag)
        if name == b"template":
            self._stack.append(name)
        elif name in _TEXT:
            self._handle_text_element(name)

    def _read_reference(self, data: bytes, at_end: bool) -> None:
        """Read a character reference: white space may be written as one."""
        start = self.position
        if space := _SPACE.match(data, start):
            self.position = space.end()
        elif at_end and _LAST_SPACE.fullmatch(data, start):
            self.position = len(data)
        elif at_end or not _MAYBE_SPACE.match(data, start):
            self._end()


class XmlHeadReader(HeadReader):
    """Reads the head of a page that is read as XML: it ends at its end tag only."""

    def __init__(self) -> None:
        super().__init__(xhtml=True)
        self._depth = 0

    def _run(self) -> re.Pattern[bytes]:
        return _XML_TEXT

    def _read_token(self, data: bytes, at_end: bool) -> None:
        start = self.position
        if data.startswith((b"<!", b"<?"), start):
            super(HeadReader, self)._read_token(data, at_end)
        elif tag := _XML_TAG.match(data, start):
            self._handle_xml_tag(tag.group(), tag.end())

    def _handle_xml_tag(self, tag: bytes, end: int) -> None:
        if tag.startswith(b"</"):
            if self._depth == 0:
                self._end_of_head(tag)
                return
            self._depth -= 1
        else:
            name = tag_name(tag)
            if name == b"meta" and self._depth == 0:
                self.policies += meta_policies(tag)
            elif name == b"script":
                self.has_marker = self.has_marker or MARKER in attributes(tag)
            self._depth += not tag.endswith(b"/>")
        self.position = end

    def _end_of_head(self, tag: bytes) -> None:
        self.stopped = True
        self.ended = _XML_HEAD_END.match(tag) is not None
