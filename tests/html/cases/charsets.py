"""Encodings: where something is inserted, in which bytes, and what the copy keeps."""

from __future__ import annotations

from tests.html.cases.case import INJECTED, Case

PLAIN = ("Content-Type: text/html",)
BARE = "<!DOCTYPE html><html><head>{M}<title>caf\u00e9</title>{T}</head><body>y</body></html>"


def meta(text: str) -> str:
    """A page that names its encoding."""
    return BARE.replace("{M}", text)


def wide(code: str, mark: bool) -> bytes:
    """A page in UTF-16, the tag's place in it as ``{T}``."""
    return (("\ufeff" if mark else "") + INJECTED).encode(code)


CASES = [
    Case("UTF-8 by header"),
    Case("nothing says it", meta(""), answered=PLAIN),
    Case("Latin-1 by header", meta("").encode("latin-1"), answered=("Content-Type: text/html; charset=ISO-8859-1",)),
    Case("Latin-1 by meta", meta("<meta charset=iso-8859-1>").encode("latin-1"), answered=PLAIN),
    Case("windows-1252 by http-equiv", answered=PLAIN,
         out=meta('<meta http-equiv=Content-Type content="text/html; charset=windows-1252">').encode("cp1252")),
    Case("Shift_JIS by header", meta("").replace("\u00e9", "\u30bd").encode("shift_jis"),
         answered=("Content-Type: text/html; charset=Shift_JIS",)),
    Case("EUC-JP by meta", meta("<meta charset=euc-jp>").replace("\u00e9", "\u65e5").encode("euc_jp"), answered=PLAIN),
    Case("GB18030 by meta", meta("<meta charset=gb18030>").replace("\u00e9", "\u4e02").encode("gb18030"), answered=PLAIN),
    Case("Big5 by header", meta("").replace("\u00e9", "\u4e00").encode("big5"),
         answered=("Content-Type: text/html; charset=big5",)),
    Case("KOI8-R by meta", meta("<meta charset=koi8-r>").replace("\u00e9", "\u0416").encode("koi8-r"), answered=PLAIN),
    Case("a UTF-8 byte order mark", "\ufeff" + INJECTED, answered=PLAIN),
    Case("a meta that says UTF-16 means UTF-8", meta("<meta charset=utf-16>"), answered=PLAIN),
    Case("a meta that says nonsense says nothing", meta("<meta charset=nonsense>"), answered=PLAIN),
    Case("ISO-2022-JP by meta", None, meta("<meta charset=iso-2022-jp>").replace("{T}", "").encode("ascii", "ignore"), None,
         "charset", answered=PLAIN),
    Case("a header outdoes a meta", meta("<meta charset=iso-2022-jp>")),
    Case("a byte order mark outdoes a header", "\ufeff" + INJECTED, answered=("Content-Type: text/html; charset=latin1",)),
    *[Case(f"{code} by byte order mark", wide(code, True), answered=PLAIN) for code in ("utf-16-le", "utf-16-be")],
    *[Case(f"{code} by header, as {label}", wide(code, False), answered=(f"Content-Type: text/html; charset={label}",))
      for code, label in (("utf-16-le", "utf-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "utf-16be"))],
    Case("UTF-16 by byte order mark, whatever the header says", wide("utf-16-be", True)),
    Case("UTF-16 by header, UTF-8 by byte order mark", "\ufeff" + INJECTED,
         answered=("Content-Type: text/html; charset=utf-16",)),
    Case("UTF-16 with masks", wide("utf-16-le", True).replace("@@".encode("utf-16-le"), "<input type=password value=s>"
         .encode("utf-16-le")), None, wide("utf-16-le", True).replace("{T}".encode("utf-16-le"), b"").replace(
         "@@".encode("utf-16-le"), '<input type=password value="">'.encode("utf-16-le")), answered=PLAIN),
    Case("UTF-16 with an excluded block", wide("utf-16-be", True).replace(
         "@@".encode("utf-16-be"), "<!-- lbc:exclude -->s<!-- /lbc:exclude -->".encode("utf-16-be")), None,
         wide("utf-16-be", True).replace("{T}".encode("utf-16-be"), b"").replace("@@".encode("utf-16-be"), b""),
         answered=PLAIN),
    # A <meta charset> stays within the first 1,024 bytes.
    Case("a late meta charset", answered=PLAIN,
         out="<!DOCTYPE html><html><head><!--" + "x" * 800 + "--><meta charset=utf-8><title>x</title>{T}</head>"),
    Case("a late meta charset does not matter beside a header",
         "<!DOCTYPE html><html><head><!--" + "x" * 800 + "--><meta charset=utf-8><title>x</title>{T}</head>"),
    Case("an early meta charset", answered=PLAIN,
         out="<!DOCTYPE html><html><head><meta charset=utf-8><!--" + "x" * 2000 + "--><title>x</title>{T}</head>"),
    Case("a meta charset that is too late anyhow", answered=PLAIN,
         out="<!DOCTYPE html><html><head><!--" + "x" * 1100 + "--><meta charset=utf-8><title>x</title>{T}</head>"),
    Case("an application's own bytes", INJECTED.replace("@@", "\x00\x01").encode() + b"\xff\xfe\x80"),
]  # fmt: skip
