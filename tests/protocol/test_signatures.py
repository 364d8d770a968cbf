"""HTTP Message Signatures (RFC 9421) as this farm uses them."""

from datetime import UTC, datetime
from typing import Any

import http_sf
import pytest
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import SignatureRefused
from lbcompanion.protocol.signatures import FARM_KEY_ID, MAX_SKEW_SECONDS, SignedRequest, Signer, Verifier
from lbcompanion.testing.strategies import SECRET

NOW = 1_900_000_000.25
URL = "https://www.example.com/_lbc/page/1abc"
PATH = "/_lbc/page/1abc"
HOST = "www.example.com"
NONCE = "bm9uY2U"
FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Fields = list[tuple[bytes, bytes]]


def pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


VERIFIER = Verifier(SECRET, {"studio": pem(FOREIGN)})


def received(headers: list[tuple[str, str]]) -> Fields:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def signed(body: bytes | None = None, method: str = "GET", url: str = URL, now: float = NOW) -> Fields:
    return received(Signer(SECRET).sign(method, url, NONCE, now, body))


@frozen
class Message:
    method: str
    url: str
    headers: dict[str, str]


ALL_COMPONENTS = ("@method", "@authority", "@path", "lbc-nonce")


def by_library(
    covered: tuple[str, ...] = ALL_COMPONENTS,
    headers: dict[str, str] | None = None,
    algorithm: Any = algorithms.ED25519,
    key: Any = FOREIGN,
    **said: Any,
) -> Fields:
    """Signed as a foreign crawler might."""
    message = Message("GET", URL, {"Lbc-Nonce": NONCE} if headers is None else headers)
    told: dict[str, Any] = {"key_id": "studio", "label": "lbc", "created": datetime.fromtimestamp(int(NOW), UTC)} | said
    keys = MappingKeyResolver(public_keys={}, private_keys={told["key_id"]: key})
    HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=keys).sign(
        message, covered_component_ids=covered, **told
    )
    return received(list(message.headers.items()))


def verify(
    fields: Fields,
    *,
    method: str = "GET",
    authority: str = HOST,
    path: str = PATH,
    body: bytes = b"",
    now: float = NOW,
) -> str:
    return VERIFIER.verify(SignedRequest(method, authority, path, fields, body), now)


def without(fields: Fields, name: bytes) -> Fields:
    return [pair for pair in fields if pair[0] != name]


def swap(fields: Fields, name: bytes, old: bytes, new: bytes) -> Fields:
    changed = [(key, value.replace(old, new) if key == name else value) for key, value in fields]
    assert changed != fields
    return changed


def test_what_was_signed_is_believed() -> None:
    assert verify(signed()) == FARM_KEY_ID
    assert verify([(b"host", HOST.encode()), *signed(), (b"accept", b"*/*")]) == FARM_KEY_ID


def test_the_headers_are_those_of_the_contract() -> None:
    assert [name for name, _ in Signer(SECRET).sign("GET", URL, NONCE, NOW)] == [
        "Lbc-Nonce", "Signature-Input", "Signature",
    ]  # fmt: skip
    headers = dict(Signer(SECRET).sign("POST", URL, NONCE, NOW, b"{}"))
    assert headers["Content-Digest"] == "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"
    assert headers["Signature-Input"] == (
        'lbc=("@method" "@authority" "@path" "lbc-nonce" "content-digest")'
        ';created=1900000000;keyid="farm";alg="hmac-sha256"'
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"\0" * 5000])
def test_a_body_is_covered(body: bytes) -> None:
    fields = signed(body, "POST")
    assert verify(fields, method="POST", body=body) == FARM_KEY_ID
    for other in (body + b"x", b"" if body else b"x"):
        with pytest.raises(SignatureRefused, match="digest"):
            verify(fields, method="POST", body=other)


def test_a_body_without_its_digest_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="content-digest is not covered"):
        verify(signed(None, "POST"), method="POST", body=b"{}")
    uncovered = [*signed(None, "POST"), *[pair for pair in signed(b"{}", "POST") if pair[0] == b"content-digest"]]
    with pytest.raises(SignatureRefused, match="content-digest is not covered"):
        verify(uncovered, method="POST", body=b"{}")


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        (URL, "WWW.Example.COM", PATH),
        (URL, "www.example.com:443", PATH),
        ("http://www.example.com/a", "www.example.com:80", "/a"),
        ("http://www.example.com/a", "www.example.com", "/a"),
        ("http://127.0.0.1:8080/a", "127.0.0.1:8080", "/a"),
        ("http://[::1]:8080/a?q=1", "[::1]:8080", "/a?q=1"),
        ("https://www.example.com:443/a", "www.example.com", "/a"),
        ("https://www.example.com/a%2Fb/../c", "www.example.com", "/a%2Fb/../c"),
    ],
)
def test_the_authority_with_or_without_its_default_port(url: str, authority: str, path: str) -> None:
    assert verify(signed(url=url), authority=authority, path=path) == FARM_KEY_ID


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "DELETE"},
        {"authority": "www.example.org"},
        {"authority": "www.example.com:8443"},
        {"path": "/_lbc/page/1abd"},
        {"path": "/_lbc/page/1abc/"},
        {"path": "/_lbc/page/%31abc"},
        {"path": "//_lbc/page/1abc"},
        {"path": "/page/1abc", "authority": "www.example.com/_lbc"},
        {"authority": "user@www.example.com"},
        {"authority": ""},
        {"path": ""},
        {"path": "*"},
        {"path": "/_lbc/page/1abc#x"},
        {"path": "https://www.example.com/_lbc/page/1abc"},
    ],
)
def test_another_request_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(SignatureRefused):
        verify(signed(), **changed)


@pytest.mark.parametrize("seconds", [MAX_SKEW_SECONDS + 1, -MAX_SKEW_SECONDS - 1, 1e9, -1e9])
def test_too_old_or_too_new_is_refused(seconds: float) -> None:
    with pytest.raises(SignatureRefused, match="created"):
        verify(signed(), now=NOW + seconds)


@pytest.mark.parametrize("seconds", [MAX_SKEW_SECONDS - 1, 1 - MAX_SKEW_SECONDS])
def test_clocks_may_differ_a_little(seconds: float) -> None:
    assert verify(signed(), now=NOW + seconds) == FARM_KEY_ID


def test_what_has_expired_is_refused() -> None:
    fields = by_library(expires=datetime.fromtimestamp(int(NOW) + 10, UTC))
    assert verify(fields, now=NOW + 5) == "studio"
    with pytest.raises(SignatureRefused, match="expired"):
        verify(fields, now=NOW + 11)


def test_another_secret_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="key"):
        Verifier(b"another").verify(SignedRequest("GET", HOST, PATH, signed()), NOW)


def test_a_foreign_crawler_signs_with_its_own_key() -> None:
    assert verify(by_library()) == "studio"
    assert verify(by_library((*ALL_COMPONENTS, "@target-uri", "@scheme", "@query"))) == "studio"
    with pytest.raises(SignatureRefused, match="not that of this request"):
        verify(by_library(key=Ed25519PrivateKey.from_private_bytes(bytes(32))))
    with pytest.raises(SignatureRefused, match="key id"):
        verify(by_library(key_id="stranger"))


def test_a_key_is_used_with_its_own_algorithm_only() -> None:
    # The public key is public: it must not do as a shared secret.
    forged = by_library(algorithm=algorithms.HMAC_SHA256, key=pem(FOREIGN))
    with pytest.raises(SignatureRefused, match="alg has to be ed25519"):
        verify(forged)
    with pytest.raises(SignatureRefused, match="alg has to be hmac-sha256"):
        verify(by_library(key_id=FARM_KEY_ID))


@pytest.mark.parametrize("left_out", ALL_COMPONENTS)
def test_every_component_is_needed(left_out: str) -> None:
    covered = tuple(name for name in ALL_COMPONENTS if name != left_out)
    with pytest.raises(SignatureRefused, match=f"{left_out} is not covered"):
        verify(by_library(covered))


def test_a_component_with_parameters_is_another() -> None:
    with pytest.raises(SignatureRefused, match="lbc-nonce is not covered"):
        verify(by_library((*ALL_COMPONENTS[:3], '"lbc-nonce";bs')))


def test_every_parameter_is_needed() -> None:
    with pytest.raises(SignatureRefused, match="alg is missing"):
        verify(by_library(include_alg=False))
    for name in (b"created=1900000000;", b'keyid="studio";'):
        with pytest.raises(SignatureRefused, match="is missing"):
            verify(swap(by_library(), b"signature-input", b";" + name[:-1], b""))


@pytest.mark.parametrize("name", [b"lbc-nonce", b"signature-input", b"signature"])
def test_every_field_is_needed(name: bytes) -> None:
    with pytest.raises(SignatureRefused, match=name.decode()):
        verify(without(signed(), name))


def test_a_nonce_stands_there_once_and_is_not_empty() -> None:
    with pytest.raises(SignatureRefused, match="lbc-nonce"):
        verify([*signed(), (b"lbc-nonce", b"second")])
    with pytest.raises(SignatureRefused, match="lbc-nonce"):
        verify(by_library(headers={"Lbc-Nonce": ""}))


def test_two_labels_of_this_project_are_refused() -> None:
    mine = signed()
    for doubled in ([*mine, *mine[1:]], [*mine, mine[1]], [*mine, mine[2]]):
        with pytest.raises(SignatureRefused, match="twice"):
            verify(doubled)


def test_other_labels_are_none_of_our_business() -> None:
    other = [(b"signature-input", b'cdn=("@method");created=1;keyid="x"'), (b"signature", b"edge=:AAAA:")]
    assert verify([*other, *signed()]) == FARM_KEY_ID
    assert verify([*signed(), *other]) == FARM_KEY_ID
    with pytest.raises(SignatureRefused, match="no label lbc"):
        verify([*other, (b"lbc-nonce", b"n")])


@pytest.mark.parametrize(
    "value",
    [
        b"", b"lbc", b"lbc=()", b"lbc=1", b"lbc=:AAAA:", b"\xff\xfe", b"lbc=(", b"lbc=(1 2)", b'lbc=("@method"',
        b"((((",
        b'lbc=("@method" "@authority" "@path" "lbc-nonce");created=1e9;keyid="farm";alg="hmac-sha256"',
        b'lbc=("@method" "@authority" "@path" "lbc-nonce");created="1900000000";keyid="farm";alg="hmac-sha256"',
        b'lbc=("@method" "@authority" "@path" "lbc-nonce");created=1900000000;keyid=farm;alg="hmac-sha256"',
        b'lbc=("@method" "@authority" "@path" "lbc-nonce");created=1900000000;keyid=("farm");alg="hmac-sha256"',
        b'lbc=("@method" "@authority" "@path" "lbc-nonce" "@path");created=1900000000;keyid="farm";alg="hmac-sha256"',
        b'lbc=("@method" "@authority" "@path" "lbc-nonce");created=999999999999999;keyid="farm";alg="hmac-sha256"',
    ],
)  # fmt: skip
def test_nonsense_is_refused(value: bytes) -> None:
    for name in (b"signature-input", b"signature"):
        with pytest.raises(SignatureRefused):
            verify([*without(signed(), name), (name, value)])


@given(st.sampled_from(signed(b"{}", "POST")), st.data())
def test_one_altered_byte_of_any_field_is_refused(field: tuple[bytes, bytes], data: st.DataObject) -> None:
    name, value = field
    at = data.draw(st.integers(0, len(value) - 1))
    byte = data.draw(st.integers(0x21, 0x7E).filter(lambda code: code != value[at]))
    altered = value[:at] + bytes([byte]) + value[at + 1 :]
    # The last letter before base64's padding has bits that mean nothing.
    if name == b"signature" and value[at + 1 : at + 2] == b"=":
        return
    fields = [(name, altered) if pair[0] == name else pair for pair in signed(b"{}", "POST")]
    with pytest.raises(SignatureRefused):
        verify(fields, method="POST", body=b"{}")


hostile = st.binary(max_size=60) | st.text("lbc=(\"@;:?*\\')._1aA, ", max_size=60).map(str.encode)
names = st.sampled_from([b"signature-input", b"signature", b"lbc-nonce", b"content-digest"])


@given(
    st.lists(st.tuples(names, hostile), max_size=5), st.binary(max_size=5), st.text(max_size=10), st.text(max_size=10)
)
def test_nothing_but_a_refusal_comes_of_hostile_text(fields: Fields, body: bytes, method: str, path: str) -> None:
    for request in (fields, [*signed(), *fields]):
        with pytest.raises(SignatureRefused):
            verify(request, method=method or "GET", body=body + b"x", path=path)


def test_keys_that_cannot_be_used_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="PEM"):
        Verifier(SECRET, {"x": b"nonsense"})
    with pytest.raises(ValueError, match="ed25519"):
        Verifier(SECRET, {"x": pem(generate_private_key(SECP256R1()))})
    with pytest.raises(ValueError, match="farm"):
        Verifier(SECRET, {"farm": pem(FOREIGN)})
    for side in (Signer, Verifier):
        with pytest.raises(ValueError, match="empty"):
            side(b"")


def test_what_cannot_be_signed_says_so() -> None:
    for method, url in (("get", URL), ("GET", "/_lbc"), ("GET", "https://www.example.com/a b")):
        with pytest.raises(SignatureRefused, match="cannot be signed"):
            Signer(SECRET).sign(method, url, NONCE, NOW)


def head_verified(fields: Fields, method: str = "PUT", path: str = PATH) -> str:
    return VERIFIER.verify_head(SignedRequest(method, HOST, path, fields), NOW)


def test_a_head_is_judged_before_its_body_comes() -> None:
    fields = signed(b"a body", "PUT")
    assert head_verified(fields) == FARM_KEY_ID
    assert verify(fields, method="PUT", body=b"a body") == FARM_KEY_ID
    with pytest.raises(SignatureRefused, match="content-digest is not that of the body"):
        verify(fields, method="PUT", body=b"another body")
    foreign = by_library(body=b"a body")
    assert head_verified(foreign, "GET") == "studio"


def test_a_head_that_does_not_say_which_body_will_come_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="content-digest is not covered"):
        head_verified(signed(None, "PUT"))
    for changed in (
        [(name, value) for name, value in signed(b"x", "PUT") if name != b"content-digest"],
        [(name, b"sha-256=:YWJj:" if name == b"content-digest" else value) for name, value in signed(b"x", "PUT")],
    ):
        with pytest.raises(SignatureRefused):
            head_verified(changed)
    with pytest.raises(SignatureRefused):
        head_verified(signed(b"x", "PUT"), path=PATH + "d")
    with pytest.raises(SignatureRefused):
        head_verified(signed(b"x", "PUT", now=NOW - 1000))


def test_the_query_is_covered_if_there_is_one() -> None:
    url = f"{URL}?a=b&c=d%20e"
    fields = signed(url=url)
    assert '"@query"' in dict(fields)[b"signature-input"].decode()
    assert verify(fields, path=f"{PATH}?a=b&c=d%20e") == FARM_KEY_ID
    assert verify(signed(url=f"{URL}?"), path=f"{PATH}?") == FARM_KEY_ID
    for path in (f"{PATH}?a=b&c=d", f"{PATH}?a=b&c=d e", f"{PATH}?", PATH):
        with pytest.raises(SignatureRefused):
            verify(fields, path=path)
    with pytest.raises(SignatureRefused, match="@query is not covered"):
        verify(signed(), path=f"{PATH}?a=b")
    with pytest.raises(SignatureRefused, match="@query is not covered"):
        verify(by_library(), path=f"{PATH}?")


def verify_behind(
    fields: Fields,
    host: str,
    *others: str,
    signed_authority: str = "",
    accepts_any: bool = False,
    verifier: Verifier = VERIFIER,
) -> str:
    """Verify a request whose Host a balancer replaced."""
    lines = [*fields, *([(b"lbc-authority", signed_authority.encode())] if signed_authority else [])]
    request = SignedRequest("GET", host, PATH, lines, authorities=others, accepts_any_authority=accepts_any)
    return verifier.verify(request, NOW)


def test_one_of_several_authorities_was_signed() -> None:
    assert verify_behind(signed(), "nodes", HOST) == FARM_KEY_ID
    assert verify_behind(signed(), "backend_pool", "other.example", "WWW.Example.com:443") == FARM_KEY_ID
    assert verify_behind(by_library(), "nodes", HOST) == "studio"
    with pytest.raises(SignatureRefused, match=r"replaced Host \(received: nodes, other.example\)"):
        verify_behind(signed(), "nodes", "other.example")


def test_the_signer_says_which_authority_it_signed() -> None:
    assert verify_behind(signed(), "nodes", signed_authority=HOST, accepts_any=True) == FARM_KEY_ID
    with pytest.raises(
        SignatureRefused, match=r"for the host www.example.com, but the request is for nodes: the balancer"
    ):
        verify_behind(signed(), "nodes", signed_authority=HOST)
    for wrong in ("other.example", "", "a/b", "user@www.example.com", "www.example.com:8443"):
        with pytest.raises(SignatureRefused, match="another farm secret, or a balancer replaced Host"):
            verify_behind(signed(), "nodes", signed_authority=wrong, accepts_any=True)


def test_another_secret_does_not_read_as_another_host() -> None:
    with pytest.raises(SignatureRefused, match="another farm secret"):
        verify_behind(signed(), "nodes", signed_authority=HOST, accepts_any=True, verifier=Verifier(b"another"))


def test_a_foreign_key_signs_for_the_hosts_that_the_node_knows() -> None:
    """Otherwise another site that the foreign crawler visits could pass its requests on to this one."""
    with pytest.raises(SignatureRefused, match=r"for the host www\.example\.com"):
        verify_behind(by_library(), "nodes", signed_authority=HOST, accepts_any=True)


@pytest.mark.parametrize(
    "value",
    [
        b"lbc=(" + b" ".join(b'"c%d"' % number for number in range(5000)) + b")",
        b"lbc=(" + b" ".join(b'"c%d"' % number for number in range(21)) + b")",
        b"lbc=(" + b"(" * 2040,
        b"lbc=()" + b";a" * 200,
        b"a=1," * 400,
        b'lbc=("@method");x="' + b"y" * 2040 + b'"',
    ],
)
def test_long_fields_are_refused_before_they_are_parsed(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = without(signed(), b"signature-input")
    parsed: list[int] = []
    parse = http_sf.parse
    monkeypatch.setattr(http_sf, "parse", lambda text, **more: parsed.append(len(text)) or parse(text, **more))
    with pytest.raises(SignatureRefused, match="signature-input"):
        verify([*fields, (b"signature-input", value)])
    assert len(parsed) <= 1
    assert sum(parsed) <= 2048


def test_each_field_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = signed()
    parsed: list[bytes] = []
    parse = http_sf.parse
    monkeypatch.setattr(http_sf, "parse", lambda text, **more: parsed.append(text) or parse(text, **more))
    with pytest.raises(SignatureRefused, match="received"):
        verify_behind(fields, "a", "b", "c", "d", signed_authority="e", accepts_any=True)
    assert len(parsed) == 2


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="unknown parameter"):
        verify(swap(signed(), b"signature-input", b";keyid", b";wild=1;keyid"))


_PATHS = st.from_regex(r"/[A-Za-z0-9_/.%~?=&-]{0,20}", fullmatch=True) | st.just("")
_HOSTS = st.sampled_from(["a.example", "A.example", "10.0.0.1", "[::1]", "h", "-h", "a_b.example", ""])
_PORTS = st.sampled_from(["", ":80", ":443", ":8080", ":65536", ":080", ":"])


@given(
    st.sampled_from(["GET", "POST", "DELETE", "get", "M-SEARCH", ""]),
    st.sampled_from(["http", "https", "HTTP", "ftp"]),
    _HOSTS,
    _PORTS,
    _PATHS,
    st.text(st.characters(codec="ascii"), max_size=10) | st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    st.none() | st.binary(max_size=20),
)
def test_plain_requests_are_signed_as_the_library_signs_them(
    method: str, scheme: str, host: str, port: str, path: str, nonce: str, body: bytes | None
) -> None:
    signer, url = Signer(b"a secret"), f"{scheme}://{host}{port}{path}"
    try:
        expected = signer._sign_by_library(method, url, nonce, 1795468200.7, body)
    except SignatureRefused:
        with pytest.raises(SignatureRefused):
            signer.sign(method, url, nonce, 1795468200.7, body)
        return
    assert signer.sign(method, url, nonce, 1795468200.7, body) == expected


@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_requests_of_the_crawler_are_plain(monkeypatch: pytest.MonkeyPatch, body: bytes | None) -> None:
    signer = Signer(b"a secret")
    expected = signer._sign_by_library("POST", "https://www.example.com/_lbc/page/a-b_c/done", "n", 5.0, body)
    monkeypatch.setattr(signer, "_sign_by_library", None)
    assert signer.sign("POST", "https://www.example.com/_lbc/page/a-b_c/done", "n", 5.0, body) == expected
