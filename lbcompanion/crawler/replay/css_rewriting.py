"""Rewrites the URLs in style sheets, so that each one names a file of the recording, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from lbcompanion.html.css_urls import CssUrlPlace, css_url_places

#: Browsers request nothing for it.
NOTHING = "about:invalid"
#: Written for a function that may stand for any address. No browser knows it, so the declaration is invalid.
_UNKNOWN_FUNCTION = "not-shown"
_UNSAFE_IN_STRING = re.compile(r'["\\\x00-\x1f\x7f<>]')
#: What another parser than the one for raw text could read as markup, or as a character reference.
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])")
_REFERENCE = re.compile(r"&(?=#[0-9xX]|[A-Za-z])")

#: Called with each place of a URL; returns the new URL.
ReplaceUrl = Callable[[CssUrlPlace], str]


def rewrite_css(text: str, replace: ReplaceUrl) -> str:
    """Return a style sheet, or the text of a ``style`` attribute, with its URLs replaced.

    A ``var()`` in an ``image-set()`` may stand for a string that is no URL elsewhere: such an image is left out.
    """
    parts: list[str] = []
    position = 0
    for place in css_url_places(text):
        if place.is_substitution:
            parts += (text[position : place.start], _UNKNOWN_FUNCTION)
            position = place.end
            continue
        written = f'"{_UNSAFE_IN_STRING.sub(_escaped, replace(place))}"'
        parts += (text[position : place.start], f"url({written})" if place.is_function else written)
        position = place.end
    parts.append(text[position:])
    return "".join(parts)


def safe_in_element(css: str) -> str:
    """Return a style sheet that means the same inside of ``<style>``, whether that is read as raw text or as markup.

    In HTML it is raw text, in SVG markup. Which of both it is depends on the whole page. A string or a URL keeps its
    value; a rule whose selector has ``&`` right before the name of an element is lost. It comes before
    :func:`rewrite_css`, which has to read what browsers read, and adds no such character.
    """
    css = css.replace("<!--", "    ")
    return _REFERENCE.sub(r"\\26 ", _MARKUP.sub(r"\\3c ", css))


def _escaped(char: re.Match[str]) -> str:
    return f"\\{ord(char[0]):x} "
