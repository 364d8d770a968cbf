"""Requests and answers that somebody hopes two readers take for two things: a table, in words of our own.

After the kinds that public research tells of: contradicting lengths (CL.TE, TE.CL, TE.TE, CL.0, 0.CL), obfuscated
fields, tricks with chunk sizes, extensions and line ends, request lines, targets, expectations, hop-by-hop abuse.
The hidden request is always ``GET /inside``.
"""

from __future__ import annotations

from attrs import frozen

INSIDE = b"GET /inside HTTP/1.1\r\nHost: a\r\n\r\n"


@frozen
class Probe:
    """One of them.

    :ivar status: of the companion's refusal, empty where it has to take the request.
    :ivar takes: method, target and body of the requests that the application gets where it is taken; with ``status``
        too, the companion may do either.
    :ivar begins: the application may get the beginning of it, since the fault is in the body.
    """

    name: str
    data: bytes
    status: tuple[int, ...] = ()
    takes: tuple[tuple[bytes, bytes, bytes], ...] = ()
    begins: bool = False


def _post(fields: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST /form HTTP/" + version + b"\r\nHost: a\r\n" + fields + b"\r\n\r\n" + body


def _get(fields: bytes = b"", line: bytes = b"GET /page HTTP/1.1") -> bytes:
    return line + b"\r\nHost: a\r\n" + (fields + b"\r\n" if fields else b"") + b"\r\n" + INSIDE


def _refused(name: str, data: bytes, *status: int) -> Probe:
    return Probe(name, data, status or (400,))


def _taken(name: str, data: bytes, *takes: tuple[bytes, bytes, bytes]) -> Probe:
    return Probe(name, data, (), takes)


_HIDDEN = b"0\r\n\r\n" + INSIDE
_LENGTH = b"Content-Length: %d" % len(_HIDDEN)

# What is to make one reader see a chunked body, and the other not.
_ENCODINGS: dict[str, bytes] = {
    "plain": b"Transfer-Encoding: chunked",
    "capitals": b"TRANSFER-ENCODING: CHUNKED",
    "mixed case": b"tRANSFER-eNCODING: ChUnKeD",
    "space before the colon": b"Transfer-Encoding : chunked",
    "tab before the colon": b"Transfer-Encoding\t: chunked",
    "space before the name": b" Transfer-Encoding: chunked",
    "tab before the name": b"\tTransfer-Encoding: chunked",
    "no space behind the colon": b"Transfer-Encoding:chunked",
    "tab behind the colon": b"Transfer-Encoding:\tchunked",
    "many spaces": b"Transfer-Encoding:    chunked",
    "space behind the value": b"Transfer-Encoding: chunked ",
    "tab behind the value": b"Transfer-Encoding: chunked\t",
    "vertical tab": b"Transfer-Encoding:\x0bchunked",
    "form feed": b"Transfer-Encoding: \x0cchunked",
    "NUL before the value": b"Transfer-Encoding: \x00chunked",
    "NUL behind the value": b"Transfer-Encoding: chunked\x00",
    "NUL in the name": b"Transfer\x00-Encoding: chunked",
    "backspace": b"Transfer-Encoding: \x08chunked",
    "delete": b"Transfer-Encoding: chunked\x7f",
    "no-break space": b"Transfer-Encoding: \xa0chunked",
    "no-break space in UTF-8": b"Transfer-Encoding: \xc2\xa0chunked",
    "high byte before the value": b"Transfer-Encoding: \xffchunked",
    "high byte in the name": b"Transfer-Encoding\xff: chunked",
    "folded": b"Transfer-Encoding:\r\n chunked",
    "folded with a tab": b"Transfer-Encoding:\r\n\tchunked",
    "folded behind the value": b"Transfer-Encoding: chunked\r\n , identity",
    "line of its own that looks folded": b"X: y\r\n Transfer-Encoding: chunked",
    "folded with a bare LF": b"Transfer-Encoding:\n chunked",
    "bare CR before the value": b"Transfer-Encoding: \rchunked",
    "bare CR behind the value": b"Transfer-Encoding: chunked\r",
    "behind a bare LF": b"X: y\nTransfer-Encoding: chunked",
    "behind a bare CR": b"X: y\rTransfer-Encoding: chunked",
    "behind LF CR": b"X: y\n\rTransfer-Encoding: chunked",
    "quoted": b'Transfer-Encoding: "chunked"',
    "apostrophes": b"Transfer-Encoding: 'chunked'",
    "with a parameter": b"Transfer-Encoding: chunked; q=1",
    "with an empty member": b"Transfer-Encoding: ,chunked",
    "with an empty member behind": b"Transfer-Encoding: chunked,",
    "twice on a line": b"Transfer-Encoding: chunked, chunked",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "another behind": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    "another before": b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    "another before on a line": b"Transfer-Encoding: cow, chunked",
    "another behind on a line": b"Transfer-Encoding: chunked, cow",
    "identity": b"Transfer-Encoding: identity",
    "identity before": b"Transfer-Encoding: identity, chunked",
    "identity behind": b"Transfer-Encoding: chunked, identity",
    "gzip": b"Transfer-Encoding: gzip, chunked",
    "shortened": b"Transfer-Encoding: chunk",
    "lengthened": b"Transfer-Encoding: chunkedx",
    "letter before": b"Transfer-Encoding: xchunked",
    "empty": b"Transfer-Encoding:",
    "a comma alone": b"Transfer-Encoding: ,",
    "two words": b"Transfer-Encoding: chunked chunked",
    "semicolon for the colon": b"Transfer-Encoding; chunked",
    "equals for the colon": b"Transfer-Encoding= chunked",
    "two colons": b"Transfer-Encoding:: chunked",
    "spaces in the name": b"Transfer Encoding: chunked",
    "no name": b": chunked",
    "percent escape": b"Transfer-Encoding: %63hunked",
    "long s": b"Transfer-Encoding: chun\xe2\x84\xaaed",
}

# The value is chunked, in any case, with white space around it: these are what they say.
_GOOD_ENCODINGS = {
    "plain",
    "capitals",
    "mixed case",
    "no space behind the colon",
    "tab behind the colon",
    "many spaces",
    "space behind the value",
    "tab behind the value",
}
# A strict reader may refuse these all the same.
_EITHER_ENCODINGS = {"tab behind the value"}

# Names that are others than they look: passed on as what they are, they frame nothing.
_LOOKALIKES: dict[str, bytes] = {
    "underscore": b"Transfer_Encoding: chunked",
    "dot": b"Transfer.Encoding: chunked",
    "no hyphen": b"TransferEncoding: chunked",
    "X before": b"X-Transfer-Encoding: chunked",
    "TE": b"TE: chunked",
    "content encoding": b"Content-Encoding: chunked",
    "length with an underscore": b"Content_Length: 5",
    "length with an apostrophe": b"Content-Length': 5",
    "length of another name": b"X-Content-Length: 5",
    "trailer": b"Trailer: Transfer-Encoding",
    "named by Connection": b"Connection: Transfer-Encoding",
}

_LENGTHS: dict[str, bytes] = {
    "sign": b"+5",
    "minus": b"-5",
    "minus zero": b"-0",
    "hexadecimal": b"0x5",
    "octal of Python": b"0o5",
    "binary": b"0b101",
    "exponent": b"5e0",
    "fraction": b"5.0",
    "underscore": b"0_5",
    "comma": b"5,5",
    "comma and another": b"5, 0",
    "comma alone": b"5,",
    "space within": b"0 5",
    "tab within": b"0\t5",
    "letter behind": b"5a",
    "parameter": b"5;x=1",
    "quoted": b'"5"',
    "empty": b"",
    "too large for 64 bits": b"18446744073709551621",
    "too large for 32 bits, signed": b"-4294967291",
    "very long": b"0" * 200 + b"5",
    "NUL": b"5\x00",
    "vertical tab": b"\x0b5",
    "digits of another script": "٥".encode(),
    "superscript": b"\xb2",
    "bare CR": b"5\r",
    "fullwidth digit": "５".encode(),
    "folded": b"\r\n 5",
    "folded second": b"5\r\n 0",
}

_SIZES: dict[str, bytes] = {
    "0x": b"0x5",
    "plus": b"+5",
    "minus": b"-5",
    "minus zero": b"-0",
    "underscore": b"0_5",
    "space before": b" 5",
    "tab before": b"\t5",
    "space behind": b"5 ",
    "tab behind": b"5\t",
    "space within": b"0 5",
    "space and a digit": b"5 0",
    "letter behind": b"5g",
    "letter": b"g",
    "h behind": b"5h",
    "comma": b"5,0",
    "quoted": b'"5"',
    "dot": b"5.0",
    "NUL": b"5\x00",
    "vertical tab": b"\x0b5",
    "nothing": b"",
    "extension alone": b";x",
    "too large for 64 bits": b"10000000000000005",
    "largest of 64 bits": b"ffffffffffffffff",
    "largest of 64 bits, signed": b"7fffffffffffffff",
    "digit of another script": "٥".encode(),
    "carriage return before": b"\r5",
    "extension with a bare LF": b"5;a\nb",
    "extension with a bare CR": b"5;a\rb",
    "extension with NUL": b"5;a\x00b",
    "quoted extension with a line end": b'5;a="\r\n"',
    "bare LF behind": b"5\n",
    "extension without end": b"5;" + b"x" * 20000,
    "digits without end": b"0" * 20000 + b"5",
}

_CHUNKED = b"Transfer-Encoding: chunked"

# Bodies in chunks whose line ends or lengths lie.
_BODIES: dict[str, bytes] = {
    "LF for the line end of a size": b"5\nhello\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "LF CR behind the data": b"5\r\nhello\n\r0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "two other bytes behind the data": b"5\r\nhelloXX0\r\n\r\n",
    "data too long": b"5\r\nhello!\r\n0\r\n\r\n",
    "data too short": b"7\r\nhello\r\n0\r\n\r\n",
    "empty line before a size": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "LF behind the last size": b"5\r\nhello\r\n0\n\r\n",
    "LF LF at the end": b"5\r\nhello\r\n0\n\n",
    "CR at the end": b"5\r\nhello\r\n0\r\n\rX",
    "folded trailer": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nGET /inside HTTP/1.1\r\n\r\n",
    "trailer with a bare LF": b"5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n",
    "trailer with a bare CR": b"5\r\nhello\r\n0\r\nX: y\rZ: z\r\n\r\n",
    "trailer with NUL": b"5\r\nhello\r\n0\r\nX: y\x00\r\n\r\n",
    "trailer with a space before the colon": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "trailers without end": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
}

# Trailers that would change how a careless reader frames or routes: to be dropped, or refused; never passed on.
FORBIDDEN_TRAILERS = (
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Host: evil.example",
    b"Cookie: a=1",
    b"Authorization: Basic eA==",
    b"X-Forwarded-For: 203.0.113.9",
    b"Content-Encoding: gzip",
    b"Content-Type: text/html",
    b"Connection: close",
    b"Trailer: x",
    b"TE: trailers",
    b"Set-Cookie: a=1",
)

_LINES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "two spaces": (b"GET  /page HTTP/1.1", (400,)),
    "two spaces before the version": (b"GET /page  HTTP/1.1", (400,)),
    "space at the end": (b"GET /page HTTP/1.1 ", (400,)),
    "space at the beginning": (b" GET /page HTTP/1.1", (400,)),
    "tabs": (b"GET\t/page\tHTTP/1.1", (400, 501)),
    "tab behind the method": (b"GET\t /page HTTP/1.1", (400, 501)),
    "vertical tab": (b"GET\x0b/page HTTP/1.1", (400, 501)),
    "form feed": (b"GET /page\x0c HTTP/1.1", (400,)),
    "bare CR": (b"GET /page\rX HTTP/1.1", (400,)),
    "bare LF": (b"GET /page\nX HTTP/1.1", (400,)),
    "NUL": (b"GET /page\x00 HTTP/1.1", (400,)),
    "delete": (b"GET /page\x7f HTTP/1.1", (400,)),
    "no-break space": (b"GET /page\xa0HTTP/1.1", (400,)),
    "no version": (b"GET /page", (400,)),
    "two versions": (b"GET /page HTTP/1.1 HTTP/1.1", (400,)),
    "space in the target": (b"GET /page /other HTTP/1.1", (400,)),
    "version 0.9": (b"GET /page HTTP/0.9", (505, 400)),
    "version 1.2": (b"GET /page HTTP/1.2", (505, 400)),
    "version 1.10": (b"GET /page HTTP/1.10", (505, 400)),
    "version 01.1": (b"GET /page HTTP/01.1", (505, 400)),
    "version 2.0": (b"GET /page HTTP/2.0", (505, 400)),
    "version 2": (b"GET /page HTTP/2", (505, 400)),
    "version in small letters": (b"GET /page http/1.1", (505, 400)),
    "version without a dot": (b"GET /page HTTP/11", (505, 400)),
    "version with a sign": (b"GET /page HTTP/+1.1", (505, 400)),
    "version with a comma": (b"GET /page HTTP/1,1", (505, 400)),
    "version behind a space": (b"GET /page HTTP/ 1.1", (505, 400)),
    "another protocol": (b"GET /page HTTPS/1.1", (505, 400)),
    "another protocol altogether": (b"GET /page RTSP/1.0", (505, 400)),
    "method in small letters": (b"get /page HTTP/1.1", (400, 501)),
    "method with a colon": (b"GET: /page HTTP/1.1", (400, 501)),
    "method with a high byte": (b"G\xcbT /page HTTP/1.1", (400, 501)),
    "method missing": (b"/page HTTP/1.1", (400, 501)),
    "preface of HTTP/2": (b"PRI * HTTP/2.0", (505, 400, 501)),
    "connect": (b"CONNECT a:80 HTTP/1.1", (501, 400, 405)),
    "star": (b"GET * HTTP/1.1", (400,)),
    "no slash": (b"GET page HTTP/1.1", (400,)),
    "fragment": (b"GET /page#x HTTP/1.1", (400,)),
    "user and host": (b"GET http://a@evil.example/page HTTP/1.1", (400,)),
    "user of the host": (b"GET http://evil.example@a/page HTTP/1.1", (400,)),
    "no host": (b"GET http:///page HTTP/1.1", (400,)),
    "no slashes": (b"GET http:a/page HTTP/1.1", (400,)),
    "backslash host": (b"GET http://a\\@evil.example/ HTTP/1.1", (400,)),
    "scheme of files": (b"GET file://a/page HTTP/1.1", (400,)),
    "authority form": (b"GET a:80 HTTP/1.1", (400,)),
}

#: Request lines that are forwarded, with the target that the application gets. In absolute form the host of the target
#: counts (RFC 9112 section 3.2.2).
_GOOD_LINES: dict[str, tuple[bytes, bytes]] = {
    "high bytes in the target": (b"GET /\xc3\xa4 HTTP/1.1", b"/%C3%A4"),
    "high bytes in the query": (b"GET /page?\xff HTTP/1.1", b"/page?%FF"),
    "another host": (b"GET http://evil.example/page HTTP/1.1", b"/page"),
    "another port": (b"GET http://a:81/page HTTP/1.1", b"/page"),
}

_HOSTS: dict[str, bytes] = {
    "two": b"Host: a\r\nHost: b",
    "two alike": b"Host: a\r\nHost: a",
    "two, another case": b"Host: a\r\nhOST: b",
    "none": b"Accept: */*",
    "folded": b"Host: a\r\n b",
    "folded before": b"X: y\r\n Host: b",
    "first line folded": b" Host: b\r\nHost: a",
    "space before the colon": b"Host : a",
    "space before the colon, and a good one": b"Host: a\r\nHost : b",
    "list": b"Host: a, b",
    "spaces": b"Host: a b",
    "path": b"Host: a/b",
    "user": b"Host: a@b",
    "fragment": b"Host: a#b",
    "query": b"Host: a?b",
    "NUL": b"Host: a\x00b",
    "tab": b"Host: a\tb",
    "backslash": b"Host: a\\b",
    "high byte": b"Host: \xe4",
    "scheme": b"Host: http://a",
    "bare CR": b"Host: a\rHost: b",
    "bare LF": b"Host: a\nHost: b",
}

_FIELDS: dict[str, bytes] = {
    "no colon": b"nothing",
    "no name": b": x",
    "space before the colon": b"X : y",
    "space in the name": b"X Y: z",
    "NUL in the name": b"X\x00: y",
    "NUL in the value": b"X: \x00",
    "high byte in the name": b"X\xe9: y",
    "bracket in the name": b"X[: y",
    "parenthesis in the name": b"X(: y",
    "at sign in the name": b"X@: y",
    "quote in the name": b'X": y',
    "slash in the name": b"X/: y",
    "comma in the name": b"X,: y",
    "equals in the name": b"X=: y",
    "CR in the name": b"X\r: y",
    "CR in the value": b"X: y\rz",
    "LF in the value": b"X: y\nz",
    "CR LF folded": b"X: y\r\n z",
    "only white space": b"  ",
    "escape": b"X: \x1b[2J",
    "delete": b"X: \x7f",
}


@frozen
class ProbeAnswer:
    """What an application says, well or badly.

    :ivar data: its whole answer; behind it, it closes.
    :ivar body: what a visitor may take for the body, None where it must be told 502.
    :ivar whole: whether the visitor sees it whole; else it must see that it is not.
    """

    name: str
    data: bytes
    body: bytes | None = None
    whole: bool = True
    method: bytes = b"GET"


#: The hidden answer, never to be seen by anyone.
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def answers() -> list[ProbeAnswer]:
    """Answers of all kinds."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    found = []
    for name, field in _ENCODINGS.items():
        if name not in _GOOD_ENCODINGS:
            found.append(ProbeAnswer(f"TE {name}", ok + field + b"\r\n\r\n0\r\n\r\n" + EVIL))
        found.append(ProbeAnswer(f"TE and CL {name}", ok + field + b"\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + EVIL))
    for name in sorted(_GOOD_ENCODINGS - _EITHER_ENCODINGS):
        data = ok + _ENCODINGS[name] + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        found.append(ProbeAnswer(f"TE {name}", data + EVIL, b"hello"))
        found.append(ProbeAnswer(f"TE in 1.0 {name}", data.replace(b"HTTP/1.1", b"HTTP/1.0")))
    for name, value in _LENGTHS.items():
        found.append(ProbeAnswer(f"length: {name}", ok + b"Content-Length: " + value + b"\r\n\r\nhello" + EVIL))
    for name, size in _SIZES.items():
        data = ok + _CHUNKED + b"\r\n\r\n5\r\nhello\r\n" + size + b"\r\nhello\r\n0\r\n\r\n"
        found.append(ProbeAnswer(f"size: {name}", data + EVIL, b"hello", whole=False))
    for name, field in _FIELDS.items():
        if name == "space before the colon":
            # White space is removed there, but for fields that frame the message (RFC 9112 section 5.1).
            found.append(ProbeAnswer(f"field: {name}", ok + field + b"\r\nContent-Length: 0\r\n\r\n" + EVIL, b""))
            continue
        found.append(ProbeAnswer(f"field: {name}", ok + field + b"\r\nContent-Length: 0\r\n\r\n" + EVIL))
    hello = ok + b"Content-Length: 5\r\n\r\nhello"
    switch = b"HTTP/1.1 101 Switching Protocols\r\n"
    found += [
        ProbeAnswer("more than it promised", hello + EVIL, b"hello"),
        ProbeAnswer("less than it promised", ok + b"Content-Length: 9\r\n\r\nhello", b"hello", whole=False),
        ProbeAnswer("until it closes", ok + b"\r\nhello", b"hello"),
        ProbeAnswer("less chunks than promised", ok + _CHUNKED + b"\r\n\r\n5\r\nhello\r\n", b"hello", whole=False),
        ProbeAnswer("a body for HEAD", hello, b"", method=b"HEAD"),
        ProbeAnswer("chunks for HEAD", ok + _CHUNKED + b"\r\n\r\n0\r\n\r\n" + EVIL, b"", method=b"HEAD"),
        ProbeAnswer("a body for 204", b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, b""),
        ProbeAnswer("a length for 204", b"HTTP/1.1 204 No Content\r\nContent-Length: 45\r\n\r\n" + EVIL, b""),
        ProbeAnswer("a body for 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n" + EVIL, b""),
        ProbeAnswer("chunks for 304", b"HTTP/1.1 304 Not Modified\r\n" + _CHUNKED + b"\r\n\r\n0\r\n\r\n" + EVIL, b""),
        ProbeAnswer("100 and the end", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ProbeAnswer("100 with a body", b"HTTP/1.1 100 Continue\r\nContent-Length: 45\r\n\r\n" + hello, b"hello"),
        ProbeAnswer("100 without end", b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + hello, b"hello"),
        ProbeAnswer("199", b"HTTP/1.1 199 Odd\r\n\r\n" + hello, b"hello"),
        ProbeAnswer(
            "a switch to anything",
            switch + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n" + EVIL,
        ),
        ProbeAnswer("a switch to nothing", switch + b"\r\n" + EVIL),
        ProbeAnswer("HTTP/0.9", b"<html>hello</html>"),
        ProbeAnswer("HTTP/2", b"HTTP/2 200\r\n\r\n" + EVIL),
        ProbeAnswer("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("small letters", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("no status", b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("status with a sign", b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("status 000", b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("status 099", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("reason with a bare CR", b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("reason with NUL", b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"),
        ProbeAnswer("empty line first", b"\r\n" + hello),
        ProbeAnswer("space first", b" " + hello),
        ProbeAnswer("a byte order mark first", b"\xef\xbb\xbf" + hello),
        ProbeAnswer("nothing", b""),
        ProbeAnswer("half a head", ok),
        ProbeAnswer("a head of 1 MB", ok + b"X: " + b"y" * 1048576 + b"\r\n\r\n"),
        ProbeAnswer("a request", INSIDE),
    ]
    return found


def _encodings() -> list[Probe]:
    found = []
    for name, field in _ENCODINGS.items():
        found.append(_refused(f"CL.TE {name}", _post(_LENGTH + b"\r\n" + field, _HIDDEN)))
        found.append(_refused(f"TE.CL {name}", _post(field + b"\r\nContent-Length: 4", b"5c\r\n" + INSIDE)))
        body = b"5\r\nhello\r\n0\r\n\r\n"
        if name in _EITHER_ENCODINGS:
            found.append(Probe(f"TE {name}", _post(field, body), (400,), ((b"POST", b"/form", b"hello"),)))
        elif name in _GOOD_ENCODINGS:
            found.append(_taken(f"TE {name}", _post(field, body), (b"POST", b"/form", b"hello")))
        else:
            found.append(_refused(f"TE {name}", _post(field, body + INSIDE)))
    found.extend(
        _refused(f"TE in 1.0, {name}", _post(_ENCODINGS[name], _HIDDEN, b"1.0")) for name in sorted(_GOOD_ENCODINGS)
    )
    return found


def _lookalikes() -> list[Probe]:
    found = []
    for name, field in _LOOKALIKES.items():
        both = _post(_LENGTH + b"\r\n" + field, _HIDDEN)
        found.append(_taken(f"no framing: {name}", both, (b"POST", b"/form", _HIDDEN)))
    body = b"5\r\nhello\r\n0\r\n\r\n"
    chunked = _post(_CHUNKED + b"\r\nContent_Length: 3", body)
    found.append(_taken("no framing: chunked beside a false length", chunked, (b"POST", b"/form", b"hello")))
    return found


def _lengths() -> list[Probe]:
    found = [
        _refused(f"length: {name}", _post(b"Content-Length: " + value, b"hello" + INSIDE))
        for name, value in _LENGTHS.items()
    ]
    for first, second in ((b"5", b"0"), (b"0", b"5"), (b"5", b"5"), (b"5", b"05")):
        data = _post(b"Content-Length: " + first + b"\r\nContent-Length: " + second, b"hello" + INSIDE)
        found.append(_refused(f"lengths {first.decode()} and {second.decode()}", data))
    spaced = _post(b"Content-Length : 5", b"hello" + INSIDE)
    found.append(_refused("length with a space before the colon", spaced))
    found.append(_refused("length folded away", _post(b"X: y\r\n Content-Length: 5", b"hello" + INSIDE)))
    padded = _post(b"Content-Length: 00%d" % len(_HIDDEN), _HIDDEN)
    found.append(_taken("length with leading zeros", padded, (b"POST", b"/form", _HIDDEN)))
    # CL.0 and 0.CL: a body where many expect none, and a length of none before what looks like one.
    for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE"):
        data = method + b" /page HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(INSIDE) + INSIDE
        found.append(_taken(f"CL.0 {method.decode()}", data, (method, b"/page", INSIDE)))
    nothing = _post(b"Content-Length: 0", b"") + _get()[: -len(INSIDE)]
    found.append(_taken("length zero", nothing, (b"POST", b"/form", b""), (b"GET", b"/page", b"")))
    upgrade = b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: %d" % len(INSIDE)
    found.append(_taken("body beside an upgrade", _post(upgrade, INSIDE), (b"POST", b"/form", INSIDE)))
    return found


def _chunks() -> list[Probe]:
    found = [
        Probe(f"size: {name}", _post(_CHUNKED, size + b"\r\nhello\r\n0\r\n\r\n" + INSIDE), (400,), begins=True)
        for name, size in _SIZES.items()
    ]
    found += [
        Probe(
            f"last size: {name}",
            _post(_CHUNKED, b"5\r\nhello\r\n0" + size[1:] + b"\r\n\r\n" + INSIDE),
            (400,),
            (),
            True,
        )
        for name, size in _SIZES.items()
        if size[:1] == b"5" and name not in ("digits without end", "space and a digit")
    ]
    found += [
        Probe(f"chunks: {name}", _post(_CHUNKED, body + INSIDE), (400,), begins=True) for name, body in _BODIES.items()
    ]
    for name, size in {
        "capital letter": b"A",
        "leading zeros": b"0000000a",
        "extension": b"a;x=y",
        "quoted extension": b'a;x="y;\\"z"',
        "extension like a size": b"a;5",
        "space before the extension": b"a ;x",
        "extension without a name": b"a;",
    }.items():
        data = _post(_CHUNKED, size + b"\r\n0123456789\r\n0\r\n\r\n")
        found.append(_taken(f"size: {name}", data, (b"POST", b"/form", b"0123456789")))
    ghost = _post(_CHUNKED, b"5\r\n0\r\n\r\n\r\n0\r\n\r\n")
    found.append(_taken("a last chunk within the data", ghost, (b"POST", b"/form", b"0\r\n\r\n")))
    return found


def _heads() -> list[Probe]:
    found = [_refused(f"line: {name}", _get(line=line), *status) for name, (line, status) in _LINES.items()]
    for name, (line, target) in _GOOD_LINES.items():
        found.append(_taken(f"line: {name}", _get(line=line), (b"GET", target, b""), (b"GET", b"/inside", b"")))
    for name, fields in _HOSTS.items():
        found.append(_refused(f"host: {name}", b"GET /page HTTP/1.1\r\n" + fields + b"\r\n\r\n" + INSIDE))
    found += [_refused(f"field: {name}", _get(field)) for name, field in _FIELDS.items()]
    for name, fields in {
        "Connection names the length": b"Connection: Content-Length\r\nContent-Length: %d" % len(INSIDE),
        "Connection names Host": b"Connection: Host\r\nContent-Length: %d" % len(INSIDE),
        "Connection names the cookie": b"Connection: Cookie, close-not\r\nContent-Length: %d" % len(INSIDE),
        "an expectation": b"Expect: 100-continue\r\nContent-Length: %d" % len(INSIDE),
        "an odd expectation": b"Expect: y 100-continue\r\nContent-Length: %d" % len(INSIDE),
        "an expectation twice": b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: %d" % len(INSIDE),
        "an expectation in capitals": b"EXPECT: 100-CONTINUE\r\nContent-Length: %d" % len(INSIDE),
        "another method by a field": b"X-HTTP-Method-Override: GET\r\nContent-Length: %d" % len(INSIDE),
        "another path by a field": b"X-Original-URL: /inside\r\nContent-Length: %d" % len(INSIDE),
        "Keep-Alive of none": b"Keep-Alive: timeout=0\r\nContent-Length: %d" % len(INSIDE),
    }.items():
        found.append(_taken(name, _post(fields, INSIDE), (b"POST", b"/form", INSIDE)))
    first = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"
    found.append(_taken("empty lines between", first + b"\r\n\r\n" + first, *[(b"GET", b"/page", b"")] * 2))
    absolute = b"GET http://a/page HTTP/1.1\r\nHost: a\r\n\r\n"
    found.append(_taken("absolute form", absolute, (b"GET", b"/page", b"")))
    found.append(_taken("double slash", first.replace(b"/page", b"//evil.example/"), (b"GET", b"//evil.example/", b"")))
    found.append(_taken("no body at all", first + first, *[(b"GET", b"/page", b"")] * 2))
    return found


def probes() -> list[Probe]:
    """All of them."""
    return [*_encodings(), *_lookalikes(), *_lengths(), *_chunks(), *_heads()]
