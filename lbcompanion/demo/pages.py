"""The HTML and the assets of the demo's shop. Pure; the caller passes random parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from attrs import frozen

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - the corner shop</title>
<link rel="stylesheet" href="/static/style.css?v={version}">
<script src="/static/app.js?v={version}" defer></script>
</head>
<body data-node="{node}" data-version="{version}">
<header><a class="brand" href="/"><img src="/static/logo.svg?v={version}" alt="" width="32" height="32"> The corner
shop</a>
<nav><a href="/">home</a> <a href="/orders">orders</a> <a href="/catalogue">catalogue</a>
<a href="/report">report</a> <a href="/ticker">ticker</a> <a href="/search">search</a></nav></header>
{banner}<main>
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
* {{ box-sizing: border-box; }}
body {{ margin: 0; font: 16px/1.5 Georgia, serif; color: #2b2622; background: {ground}; }}
header {{ display: flex; flex-wrap: wrap; align-items: center; gap: 1rem 2rem; padding: .8rem 2rem;
  background: {bar}; border-bottom: 4px solid #{colour}; }}
.brand {{ display: flex; align-items: center; gap: .6rem; font-size: 1.3rem; color: {on_bar}; text-decoration: none; }}
nav {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
nav a {{ color: {on_bar}; text-decoration: none; }}
.banner {{ margin: 0; padding: .6rem 2rem; background: {accent}; color: #fff; letter-spacing: .04em; }}
main {{ max-width: 62rem; margin: 0 auto; padding: 1rem 2rem 2rem; }}
.goods {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none; }}
.goods li, .one {{ background: #fff; border-radius: {radius}; padding: 1rem; box-shadow: 0 1px 4px #0002; }}
.goods img {{ width: 100%; height: 8rem; }} .goods b {{ display: block; }}
.goods a {{ color: inherit; text-decoration: none; }} .price {{ color: {accent}; font-weight: bold; }}
.one {{ display: flex; flex-wrap: wrap; gap: 2rem; }} .one img {{ width: 16rem; height: 16rem; }}
table {{ border-collapse: collapse; background: #fff; }} td {{ border-bottom: 1px solid #ddd; padding: .2rem 1rem; }}
a {{ color: {accent}; }} form {{ display: flex; flex-wrap: wrap; gap: .8rem; align-items: end; margin: 1rem 0; }}
input, button {{ font: inherit; padding: .3rem .6rem; }}
button {{ background: {accent}; color: #fff; border: 0; border-radius: {radius}; }}
footer {{ color: #5b544e; padding: 0 2rem 1rem; font-size: .85rem; }}
"""

_SCRIPT = """/* script of {node}, version {version} */
document.documentElement.setAttribute("data-script", "{version}");
"""

_LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><title>{node} {version}</title>
<circle cx="16" cy="16" r="15" fill="#{colour}"/><path d="M8 15h16l-2-6H10zM10 15v9h12v-9" fill="#fff"/></svg>
"""

#: Path to content type and template of every asset.
_ASSETS = {
    "/static/style.css": (b"text/css; charset=utf-8", _STYLE),
    "/static/app.js": (b"text/javascript; charset=utf-8", _SCRIPT),
    "/static/logo.svg": (b"image/svg+xml", _LOGO),
}

_PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><title>{name}</title>
<rect width="100" height="100" rx="8" fill="{ground}"/><g fill="{colour}" stroke="#3a322b" stroke-width="2"
stroke-linejoin="round">{shapes}</g></svg>
"""
_PICTURE_PATH = re.compile(r"/static/goods/(\d{1,2})\.svg")


@frozen
class Article:
    """Something that the shop sells.

    :ivar price: in cents, in the shop's first version.
    :ivar shapes: its picture, in SVG.
    """

    name: str
    price: int
    colour: str
    shapes: str


ARTICLES = (
    Article(
        "Reading lamp",
        3900,
        "#e0a526",
        '<path d="M38 20h24l10 26H28z"/><path d="M47 46h6v32h-6z"/><path d="M34 78h32v6H34z"/>',
    ),
    Article(
        "Kitchen chair",
        7450,
        "#b5651d",
        '<path d="M32 14h6v40h-6zM62 34h6v20h-6z"/>'
        '<path d="M30 50h40v8H30z"/>'
        '<path d="M32 58h6v28h-6zM62 58h6v28h-6z"/>',
    ),
    Article(
        "Mug",
        1290,
        "#3f7cac",
        '<path d="M28 32h36v44q0 8-8 8H36q-8 0-8-8z"/><path d="M64 42q16 0 16 14t-16 14v-7q8 0 8-7t-8-7z"/>',
    ),
    Article(
        "Fern",
        1850,
        "#4f8a4c",
        '<path d="M50 58Q30 20 20 40q20 0 30 18Q70 20 80 40q-20 0-30 18Q50 10 50 12z"/>'
        '<path d="M34 60h32l-5 26H39z" fill="#b5651d"/>',
    ),
    Article(
        "Wall clock",
        4990,
        "#c94c4c",
        '<circle cx="50" cy="50" r="32"/>'
        '<circle cx="50" cy="50" r="25" fill="#fff"/>'
        '<path d="M50 34v16l12 8" fill="none"/>',
    ),
    Article(
        "Atlas",
        5600,
        "#6b5b95",
        '<path d="M24 22h52v58H24z"/><path d="M30 22v58" fill="none"/><circle cx="55" cy="48" r="14" fill="#cfe3f1"/>',
    ),
    Article(
        "Kettle",
        3350,
        "#7d8a8c",
        '<path d="M26 44h44l6 36H20z"/>'
        '<path d="M34 44q0-18 14-18t14 18" fill="none"/>'
        '<path d="M72 50l14-10v8l-12 16z"/>',
    ),
    Article(
        "Vase",
        2400,
        "#2a9d8f",
        '<path d="M42 18h16v14q16 8 16 28 0 24-24 24T26 60q0-20 16-28z"/>',
    ),
    Article(
        "Radio",
        8900,
        "#8d5b4c",
        '<path d="M20 38h60v42H20z"/>'
        '<circle cx="38" cy="59" r="13" fill="#efe6dd"/>'
        '<path d="M58 50h16M58 59h16M58 68h16M30 38l34-18" fill="none"/>',
    ),
    Article(
        "Basket",
        2750,
        "#c8a165",
        '<path d="M20 46h60l-8 36H28z"/><path d="M32 46q0-24 18-24t18 24" fill="none"/>',
    ),
    Article(
        "Mirror",
        6150,
        "#bcd4e6",
        '<ellipse cx="50" cy="42" rx="24" ry="30"/>'
        '<path d="M47 72h6v14h-6z"/>'
        '<path d="M60 26L40 52" fill="none" stroke="#fff"/>',
    ),
    Article(
        "Scarf",
        2990,
        "#a23b72",
        '<path d="M26 24q24 16 48 0v14q-24 16-48 0z"/><path d="M56 40h14v44H56z"/>',
    ),
)


@frozen
class _Design:
    """The look of one version.

    :ivar discount: what is taken off prices, in per cent.
    """

    ground: str
    bar: str
    on_bar: str
    accent: str
    radius: str
    banner: str
    discount: int


_DESIGNS = (
    _Design("#f6f1ea", "#fffaf3", "#2b2622", "#8a4b1f", "4px", "", 0),
    _Design("#eef3f7", "#1d3448", "#ffffff", "#14648c", "14px", "Winter sale: a fifth off everything", 20),
)


def _design(version: str) -> _Design:
    """Each deploy changes the look: the last number of the version chooses it."""
    number = version.rpartition(".")[2]
    return _DESIGNS[int(number) % len(_DESIGNS) if number.isdecimal() else 0]


def page(title: str, body: str, node: str, version: str, unique: str) -> bytes:
    """Return a page.

    :param body: HTML.
    :param unique: random text that makes this page differ from all others.
    """
    banner = _design(version).banner
    text = _PAGE.format(
        title=escape(title),
        body=body,
        banner=f'<p class="banner">{escape(banner)}</p>\n' if banner else "",
        node=escape(node),
        version=escape(version),
        unique=unique,
    )
    return text.encode()


def asset(path: str, node: str, version: str) -> tuple[bytes, bytes] | None:
    """Return an asset's content type and bytes, which contain the node's name and version; None if unknown.

    The pictures of articles are the same at all nodes.
    """
    picture = _PICTURE_PATH.fullmatch(path)
    if picture is not None and int(picture[1]) < len(ARTICLES):
        article = ARTICLES[int(picture[1])]
        text = _PICTURE.format(name=article.name, ground="#f3eee6", colour=article.colour, shapes=article.shapes)
        return b"image/svg+xml", text.encode()
    found = _ASSETS.get(path)
    if found is None:
        return None
    content_type, template = found
    colour = f"{sum(node.encode()) * 40503 % 0xFFFFFF:06x}"
    design = _design(version)
    look = {name: getattr(design, name) for name in ("ground", "bar", "on_bar", "accent", "radius")}
    return content_type, template.format(node=node, version=version, colour=colour, **look).encode()


def rows(numbers: list[int], kind: str) -> str:
    """Return an HTML table of these numbers, each row with a link."""
    lines = [f'<tr><td><a href="/{kind}/{n}">{kind} {n}</a></td><td>{n % 9973 / 100:.2f}</td></tr>' for n in numbers]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def price(article: Article, version: str) -> str:
    """Return what an article costs in this version."""
    return f"{article.price * (100 - _design(version).discount) / 10000:.2f}"


def goods(numbers: Sequence[int], version: str) -> str:
    """Return a list of articles with their pictures, prices and links."""
    items = []
    for number in (each % len(ARTICLES) for each in numbers):
        article = ARTICLES[number]
        items.append(
            f'<li><a href="/article/{number}"><img src="/static/goods/{number}.svg" alt="">'
            f'<b>{escape(article.name)}</b> <span class="price">{price(article, version)}</span></a></li>'
        )
    return '<ul class="goods">\n' + "\n".join(items) + "\n</ul>"


def article_page(number: int, stock: int, visitor: str, version: str) -> str:
    """Return the body of an article's page."""
    article = ARTICLES[number % len(ARTICLES)]
    return (
        f'<div class="one"><img src="/static/goods/{number % len(ARTICLES)}.svg" alt=""><div>'
        f'<p class="price">{price(article, version)}</p><p>{stock} in stock, {escape(visitor)}.</p>'
        f'<form method="post" action="/order"><input type="hidden" name="article" value="{escape(article.name)}">'
        "<button>Order</button></form></div></div>"
    )
