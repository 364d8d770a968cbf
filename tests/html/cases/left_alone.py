"""Pages that are not changed, byte for byte; some of them are captured."""

from __future__ import annotations

from tests.html.cases.case import HTML, INJECTED, NONE, PAGE, Case


def passes(name: str, why: str, *answered: str, copy: str | None = None, **more: object) -> Case:
    """The page as it is."""
    return Case(name, None, PAGE, copy, why, answered=answered or (HTML,), **more)  # type: ignore[arg-type]


def asked(name: str, *lines: str, why: str = "fragment") -> Case:
    """Not changed and not captured, because of the request."""
    return Case(name, None, PAGE, NONE, why, asked=lines)


MARK = "<script async src='/_lbc/fetch-from.js' data-lbc-token='abc'></script>"

CASES = [
    # No page.
    passes("JSON", "", "Content-Type: application/json", copy=NONE),
    passes("plain text", "", "Content-Type: text/plain", copy=NONE),
    passes("no type", "", "X-Other: 1", copy=NONE),
    passes("server-sent events", "", "Content-Type: text/event-stream", copy=NONE),
    passes("XML", "", "Content-Type: application/xml", copy=NONE),
    passes("a type that only begins so", "not HTML", "Content-Type: text/htmlx", copy=NONE),
    passes("two types", "not HTML", HTML, "Content-Type: text/plain", copy=NONE),
    passes("download", "download", HTML, "Content-Disposition: attachment; filename=x.html", copy=NONE),
    passes("download, uppercase", "download", HTML, "Content-Disposition: ATTACHMENT", copy=NONE),
    Case("shown inline", answered=(HTML, "Content-Disposition: inline; filename=x.html")),
    # Captured, never changed.
    passes("no-transform", "no-transform", HTML, "Cache-Control: public, No-Transform"),
    passes("no-transform on a line of its own", "no-transform", HTML, "Cache-Control: public", "Cache-Control: no-transform"),
    passes("injection off", "injection is off", settings={"inject": {"enabled": False}}),
    passes("ISO-2022-JP by header", "charset", "Content-Type: text/html; charset=ISO-2022-JP"),
    Case("UTF-7 by header means nothing", answered=("Content-Type: text/html; charset=utf-7",)),
    passes("HZ by header", "charset", "Content-Type: text/html; charset=hz-gb-2312"),
    # Statuses.
    *[passes(f"status {status}", "status", status=status, copy=NONE) for status in (201, 203, 301, 302, 404, 410, 500, 503)],
    Case("a status that is listed", status=404, settings={"capture": {"statuses": (200, 404)}}),
    # Codings that are not known.
    passes("unknown coding", "content coding", HTML, "Content-Encoding: zork", copy=NONE),
    passes("dictionary coding", "content coding", HTML, "Content-Encoding: dcb", copy=NONE),
    passes("two codings", "content coding", HTML, "Content-Encoding: gzip, br", copy=NONE),
    Case("coding none", answered=(HTML, "Content-Encoding: none")),
    Case("coding identity", answered=(HTML, "Content-Encoding: identity")),
    # Prefetches.
    *[asked(f"prefetch by {line}", line, why="prefetch")
      for line in ("Sec-Purpose: prefetch", "Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch",
                   "X-Purpose: preview")],
    # Parts of pages.
    *[asked(f"part of a page by {line}", line)
      for line in ("HX-Request: true", "Turbo-Frame: main", "X-PJAX: true", "X-Requested-With: XMLHttpRequest",
                   "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors", "Sec-Fetch-Mode: same-origin")],
    *[asked(f"asked for as {what}", f"Sec-Fetch-Dest: {what}", why="not a document") for what in ("image", "script", "style")],
    *[Case(f"a document by {line}", asked=(line,))
      for line in ("Sec-Fetch-Dest: document", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Mode: navigate",
                   "X-Requested-With: com.android.browser")],
    Case("a part that asks for a copy", None, PAGE, None, "fragment", asked=("HX-Request: true", "Lbc-Capture: 1"),
         told=("Lbc-Token: {token}",)),
    Case("a piece that asks for a copy", None, "<p>a piece</p>", None, "fragment",
         asked=("Sec-Fetch-Dest: empty", "Lbc-Capture: 1"), told=("Lbc-Token: {token}",)),
    Case("a piece that asks where none may", None, "<p>a piece</p>", NONE, "fragment",
         asked=("HX-Request: true", "Lbc-Capture: 1"), told=("Lbc-Token:",), settings={"capture": {"fragments": "never"}}),
    Case("a page that asks for its token", asked=("Lbc-Capture: 1",), told=("Lbc-Token: {token}",)),
    Case("no token without a request for it", told=("Lbc-Token:",)),
    # Without Fetch Metadata, what has neither doctype nor <html> is a piece; with it, a document.
    Case("a piece by its looks", None, "<p>a piece</p>", None, "fragment"),
    Case("a title alone, by its looks", None, "<title>x</title>y", None, "fragment"),
    Case("the same, navigated to", "{T}<p>a piece</p>", asked=("Sec-Fetch-Dest: document",)),
    Case("a doctype is enough", "<!doctype html>{T}<p>x"),
    Case("<html> is enough", "<html>{T}<p>x"),
    Case("an empty page", None, "", "", "fragment"),
    # By the page itself.
    Case("AMP", None, "<!doctype html><html amp><head></head></html>", None, "AMP"),
    Case("AMP by its sign", None, "<!doctype html><html \u26a1><head></head></html>", None, "AMP"),
    Case("AMP for ads", None, "<!doctype html><html AMP4ADS><head></head></html>", None, "AMP"),
    Case("AMP for mail", None, "<!doctype html><html \u26a14email><head></head></html>", None, "AMP"),
    Case("our tag is there", None, PAGE.replace("<head>", "<head>" + MARK), None, "marked already"),
    Case("our tag is there, further down", None, PAGE.replace("</title>", "</title>" + MARK), None, "marked already"),
    Case("the tag in a comment does not count", INJECTED.replace("</title>", "</title><!--" + MARK + "-->")),
    Case("skip_if", None, PAGE.replace("@@", "no-record"), None, "skip_if", settings={"inject": {"skip_if": "no-.ecord"}}),
    Case("skip_if, not found", settings={"inject": {"skip_if": "no-.ecord"}}),
    Case("a comment that never ends", None, "<!doctype html><html><!-- <head></head>", None, "unsure"),
    # Sizes.
    Case("larger than max_page_bytes by its Content-Length", None, PAGE, NONE, "larger than max_page_bytes",
         answered=(HTML, f"Content-Length: {len(PAGE)}"), settings={"capture": {"max_page_bytes": 20}}),
    Case("larger than max_page_bytes, untold", copy=NONE, why="larger than max_page_bytes",
         settings={"capture": {"max_page_bytes": 20}}),
    Case("of just max_page_bytes", answered=(HTML, f"Content-Length: {len(PAGE)}"),
         settings={"capture": {"max_page_bytes": len(PAGE)}}),
    # Headers of a changed page.
    Case("fields that are no longer true are removed", told=("Content-MD5:", "Digest:", "Repr-Digest:", "Content-Digest:", "Accept-Ranges:",
         "Content-Length:", "X-Other: 1"),
         answered=(HTML, "Content-MD5: x", "Digest: x", "Repr-Digest: x", "Content-Digest: x", "Accept-Ranges: bytes",
                   f"Content-Length: {len(PAGE)}", "X-Other: 1")),
    Case("fields that stay true are kept", None, PAGE, None, "no-transform", told=("Digest: x", "Accept-Ranges: bytes", 'ETag: "a"'),
         answered=(HTML, "Cache-Control: no-transform", "Digest: x", "Accept-Ranges: bytes", 'ETag: "a"')),
    Case("a strong ETag", answered=(HTML, 'ETag: "a"'), told=('ETag: W/"a-lbcs"',)),
    Case("a weak ETag", answered=(HTML, 'ETag: W/"a"'), told=('ETag: W/"a-lbcw"',)),
    Case("preload links stay", answered=(HTML, "Link: </x.css>; rel=preload"), told=("Link: </x.css>; rel=preload",)),
]  # fmt: skip
