"""Reading cookies with different configurations."""

import re
from base64 import b32encode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from itertools import combinations, islice
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lbcompanion.model import Notice, RoutingCookie
from lbcompanion.protocol.notices import read_notices, write_notices
from lbcompanion.settings import StickyTable
from lbcompanion.sticky import cookies as sticky_cookies
from lbcompanion.sticky.cookies import MAX_SENT_BYTES, is_pattern, names_match, parse, render
from lbcompanion.sticky.derived_cookies import identifies_node
from lbcompanion.sticky.dialects import ALL, AUTO, NAMES, NodeFacts, Sample, by_name, use_plugin_dialects
from lbcompanion.sticky.dialects.shapes import WholeValue
from lbcompanion.sticky.reader import MAX_COOKIES, CookieReader
from lbcompanion.testing.dialects import SESSIONS
from lbcompanion.testing.strategies import cookie_headers, cookie_names, cookies

TOMCAT = "4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C"


def pairs(read: tuple[RoutingCookie, ...]) -> list[tuple[str, str]]:
    return [(cookie.name, cookie.value) for cookie in read]


def reader(dialect: str = "auto", *names: str, allow: tuple[str, ...] = ()) -> CookieReader:
    return CookieReader(StickyTable(dialect, names, allow))


@pytest.mark.parametrize(
    ("names", "header", "expected"),
    [
        (("SRV",), "SRV=n1; other=x", [("SRV", "n1")]),
        (("SRV",), "SRV=n1|Z3SFg|Z3SFg", [("SRV", "n1")]),
        (("SRV",), "SRV=.n1", [("SRV", ".n1")]),
        (("SRV",), "SRV=rack 4, bay/7", [("SRV", "rack 4, bay/7")]),
        (("app",), "app=n2~abc", [("app", "n2~")]),
        (("JSESSIONID",), f"JSESSIONID=n2~{TOMCAT}", [("JSESSIONID", "n2~")]),
        (("JSESSIONID",), f"JSESSIONID={TOMCAT}.node1", [("JSESSIONID", ".node1")]),
        (("JSESSIONID",), f"JSESSIONID={TOMCAT}", []),
        (("sessionid",), "sessionid=z4k1x9v7q2w8e5r3", []),
        (("/lb/",), "lb_outer=a; x=y; lb_inner=b", [("lb_outer", "a"), ("lb_inner", "b")]),
        ((), "SRV=n1; x=y", []),
        ((), f"SERVERID=n1; JSESSIONID={TOMCAT}.node1; x=n2~y", [("SERVERID", "n1"), ("JSESSIONID", ".node1")]),
        ((), "ROUTEID=.n2; PHPSESSID=abc; route=checkout", [("ROUTEID", ".n2")]),
    ],
)
def test_auto_reads_what_is_named_or_known(names: tuple[str, ...], header: str, expected: list[object]) -> None:
    assert pairs(reader("auto", *names).read(parse(header))) == expected


def test_auto_keeps_the_order_of_the_header_across_dialects() -> None:
    read = reader("auto", "/./").read(parse("b=rack-1; ROUTEID=.n1; a=n2~x; c=rack-2"))
    assert pairs(read) == [("b", "rack-1"), ("ROUTEID", ".n1"), ("a", "n2~"), ("c", "rack-2")]


def test_a_fixed_dialect_reads_its_own_only() -> None:
    assert pairs(reader("haproxy-insert", "SRV").read(parse("SRV=n1; ROUTEID=.n1"))) == [("SRV", "n1")]
    assert pairs(reader("haproxy-prefix", "app").read(parse("app=abc"))) == []


def test_what_is_allowed_is_read_whole() -> None:
    allowed = reader("auto", "sessionid", allow=("sessionid",))
    assert pairs(allowed.read({"sessionid": "z4k1x9v7"})) == [("sessionid", "z4k1x9v7")]
    assert pairs(reader("nginx-learn", "sid", allow=("sid",)).read({"sid": "z4k1"})) == [("sid", "z4k1")]


@pytest.mark.parametrize(
    ("dialect", "request_header", "script_header", "expected"),
    [
        ("auto", "JSESSIONID=abc", "JSESSIONID=n2~abc", [("JSESSIONID", "n2~")]),
        ("haproxy-prefix", "JSESSIONID=abc", "JSESSIONID=n2~abc", [("JSESSIONID", "n2~")]),
        ("haproxy-insert", "", "JSESSIONID=n1", []),
        ("auto", "JSESSIONID=x.node1", "JSESSIONID=y.node2", [("JSESSIONID", ".node1")]),
        ("auto", "JSESSIONID=x.node1", "", [("JSESSIONID", ".node1")]),
        ("auto", "JSESSIONID=x", "JSESSIONID=y", []),
    ],
)
def test_of_both_sides_the_one_that_can_be_cut_down_is_taken(
    dialect: str, request_header: str, script_header: str, expected: list[object]
) -> None:
    merged = reader(dialect, "JSESSIONID").merge(parse(request_header), parse(script_header))
    assert pairs(merged) == expected


def test_what_the_balancer_takes_away_is_known_from_the_script() -> None:
    merged = reader("haproxy-insert", "SRV").merge({"x": "y"}, {"SRV": "n1"})
    assert pairs(merged) == [("SRV", "n1")]


def test_a_form_that_is_recognised_comes_before_any_text() -> None:
    assert pairs(reader("auto", "app").merge({"app": "abc"}, {"app": "n2~abc"})) == [("app", "n2~")]
    # The request's own has a form that is known, and is not what routes: Tomcat's suffix behind HAProxy's prefix.
    merged = reader("auto", "JSESSIONID").merge({"JSESSIONID": "AB.n3"}, {"JSESSIONID": "n2~AB.n3"})
    assert pairs(merged) == [("JSESSIONID", "n2~")]


def test_two_tiers_from_two_sides() -> None:
    merged = reader("auto", "outer", "inner").merge({"inner": "b"}, {"outer": "a", "inner": "c"})
    assert sorted(pairs(merged)) == [("inner", "b"), ("outer", "a")]


@pytest.mark.parametrize(
    ("dialect", "names", "cookie", "safe"),
    [
        ("auto", ("SRV",), ("SRV", "n1"), False),
        ("haproxy-insert", ("SRV",), ("SRV", "n1"), True),
        ("haproxy-insert", ("SRV",), ("other", "n1"), False),
        ("auto", ("JSESSIONID",), ("JSESSIONID", ".node1"), True),
        ("auto", ("JSESSIONID",), ("JSESSIONID", "n2~"), True),
        ("auto", (), ("ROUTEID", ".n1"), True),
        ("auto", (), ("unknown", "n1"), False),
        ("generic", ("SRV",), ("SRV", "n1"), False),
        ("nginx-hash", ("key",), ("key", "v17"), True),
    ],
)
def test_what_may_be_replayed_blindly(
    dialect: str, names: tuple[str, ...], cookie: tuple[str, str], safe: bool
) -> None:
    assert reader(dialect, *names).replay_is_safe([cookie]) is safe


def test_one_unsafe_cookie_spoils_the_replay() -> None:
    assert not reader("auto", "/./").replay_is_safe([("ROUTEID", ".n1"), ("SRV", "n1")])
    assert not reader("haproxy-table", "s", allow=("s",)).replay_is_safe([("s", "abc")])


def test_a_key_of_the_applications_may_be_younger_than_the_page() -> None:
    assert reader("nginx-hash", "key").replay_is_hash_keyed([("key", "visitor-17")])
    assert not reader("caddy", "lb").replay_is_hash_keyed([("lb", "0" * 64)])
    assert not reader("auto", "key").replay_is_hash_keyed([("key", "visitor-17")])


def test_what_could_not_be_sent_again_is_not_kept() -> None:
    read = reader("generic", "/./").read({"a": "caf\xc3\xa9", "b": "x", "c": "y" * 5000, "d": "z\x7f", "e": "w"})
    assert pairs(read) == [("b", "x"), ("e", "w")]
    many = {f"lb{number}": "x" for number in range(3000)}
    kept = {cookie.name: cookie.value for cookie in reader("generic", "/./").read(many)}
    notice = Notice("1abc", "https://a/", kept, 0.0, 0.0)
    assert read_notices(write_notices([notice])) == [notice]


def test_names_for_the_script() -> None:
    assert reader("auto", "SRV", "/^lb/").names_for_script() == ["SRV", "/^lb/"]
    assert reader("apache-route").names_for_script() == ["ROUTEID", "BALANCEID"]
    known = reader().names_for_script()
    assert {"SERVERID", "ROUTEID", "lb", "AWSALB"} <= set(known)
    assert not set(known) & {*SESSIONS, "AlteonP", "NSC_AAAC", "uid", "route-of-an-application"}
    assert len(known) == len(set(known))


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(KeyError):
        reader("no-such-balancer")
    with pytest.raises(ValueError, match="regular expression"):
        reader("auto", "/(/")
    with pytest.raises(ValueError, match="no such part"):
        CookieReader(StickyTable("generic", ("SRV",), part="between"))


def test_generic_is_what_the_configuration_says() -> None:
    described = CookieReader(StickyTable("generic", ("where",), part="after .", replay_safe=True))
    assert pairs(described.read(parse("where=4711.rack-2; other=x.y"))) == [("where", ".rack-2")]
    assert described.replay_is_safe([("where", ".rack-2")])
    assert not described.replay_is_safe([("other", ".rack-2")])
    assert not reader("generic", "where").replay_is_safe([("where", ".rack-2")])


def test_what_routes_together_is_read_and_judged_together() -> None:
    group, target = "G" * 40, "T" * 40
    cookies = {"AWSALBTG": group, "x": "y", "AWSALB": target, "AWSALBCORS": target}
    both = [("AWSALBTG", group), ("AWSALB", target)]
    weighted = reader("aws-alb-weighted")
    for reads in (weighted, reader()):
        assert pairs(reads.read(cookies)) == both
        assert pairs(reads.merge(cookies, {"AWSALB": target})) == both
        assert reads.replay_is_safe(both)
    assert not weighted.replay_is_safe(both[:1])
    app = reader("aws-alb-application", "shop", allow=("shop",))
    assert pairs(app.merge({"AWSALBAPP-0": target, "shop": "q7"}, {})) == [("AWSALBAPP-0", target), ("shop", "q7")]
    assert not app.replay_is_safe([("AWSALBAPP-0", target), ("shop", "q7")])


def test_a_node_s_cookie_is_computed_where_the_dialect_is_known() -> None:
    facts = NodeFacts("n1", "10.0.0.11:8080", "S3cr3t")
    assert pairs(reader("haproxy-dynamic", "SRV").compute(facts)) == [("SRV", "870592d2b61f5805")]
    assert pairs(reader("haproxy-dynamic", "/SRV/", "SRV").compute(facts)) == [("SRV", "870592d2b61f5805")]
    assert pairs(reader("apache-route").compute(facts)) == [("ROUTEID", ".n1")]
    assert reader("haproxy-dynamic", "/SRV/").compute(facts) == ()
    assert reader("auto", "SRV").compute(facts) == ()
    assert reader("haproxy-insert", "SRV").compute(NodeFacts("n1; x=y")) == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("ROUTEID=.n2; path=/",), True),
        (("SERVERID=n1", "ROUTEID=.n1"), False),
        ((), False),
        (("SERVERID=n2|Z3SFg", "ROUTEID=.n1"), True),
    ],
)
def test_two_tiers_tell_of_a_move(lines: tuple[str, ...], expected: bool) -> None:
    sent = (RoutingCookie("SERVERID", "n1"), RoutingCookie("ROUTEID", ".n1"))
    assert reader().detects_move(sent, lines) is expected
    assert reader().detects_move((*sent, RoutingCookie("unknown", "x")), ()) is None
    assert reader().detects_move((), lines) is None


names_or_none = st.lists(cookie_names(), max_size=3).map(tuple) | st.just(("/./",))


@pytest.mark.slow
@given(st.sampled_from((AUTO, *NAMES)), names_or_none, cookies(), cookies())
def test_no_session_is_ever_recorded(
    dialect: str, names: tuple[str, ...], request: dict[str, str], script: dict[str, str]
) -> None:
    reads = reader(dialect, *names)
    for kept in reads.merge(request | SESSIONS, script | SESSIONS):
        assert SESSIONS.get(kept.name, "\0") not in kept.value
    merged = reads.merge(request, script)
    assert {cookie.name for cookie in merged} <= set(request) | set(script)
    if dialect != AUTO:
        assert reads.read(dict(pairs(merged))) == merged
    reads.replay_is_safe(pairs(merged))


#: Evidence that ``auto`` reads without being told a name, by dialect.
TOLD = [
    (dialect.name, sample)
    for dialect in ALL
    for sample in dialect.samples
    if sample.reads and not sample.names and not sample.allow and reader().read(parse(sample.cookie))
]


def test_every_dialect_with_a_name_of_its_own_is_read_unasked() -> None:
    named = {dialect.name for dialect in ALL if dialect.cookie_names and not dialect.never_record}
    assert named - {name for name, _ in TOLD} == {"aws-alb-application"}
    for _, sample in TOLD:
        assert pairs(reader().read(parse(sample.cookie))) == list(sample.reads), sample.cookie


JOOMLA = "d1a5e9d2c4b64f0d8f3f2f6c1b7e9a55"
HEX = "9f86d081884c7d659a2feaa0c55ad015"
#: Sessions of applications, whole or beside what a balancer could have written; the secret that must not be read.
HIDDEN = [
    (JOOMLA, HEX, HEX),
    ("DokuWiki", "0lbpd3mo3sc7r3v2ot59qdsl7d", "0lbpd3mo3sc7r3v2ot59qdsl7d"),
    ("fe_typo_user", HEX, HEX),
    ("frontend", "0lbpd3mo3sc7r3v2ot59qdsl7d", "0lbpd3mo3sc7r3v2ot59qdsl7d"),
    ("zenid", "0lbpd3mo3sc7r3v2ot59qdsl7d", "0lbpd3mo3sc7r3v2ot59qdsl7d"),
    ("oc8kz1x9v7q2", "0lbpd3mo3sc7r3v2ot59qdsl7d", "0lbpd3mo3sc7r3v2ot59qdsl7d"),
    ("_app", "BAh7B0kiD3Nlc3Npb25faWQGOgZFVEkiJTlm", "BAh7B0kiD3Nlc3Npb25faWQGOgZFVEkiJTlm"),
    ("_app", "V1StGXR8_Z5j", "V1StGXR8_Z5j"),
    ("JSESSIONID", f"node1.{HEX}", HEX),
    ("JSESSIONID", "node1.8f2c9a8f2c9a", "8f2c9a8f2c9a"),
    ("JSESSIONID", "h.payload.sig", "payload"),
    ("JSESSIONID", f"h.{HEX}.sig", HEX),
    ("JSESSIONID", f".{HEX}", HEX),
    ("JSESSIONID", f"0001abc:{HEX}", HEX),
    ("JSESSIONID", "abc!12345678901234567890", "12345678901234567890"),
    ("PHPSESSID", "q2w8e5r3t6y0u1i9o8p7a6s5~x", "q2w8e5"),
    ("sessionid", "8f2c9a8f2c9a~x", "8f2c9a"),
    ("connect.sid", "s:SECRET~x", "SECRET"),
    ("connect.sid", "s:8f2c9a8f2c9a~x", "8f2c9a"),
    ("shop", f"{HEX}|Z3SFg|Z3SFg", HEX),
    ("shop", f".{HEX}", HEX),
    ("_1a2b3", "3abb336021d0fdb1", "3abb336021d0fdb1"),
]


@pytest.mark.parametrize(("name", "value", "secret"), HIDDEN)
def test_a_session_is_not_recorded_by_its_name_or_its_shape(name: str, value: str, secret: str) -> None:
    for names in ((), (name,), ("/./",)):
        for reads in (reader("auto", *names), reader("generic", *names)):
            assert not [kept for kept in reads.read({name: value}) if secret in kept.value]
            assert not [kept for kept in reads.merge({}, {name: value}) if secret in kept.value]
    assert pairs(reader("auto", name, allow=(name,)).read({"x": "y", name: value}))


def test_what_is_configured_may_be_opaque() -> None:
    assert pairs(reader("openshift-router").read({JOOMLA: HEX})) == [(JOOMLA, HEX)]
    assert pairs(reader("openshift-router", "route").read({JOOMLA: HEX, "route": HEX})) == [("route", HEX)]
    assert pairs(reader("traefik").read({"_1a2b3": HEX[:16]})) == [("_1a2b3", HEX[:16])]
    assert JOOMLA not in " ".join(reader().names_for_script())
    assert "/^[0-9a-f]{32}$/" not in reader().names_for_script()


#: What libraries make sessions of: bytes by chance, written in some way.
ids = st.binary(min_size=16, max_size=48).flatmap(
    lambda raw: st.sampled_from(
        (
            raw.hex(),
            raw.hex()[:26],
            raw.hex().upper(),
            b64encode(raw).decode(),
            urlsafe_b64encode(raw).decode().rstrip("="),
            b32encode(raw).decode().lower().rstrip("="),
            str(UUID(bytes=raw[:16])),
        )
    )
)
#: What is written in these forms is an address.
DECODING = [by_name(name) for name in ("envoy", "bigip", "netscaler")]
#: Names that only balancers use are proof enough.
TAKEN = {name for dialect in ALL for name in dialect.cookie_names}


@given(cookie_names() | st.from_regex("[0-9a-f]{32}|_[0-9a-f]{5}", fullmatch=True), ids, st.booleans())
def test_ids_are_never_recorded_under_auto(name: str, value: str, named: bool) -> None:
    assume(not names_match(TAKEN - {"/^_[0-9a-f]{5}$/"}, name) and not is_pattern(name))
    assume(not any(dialect.node_of(RoutingCookie(name, value)) for dialect in DECODING))
    for reads in (reader("auto", *((name,) if named else ())), reader("auto", "/./")):
        assert reads.read({name: value}) == ()
        assert reads.merge({name: value}, {name: value}) == ()
        assert not identifies_node(reads, [RoutingCookie(name, value)])


#: What each dialect reads unasked, by dialect.
KNOWN = {dialect.name: set(dialect.cookie_names) for dialect in ALL}


def are_twins(one: str, other: str) -> bool:
    """Whether two dialects may read each other's cookies: they are of one maker, or share a cookie's name.

    ``ARRAffinity`` of ``iis-arr`` is the twin of ``ARRAffinitySameSite`` of ``azure-arr``.
    """
    return one.partition("-")[0] == other.partition("-")[0] or bool(KNOWN[one] & KNOWN[other])


@given(
    # Of one product one tier only: its cookies are each other's twins.
    st.lists(st.sampled_from(TOLD), min_size=2, max_size=4, unique_by=lambda told: told[0].partition("-")[0]),
    cookies(),
)
def test_all_tiers_are_read(tiers: list[tuple[str, Sample]], others: dict[str, str]) -> None:
    names = [name for _, sample in tiers for name in parse(sample.cookie)]
    assume(len(set(names)) == len(names))
    assume(not any(are_twins(one, other) for (one, _), (other, _) in combinations(tiers, 2)))
    # A further cookie may be any but one that a tier's dialect knows: it would be a cookie of that tier.
    known = set(names).union(*(KNOWN[dialect] for dialect, _ in tiers))
    pieces = [f"{name}={value}" for name, value in others.items() if name not in known]
    read = pairs(reader().read(parse("; ".join([*(sample.cookie for _, sample in tiers), *pieces]))))
    assert [pair for pair in read if pair[0] in names] == [pair for _, sample in tiers for pair in sample.reads]


@given(st.sampled_from((AUTO, *NAMES)), cookie_headers())
def test_any_header_is_read_and_read_again_alike(dialect: str, header: str) -> None:
    reads = reader(dialect, "/./")
    read = reads.read(parse(header))
    if dialect != AUTO:
        assert reads.read(dict(pairs(read))) == read
    assert not {cookie.name for cookie in read} - set(parse(header))
    reads.detects_move(read, tuple(header.split(";")))


def shaped(count: int, name: str = "_{:05x}", value: str = "http://x") -> dict[str, str]:
    """Cookies of the shape of a balancer's, as many as a visitor makes up."""
    return {name.format(number): value for number in range(count)}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names and patterns with which cookies' names were compared: one for each step."""
    steps: list[str] = []
    compiled = sticky_cookies._compiled

    def counted(name: str) -> re.Pattern[str] | None:
        steps.append(name)
        return compiled(name)

    monkeypatch.setattr(sticky_cookies, "_compiled", counted)
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("names", [(), ("/^_/",), ("SRV", "/^BIG/")])
@pytest.mark.parametrize(
    ("name", "value"), [("_{:05x}", "http://x"), ("BIGipServerp{}", "1677787402.36895.0000"), ("/{}/", "x")]
)
def test_the_work_is_linear_in_the_cookies_up_to_a_bound(
    names: tuple[str, ...], name: str, value: str, compared: list[str]
) -> None:
    def steps(count: int) -> int:
        compared.clear()
        reads = reader("auto", *names)
        reads.read(shaped(count, name, value))
        reads.merge(shaped(count, name, value), shaped(count, name, f"{value}1"))
        return len(compared)

    assert steps(100) <= 2.2 * steps(50)
    assert steps(3600) == steps(MAX_COOKIES) <= 4.4 * steps(50)


@pytest.mark.slow
def test_cookies_beyond_the_bound_are_not_looked_at() -> None:
    many = shaped(MAX_COOKIES - 1, "x{}") | {"SERVERID": "n1", "ROUTEID": ".n1"}
    assert pairs(reader().read(many)) == [("SERVERID", "n1")]
    assert pairs(reader("haproxy-insert", "SERVERID", "ROUTEID").read(many)) == [("SERVERID", "n1")]
    # Each side has its own bound: what the balancer takes off a request, the script alone can read.
    assert pairs(reader().merge(shaped(3600, "x{}"), {"ROUTEID": ".n1"})) == [("ROUTEID", ".n1")]


@pytest.mark.slow
def test_four_kilobytes_are_the_most_that_is_read() -> None:
    read = reader().read(shaped(3600, value="http://10.100.100.100:8080"))
    assert 0 < len(render(read)) <= MAX_SENT_BYTES
    assert len(read) == MAX_SENT_BYTES // len("_00000=http://10.100.100.100:8080; ")


anything = WholeValue(name="anything", samples=(), cookie_names=("/./",), form=r"[a-z0-9]{1,9}")


@pytest.fixture
def plugin() -> Iterator[None]:
    """A dialect from outside, whose cookie may have any name."""
    use_plugin_dialects((anything,))
    yield
    use_plugin_dialects(())


@pytest.mark.usefixtures("plugin")
def test_a_visitor_s_name_is_never_a_pattern(compared: list[str]) -> None:
    names = [f"/{number}(/" for number in range(20)] + ["/(a+)+$/", "/./", "a" * 40]
    assert pairs(reader().read(dict.fromkeys([*names, "lb"], "n1"))) == [("a" * 40, "n1"), ("lb", "n1")]
    assert not set(compared) & set(names) - set(anything.cookie_names)


def test_long_names_are_not_remembered() -> None:
    reads = reader()
    name = "BIGipServer" + "p" * 3000
    assert pairs(reads.read({name: "1677787402.36895.0000"})) == [(name, "1677787402.36895.0000")]
    assert reads._candidates.cache_info().currsize == 0


@pytest.mark.slow
@given(st.sampled_from((AUTO, *NAMES)), names_or_none, cookies(), st.integers(0, 400))
def test_what_follows_the_bound_changes_nothing(
    dialect: str, names: tuple[str, ...], seen: dict[str, str], more: int
) -> None:
    reads = reader(dialect, *names)
    all_of_them = {**seen, **shaped(MAX_COOKIES)}
    first = dict(islice(all_of_them.items(), MAX_COOKIES))
    assert reads.read({**all_of_them, **shaped(more, "_f{:04x}")}) == reads.read(first)
