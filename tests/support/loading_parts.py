"""What a browser would load from a document, found by other parsers than the one that rewrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_ADDRESS_NAMES = """
src href xlink:href poster background data action formaction ping cite longdesc manifest codebase classid archive code
icon lowsrc dynsrc profile usemap attributionsrc xml:base imagesrcset srcset
"""
_TEXT_NAMES = """
title alt value placeholder label summary content id class name for lang xmlns xmlns:xlink pattern abbr headers part
slot itemprop property
"""
_ADDRESSES, _TEXTS = frozenset(_ADDRESS_NAMES.split()), frozenset(_TEXT_NAMES.split())


def loading_parts(html: str) -> Iterator[tuple[str, str]]:
    """Every address in a document that a browser loads or goes to, and every script, each with its place."""
    from justhtml import JustHTML  # 0.3 s

    for scripting in (False, True):  # what is in <noscript> is markup without scripts, and text with them
        yield from _of_node(JustHTML(html, sanitize=False, scripting_enabled=scripting).root)


def _of_node(node: Any) -> Iterator[tuple[str, str]]:
    name = (node.name or "").lower()
    attributes = {str(key).lower(): value or "" for key, value in (getattr(node, "attrs", None) or {}).items()}
    if name == "script" and (text := _text(node)):
        yield "script", text
    if name in ("base", "applet", "portal", "fencedframe", "param", "bgsound"):
        yield "element", name
    if name == "meta" and attributes.get("http-equiv", "").lower() not in ("", "content-type", "default-style"):
        yield "meta", attributes["http-equiv"]
    if name == "link" and not {"stylesheet", "icon"} & set(attributes.get("rel", "").split()):
        yield "link", attributes.get("rel", "")
    if name == "style":
        yield from ((f"style: {place}", url) for place, url in css_addresses(_text(node)))
    for key, value in attributes.items():
        yield from _of_attribute(name, key, value)
    content = getattr(node, "template_content", None)
    for child in (*(node.children or ()), *([content] if content is not None else ())):
        yield from _of_node(child)


def _of_attribute(element: str, key: str, value: str) -> Iterator[tuple[str, str]]:
    if key.startswith("on") and key != "on":
        yield "handler", key
    elif key == "srcdoc":
        yield from loading_parts(value)
    elif key in ("srcset", "imagesrcset"):
        for candidate in value.split(", "):
            yield key, candidate.split(" ")[0]
    elif key == "attributename" and value.strip().lower().rpartition(":")[2] in _ADDRESSES:
        yield "animation", value
    elif key in _ADDRESSES and (key != "data" or element == "object"):
        yield key, value
    elif "(" in value and not key.startswith(("data-", "aria-")) and key not in _TEXTS:
        yield from ((f"{key}: {place}", url) for place, url in css_addresses(value, is_attribute=True))


def _text(node: Any) -> str:
    return "".join(child.data for child in node.children or () if child.name == "#text")


def css_addresses(text: str, *, is_attribute: bool = False) -> Iterator[tuple[str, str]]:
    """Every URL in a style sheet or a style attribute, by tinycss2."""
    import tinycss2

    yield from _of_tokens(tinycss2.parse_component_value_list(text), "")


def _of_tokens(tokens: list[Any], function: str, at_rule: str = "") -> Iterator[tuple[str, str]]:
    is_import = False
    for token in tokens:
        if token.type in ("whitespace", "comment"):
            continue
        follows, is_import = is_import, False
        if token.type == "at-keyword":
            at_rule, is_import = token.lower_value, token.lower_value == "import"
        elif token.type == "url" and at_rule != "namespace":
            yield "url", token.value
        elif token.type == "string" and (follows or function in ("url", "src", "image-set", "-webkit-image-set")):
            if at_rule != "namespace":
                yield "string", token.value
        elif token.type == "function":
            if token.lower_name != "url" or at_rule != "namespace":
                yield from _of_tokens(token.arguments, token.lower_name, at_rule)
        elif token.type in ("() block", "[] block", "{} block"):
            at_rule = "" if token.type == "{} block" else at_rule
            yield from _of_tokens(token.content, "()", at_rule)
        elif token == ";":
            at_rule = ""


def unrewritten(html: str, is_rewritten: Callable[[str], bool]) -> list[tuple[str, str]]:
    """What a document would load from elsewhere, or run."""

    def is_harmless(value: str) -> bool:
        known = value in ("", "about:invalid", "about:blank") or value.lower().startswith(("#", "data:"))
        return known or is_rewritten(value)

    never = ("script", "element", "meta", "link", "handler", "animation")
    return [(place, value) for place, value in loading_parts(html) if place in never or not is_harmless(value)]
