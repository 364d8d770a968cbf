"""Names of elements that the HTML Standard treats alike, in lower case."""

from __future__ import annotations

#: Void elements (section 13.1.2), and obsolete elements that the tree construction treats alike.
VOID = frozenset(
    [
        "area",
        "base",
        "basefont",
        "bgsound",
        "br",
        "col",
        "embed",
        "frame",
        "hr",
        "img",
        "input",
        "keygen",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
#: Start tags that close all open elements of svg and math around them (section 13.2.6.5).
BREAKOUT = frozenset(
    [
        "b",
        "big",
        "blockquote",
        "body",
        "br",
        "center",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "embed",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "hr",
        "i",
        "img",
        "li",
        "listing",
        "menu",
        "meta",
        "nobr",
        "ol",
        "p",
        "pre",
        "ruby",
        "s",
        "small",
        "span",
        "strong",
        "strike",
        "sub",
        "sup",
        "table",
        "tt",
        "u",
        "ul",
        "var",
    ]
)
#: Elements, other than these, whose names neither svg nor math has and whose end tags can close both.
HTML_ONLY = frozenset(
    [
        "address",
        "article",
        "aside",
        "button",
        "caption",
        "colgroup",
        "details",
        "dialog",
        "dir",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "label",
        "legend",
        "main",
        "nav",
        "optgroup",
        "option",
        "section",
        "select",
        "summary",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
    ]
)


def as_bytes(names: frozenset[str]) -> frozenset[bytes]:
    """The same names for readers of bytes."""
    return frozenset(name.encode() for name in names)
