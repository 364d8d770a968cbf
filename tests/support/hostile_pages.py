"""Pages that try to make a browser load something or go somewhere, each in another way."""
# ruff: noqa: E501 - a page is easier to read in one line

from __future__ import annotations

#: What a drawing begins with.
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">'

#: ``{t}`` is an address of the tracker or of the site, by IP address or by name.
HOSTILE: dict[str, str] = {
    "img": "<img src={t}/a><img srcset='{t}/b 1x, {t}/c 2x'><img src='x' srcset={t}/d sizes=1px><image src={t}/e>",
    "input": "<input type=image src={t}/a>",
    "picture": "<picture><source srcset={t}/a><source srcset='{t}/b 100w' sizes=9px><img src={t}/c></picture>",
    "link": "<link rel=stylesheet href={t}/a><link rel='alternate stylesheet' title=x href={t}/b>"
    "<link rel=stylesheet href='data:text/css,@import url({t}/c)'>",
    "preload": "<link rel=preload as=image href={t}/a><link rel=preload as=image imagesrcset='{t}/b 1x'>"
    "<link rel=prefetch href={t}/c><link rel=prerender href={t}/d><link rel=modulepreload href={t}/e>",
    "preconnect": "<link rel=dns-prefetch href={t}><link rel=preconnect href={t}><link rel='preconnect' crossorigin "
    "href={t}><meta http-equiv=x-dns-prefetch-control content=on><a href={t}/x>x</a>",
    "import map": '<script type=importmap>{{"imports":{{"a":"{t}/a"}}}}</script><script type=module>import "a"</script>'
    "<script type=module src={t}/b></script>",
    "speculation rules": '<script type=speculationrules>{{"prefetch":[{{"source":"list","urls":["{t}/a"],'
    '"eagerness":"immediate"}}],"prerender":[{{"urls":["{t}/b"]}}]}}</script>',
    "script": "<script src={t}/a></script><script>fetch('{t}/b');location='{t}/c'</script><svg><script href={t}/d />"
    "<script xlink:href={t}/e></script></svg><body onload=\"new Image().src='{t}/f'\">",
    "frames": "<iframe src={t}/a></iframe><iframe srcdoc='<img src={t}/b><script src={t}/c></script>'></iframe>"
    "<iframe src='data:text/html,<img src={t}/d>'></iframe><iframe src=\"javascript:'<img src={t}/e>'\"></iframe>"
    "<iframe loading=eager src=x csp='img-src *' allow='*' credentialless></iframe>",
    "nested srcdoc": "<iframe srcdoc=\"<iframe srcdoc='<img src={t}/a><meta http-equiv=refresh content=0;url={t}/b>'>"
    '</iframe><base href={t}/><img src=c>"></iframe>',
    "frameset": "<frameset cols=50%,50%><frame src={t}/a><frame src='data:text/html,<img src={t}/b>'></frameset>",
    "objects": "<object data={t}/a></object><object data={t}/b type=image/svg+xml codebase={t}/><param name=src "
    "value={t}/c></object><embed src={t}/d><applet code={t}/e archive={t}/f></applet><bgsound src={t}/g>",
    "object of html": "<object type=text/html data='data:text/html,<img src={t}/a>'></object><embed type=text/html "
    "src='data:text/html,<img src={t}/b>'>",
    "refresh": "<meta http-equiv=refresh content='0;url={t}/a'><META HTTP-EQUIV=\"&#82;efresh\" CONTENT=\"0; {t}/b\">"
    "<noscript><meta http-equiv=refresh content=0;url={t}/c></noscript>",
    "base": "<base href={t}/><img src=a><link rel=stylesheet href=b><style>@import 'c'; body {{background:url(d)}}"
    "</style><base target=_top href={t}/e/><svg xml:base={t}/f/><use href=g#h /></svg>",
    "form": "<form action={t}/a id=f><input autofocus onfocus=form.submit() name=x><button autofocus formaction={t}/b>"
    "</button><input type=image formaction={t}/c src={t}/d></form><form method=dialog action={t}/e></form>"
    "<isindex action={t}/f>",
    "svg use": SVG + "<use href={t}/a#x /><use xlink:href={t}/b#x /><use xlink:href='data:image/svg+xml,{t}/c#x'/>"
    "</svg>",
    "svg image": SVG + "<image href={t}/a /><image xlink:href={t}/b width=9 height=9 /><filter id=f><feImage "
    "href={t}/c /><feImage xlink:href={t}/d /></filter><rect filter=url(#f) width=9 height=9 /></svg>",
    "svg references": SVG + "<linearGradient href={t}/a#x id=g /><pattern xlink:href={t}/b#x /><textPath href={t}/c#x>x"
    "</textPath><mpath href={t}/d#x /><rect fill=url({t}/e#x) stroke='url({t}/f#x)' filter=url({t}/g#x) "
    "mask=url({t}/h#x) clip-path=url({t}/i#x) marker-start=url({t}/j#x) cursor=url({t}/k) width=9 height=9 /></svg>",
    "svg animation": SVG + "<image><set attributeName=href to={t}/a /><animate attributeName=xlink:href values={t}/b;"
    "{t}/c dur=1s /></image><rect width=9 height=9><set attributeName=fill to='url({t}/d#x)'/></rect></svg>",
    "foreignObject": SVG + "<foreignObject width=9 height=9><img src={t}/a><style>@import '{t}/b';</style><iframe "
    "srcdoc='<img src={t}/c>'></iframe></foreignObject><style>@import url(&quot;{t}/d&quot;);"
    "rect {{ fill: url({t}/e) }}</style><![CDATA[<img src={t}/f>]]></svg>",
    "svg style breakout": "<svg><style><img src={t}/a><!--</style><img src={t}/b>--></style></svg><math><mtext><table>"
    "<mglyph><style><img src={t}/c></style></mglyph></table></mtext></math><svg></p><style><a id='</style>"
    "<img src={t}/d>'>",
    "css import": "<style>@import '{t}/a'; @import url({t}/b) screen; @import url('{t}/c') layer(x) supports(color:red);"
    "@IMPORT\"{t}/d\";</style><style>@charset 'x';@import/**/'{t}/e'</style>",
    "css url": "<style>body {{ background: url({t}/a), url( '{t}/b' ) ; cursor: url({t}/c), auto; border-image: "
    "url({t}/d); list-style: url({t}/e) }} p::before {{ content: url({t}/f) }} p {{ shape-outside: url({t}/g); mask: "
    "url({t}/h); filter: url({t}/i#x); offset-path: url({t}/j#x); display: list-item }}</style><p>x",
    "css functions": "<style>p {{ background: image-set('{t}/a' 1x, url({t}/b) 2x); background: -webkit-image-set("
    "url({t}/c) 1x); background: -webkit-cross-fade(url({t}/d), url({t}/e), 50%); background: src('{t}/f') }} "
    "p {{ --x: url({t}/g); background: var(--x); --y: '{t}/h'; background-image: image-set(var(--y) 1x) }}</style><p>x",
    "css fonts": "<style>@font-face {{ font-family: f; src: url({t}/a), url({t}/b) format('woff2') }} p {{ font-family: f "
    "}} @font-face {{ font-family: g; src: local(x), src('{t}/c') }} q {{ font-family: g }} </style><p>x<q>y</q>"
    "<style>@namespace url({t}/d); @property --p {{ syntax: '<url>'; inherits: false; initial-value: url({t}/e) }}</style>",
    "css escapes": "<style>p {{ background: \\75\\72\\6c({t}/a); background: u\\rl('{t}/b'); background: url(\\68ttp:{u}/c)"
    "}} @\\69mport '{t}/d'; @i\\mport \"{t}/e\"; q {{ background: URL({t}/f) }}</style><p>x<q>y</q>",
    "css syntax": "<style>p {{ x: \"\\\n}} q {{\"; background: url({t}/a) }} a {{ b: url(x y) }} p {{ background: url({t}/b"
    "</style><p>x<style><!-- p {{ background: url({t}/c) }} --></style><style>p {{ }} }} ) ] p {{ background: "
    "url({t}/d)}}</style><style>p {{ content: '&quot;}} p {{background:url({t}/e)}}' }}</style>",
    "style attribute": "<p style='background:url({t}/a)'>x<p style=\"background:url(&quot;{t}/b&quot;)\">x<p style='"
    "--a:url({t}/c);background:var(--a)'>x<p style='background:\\75 rl({t}/d)'>x<p style=cursor:url({t}/e),auto>x",
    "manifest": "<html manifest={t}/a><link rel=manifest href={t}/b><link rel=icon href={t}/c><link rel='shortcut icon' "
    "href={t}/d><link rel=apple-touch-icon href={t}/e><link rel=mask-icon href={t}/f><link rel=search "
    "type=application/opensearchdescription+xml href={t}/g><link rel=compression-dictionary href={t}/h>",
    "media": "<video src={t}/a poster={t}/b autoplay></video><audio src={t}/c autoplay></audio><video autoplay preload>"
    "<source src={t}/d><track default src={t}/e kind=captions></video>",
    "noscript": "<noscript><img src={t}/a><link rel=stylesheet href={t}/b></noscript><noembed><img src={t}/c></noembed>"
    "<noframes><img src={t}/d></noframes><xmp><img src={t}/e></xmp><noscript><p title=\"</noscript><img src={t}/f>\">",
    "template": "<template><img src={t}/a></template><div><template shadowrootmode=open><style>@import '{t}/b'</style>"
    "<img src={t}/c><slot></slot></template><img src={t}/d></div>",
    "ping": "<a ping={t}/a href=# autofocus>x</a><a href=# attributionsrc={t}/b>x</a><img attributionsrc={t}/c src="
    "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==><area ping={t}/d href=#>",
    "background": "<body background={t}/a><table background={t}/b><tr><td background={t}/c>x<th background={t}/d>x",
    "link to javascript": "<a href=\"javascript:location='{t}/a'\" id=go>x</a><a href='{t}/b' id=go2>x</a>",
    "portal": "<portal src={t}/a></portal><fencedframe src={t}/b></fencedframe><webview src={t}/c></webview>"
    "<menuitem icon={t}/d><img lowsrc={t}/e dynsrc={t}/f><command icon={t}/g><controlledframe src={t}/h>",
    "malformed": "<img/src={t}/a><img src\n=\n{t}/b><img src='{t}/c'src=x><<img src={t}/d><img <img src={t}/e><img "
    "a='b'c=\"d\"src={t}/f><img src={t}/g /><p/><IMG SRC={t}/h></p <img src={t}/i><img x=`<img src={t}/j>`><img src=\t{t}/k",
    "comments": "<!--[if IE]><img src={t}/a><![endif]--><!--[if !IE]>--><img src={t}/b><!--<![endif]--><!--><img src={t}/c>"
    "--><!---><img src={t}/d>--><!-- --!><img src={t}/e>--><?xml-stylesheet href={t}/f?><!x><img src={t}/g>"
    "<![CDATA[><img src={t}/h>]]><<!-- -->img src={t}/i></ ><img src={t}/j>",
    "raw text": "<title><img src={t}/a></title><img src={t}/b><textarea><img src={t}/c></textarea><script><!--<script>"
    "</script><img src={t}/d>--></script><img src={t}/e><style></style x><img src={t}/f><iframe><img src={t}/g></iframe>"
    "<svg><title><img src={t}/h></title></svg><select><xmp><img src={t}/i></xmp></select>",
    "plaintext": "<p>x<plaintext><img src={t}/a></plaintext><img src={t}/b>",
    "references": "<img src='&#104;ttp:{u}/a'><img src=&#x68;ttp&colon;{u}/b><img src='ht\ntp:{u}/c'><img src='\x01{t}/d'>"
    "<img src=//{h}/e><img src='\\\\{h}/f'><img src='/\t/{h}/g'><img src=http:\\\\{h}/h><img src=http:/{h}/i>",
    "nul bytes": "<i\0mg src={t}/a><img s\0rc={t}/b><img src=\0{t}/c><img src={t}/d\0><\0img src={t}/e><sty\0le>@import "
    "'{t}/f'</style><!-\0-><img src={t}/g><img\0src={t}/h>",
    "data svg": "<img src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'><image href='{t}/a'/><style>"
    "@import '{t}/b'</style></svg>\"><img src='data:text/html,<img src={t}/c>'>",
    "xml": '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="{t}/a"?><?xml-stylesheet href="{t}/b"?>'
    '<!DOCTYPE html SYSTEM "{t}/c" [<!ENTITY x SYSTEM "{t}/d">]><html xmlns="http://www.w3.org/1999/xhtml"><head/>'
    '<body>&x;<img src="{t}/e"/><script src="{t}/f"/><style><![CDATA[@import "{t}/g";]]></style><x:script '
    'xmlns:x="http://www.w3.org/1999/xhtml" src="{t}/h"/><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" '
    'href="{t}/i"/></body></html>',
    "meta policies": "<meta http-equiv=Content-Security-Policy content=\"img-src *; report-uri {t}/a\"><meta "
    "http-equiv=Link content='<{t}/b>; rel=preload; as=image'><meta http-equiv=origin-trial content=x><meta "
    "http-equiv=set-cookie content=a=b><meta property=og:image content={t}/c><meta name=msapplication-TileImage "
    "content={t}/d>",
}  # fmt: skip

#: Pages in other encodings, with their ``Content-Type``.
ENCODED: dict[str, tuple[bytes, str]] = {
    "utf-7": (b"+ADw-img src=+ACI-{t}/a+ACI-+AD4-<img src={t}/b>", "text/html; charset=utf-7"),
    "utf-16": ("<p>x<img src={t}/a><style>@import '{t}/b'</style>".encode("utf-16"), "text/html"),
    "utf-16 without a mark": ("<p>x<img src={t}/a>".encode("utf-16-le"), "text/html; charset=utf-16le"),
    "iso-2022-jp": (b"<p title=\"\x1b$B\"><img src={t}/a>\x1b(B\"><img src={t}/b>", "text/html; charset=iso-2022-jp"),
    "shift_jis": (b"<p title=\"\x81\"><img src={t}/a>\"><img src={t}/b>", "text/html; charset=shift_jis"),
    "a second declaration": (b"<meta charset=utf-16><meta charset=utf-7><img src={t}/a>", "text/html; charset=x-user-defined"),
    "replacement": (b"<img src={t}/a>", "text/html; charset=hz-gb-2312"),
    "xhtml": (b"<html xmlns='http://www.w3.org/1999/xhtml'><img src='{t}/a'/><p/></html>", "application/xhtml+xml"),
}  # fmt: skip

FIELDS = (
    ("Link", "<{t}/a>; rel=preload; as=image, <{t}/b>; rel=stylesheet, <{t}>; rel=preconnect"),
    ("Refresh", "0; url={t}/c"),
    ("Report-To", '{{"group":"x","max_age":99,"endpoints":[{{"url":"{t}/d"}}]}}'),
    ("NEL", '{{"report_to":"x","max_age":99,"success_fraction":1.0}}'),
    ("SourceMap", "{t}/e"),
    ("Content-Security-Policy", "img-src *; report-uri {t}/f"),
    ("Speculation-Rules", '"{t}/g"'),
    ("Content-Security-Policy-Report-Only", "default-src 'none'; report-uri {t}/h"),
)
