"""The HTML and the assets of the demo's shop. Pure; the caller passes random parts."""

from __future__ import annotations

from html import escape

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title} - the corner shop</title>
<link rel="stylesheet" href="/static/style.css?v={version}">
<script src="/static/app.js?v={version}" defer></script>
</head>
<body data-node="{node}" data-version="{version}">
<header><img src="/static/logo.svg?v={version}" alt="" width="32" height="32"> The corner shop
<nav><a href="/">home</a> <a href="/orders">orders</a> <a href="/catalogue">catalogue</a>
<a href="/report">report</a> <a href="/ticker">ticker</a> <a href="/search">search</a></nav></header>
<main>
<h1>{title}</h1>
{body}
</main>
<footer>Made by node {node}, version {version}. This page exists once: {unique}</footer>
</body>
</html>
"""

LOGIN_FORM = """<p>{hint}</p>
<form method="post" action="/login">
<label>Name <input type="text" name="name" autocomplete="username"></label>
<label>Password <input type="password" name="password" autocomplete="current-password"></label>
<button>Log in</button>
</form>"""

SEARCH_FORM = """<form method="post" action="/search"><label>Find <input type="text" name="q"></label>
<button>Search</button></form>
<form method="post" action="/order"><label>Article <input type="text" name="article"></label>
<button>Order</button></form>"""

_STYLE = """/* style of {node}, version {version} */
body {{ font-family: sans-serif; margin: 2rem; }}
header {{ border-bottom: 2px solid #{colour}; }}
footer {{ color: #666; margin-top: 2rem; }}
"""

_SCRIPT = """/* script of {node}, version {version} */
document.documentElement.setAttribute("data-script", "{version}");
"""

_LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><title>{node} {version}</title>
<circle cx="16" cy="16" r="15" fill="#{colour}"/></svg>
"""

#: Path to content type and template of every asset.
_ASSETS = {
    "/static/style.css": (b"text/css; charset=utf-8", _STYLE),
    "/static/app.js": (b"text/javascript; charset=utf-8", _SCRIPT),
    "/static/logo.svg": (b"image/svg+xml", _LOGO),
}


def page(title: str, body: str, node: str, version: str, unique: str) -> bytes:
    """Return a page.

    :param body: HTML.
    :param unique: random text that makes this page differ from all others.
    """
    text = _PAGE.format(title=escape(title), body=body, node=escape(node), version=escape(version), unique=unique)
    return text.encode()


def asset(path: str, node: str, version: str) -> tuple[bytes, bytes] | None:
    """Return an asset's content type and bytes, which contain the node's name and version; None if unknown."""
    found = _ASSETS.get(path)
    if found is None:
        return None
    content_type, template = found
    colour = f"{sum(node.encode()) * 40503 % 0xFFFFFF:06x}"
    return content_type, template.format(node=node, version=version, colour=colour).encode()


def rows(numbers: list[int], kind: str) -> str:
    """Return an HTML table of these numbers, each row with a link."""
    lines = [f'<tr><td><a href="/{kind}/{n}">{kind} {n}</a></td><td>{n % 9973 / 100:.2f}</td></tr>' for n in numbers]
    return "<table>\n" + "\n".join(lines) + "\n</table>"
