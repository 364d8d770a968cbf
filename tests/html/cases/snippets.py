"""Snippets and documents of their own kinds: plain text in snippets, framesets, XHTML, anchors."""

from __future__ import annotations

from tests.html.cases.case import PAGE, Case

XHTML = ("Content-Type: application/xhtml+xml",)
START = '<?xml version="1.0"?>\n'
HTML = '<html xmlns="http://www.w3.org/1999/xhtml">'
REST = "<title>x</title></head><body><p/></body></html>"


def snippet(name: str, text: str) -> Case:
    """A top snippet, and what stands in the page."""
    return Case(name, PAGE.replace("<head>", "<head>" + text), PAGE,
                settings={"inject": {"top": text.encode()}})  # fmt: skip


def bottom(name: str, out: str, why: str = "") -> Case:
    return Case(
        name,
        out.replace("{B}", "<!--B-->"),
        out.replace("{B}", ""),
        why=why,
        settings={"inject": {"bottom": b"<!--B-->"}},
    )


def anchor(name: str, out: str, **inject: str) -> Case:
    return Case(name, out, settings={"inject": inject})


CASES = [
    snippet("a dollar sign", r"<script>'$1 $& $$ \1 \g<0>'</script>"),
    snippet("backslashes", r"<script>'\n\\ \x \u0041'</script>"),
    snippet("braces", "<script>({a: {}}), '{0} {} {{token}}'</script>"),
    snippet("per cent", "<script>'%s %(a)s %%'</script>"),
    snippet("placeholders", "<script>f('{token}','{node}','{prefix}','{nonce}')</script>"),
    snippet("braces that are not a placeholder", "<script>'{tokens} {TOKEN} { token }'</script>"),
    bottom("before the last </body>", "<!DOCTYPE html><html><head></head><body>x{B}</body></html>"),
    bottom("at the end of a document", "<!DOCTYPE html><p>x{B}"),
    bottom("not in a comment", "<!DOCTYPE html><body>x{B}</body><!-- </body> -->"),
    bottom("not in a script", "<!DOCTYPE html><body><script>'</body>'</script>{B}</body>"),
    bottom("not in a textarea", "<!DOCTYPE html><body><textarea></body></textarea>{B}</body>"),
    bottom("not in a template", "<!DOCTYPE html><body><template></body></template>{B}</body>"),
    bottom("not in svg", "<!DOCTYPE html><body><svg></body></svg>{B}</body>"),
    bottom("not in a frameset", "<!DOCTYPE html><head></head><frameset><frame></frameset></body>", "no place"),
    Case("frameset", "<html><head>{T}</head><frameset><frame src=a></frameset></html>"),
    Case("frameset without a head", "<html>{T}<frameset><frame src=a></frameset></html>"),
    Case("XHTML, masked", f"{START}{HTML}<head><title/>{{X}}</head><body><input type='password' value='s'/></body></html>",
         copy=f"{START}{HTML}<head><title/></head><body><input type='password' value=\"\" /></body></html>", answered=XHTML),
    Case("XHTML", f"{START}{HTML}<head>{REST.replace('</head>', '{X}</head>')}", answered=XHTML),
    Case("XHTML with an internal subset", f"{START}<!DOCTYPE html [<!ENTITY a '<b>'>]>{HTML}<head>{REST.replace('</head>', '{X}</head>')}", answered=XHTML),
    Case("XHTML in another namespace", None, f"{START}<html xmlns='urn:x'><head>{REST}", None, "unsure", answered=XHTML),
    Case("XHTML with a prefix", None, f"{START}<h:html xmlns:h='http://www.w3.org/1999/xhtml'><h:head/></h:html>", None,
         "unsure", answered=XHTML),
    Case("XHTML as HTML", f"{START}{HTML}<head>{REST.replace('</head>', '{T}</head>')}"),
    anchor("after the body's start", PAGE.replace("<body>", "<body>{T}"), top_after="<body[^>]*>"),
    anchor("before the head's end", PAGE.replace("</head>", "{T}</head>"), top_before="</head>"),
    anchor("an anchor that is not there", PAGE.replace("</head>", "{T}</head>"), top_after="<main>"),
    anchor("an anchor in a string", PAGE.replace("@@", "<script>'<i>'</script><i>{T}"), top_after="<i>"),
]  # fmt: skip
