"""Every dialect in the tree runs the contract; what is recorded, and what may be replayed, is as the manual says."""

from itertools import combinations
from pathlib import Path

import pytest

from lbcompanion.errors import CompanionError
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky import dialects
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.dialects import ALL, GENERIC, NAMES, NodeFacts, by_name, catalogue
from lbcompanion.sticky.dialects.generic import generic
from lbcompanion.sticky.dialects.interface import Dialect
from lbcompanion.sticky.dialects.shapes import WholeValue
from lbcompanion.testing.dialects import dialect_contract

pytestmark = pytest.mark.slow

for _dialect in ALL:
    globals()[f"Test_{_dialect.name.replace('-', '_')}"] = type(
        f"Test_{_dialect.name.replace('-', '_')}", (dialect_contract(_dialect),), {"__module__": __name__}
    )

#: Dialects that recognise the same cookie. The first is asked first, and gets it.
ORDER_MATTERS = {
    ("digitalocean", "envoy"),
    ("digitalocean", "istio-persistent"),
    ("digitalocean", "haproxy-insert"),
    ("digitalocean", "haproxy-dated"),
    ("digitalocean", "haproxy-postonly"),
    ("envoy", "istio-persistent"),
    ("aws-alb", "aws-alb-weighted"),
    ("azure-arr", "iis-arr"),
    ("alibaba", "haproxy-insert"),
    ("haproxy-insert", "haproxy-dated"),
    ("haproxy-insert", "haproxy-postonly"),
    ("haproxy-dated", "haproxy-postonly"),
    ("jvmroute", "apache-mod-jk"),
    ("jvmroute", "tomcat"),
    ("jvmroute", "undertow"),
    ("apache-mod-jk", "tomcat"),
    ("apache-mod-jk", "undertow"),
    ("tomcat", "undertow"),
}


def test_the_names_of_the_contract_are_there() -> None:
    wanted = {
        "haproxy-insert", "haproxy-prefix", "haproxy-rewrite", "haproxy-dynamic", "haproxy-table", "apache-route",
        "jvmroute", "nginx-hash", "nginx-sticky", "nginx-learn", "caddy", "envoy", "envoy-hash", "traefik", "generic",
    }  # fmt: skip
    assert wanted <= set(NAMES)
    assert "auto" not in NAMES
    assert all(by_name(name).name == name for name in NAMES)


def test_each_file_has_one_dialect() -> None:
    assert len(ALL) == len(set(NAMES)) == len({id(dialect) for dialect in ALL})
    files = {path.stem for path in Path(dialects.__file__).parent.glob("*.py") if "\nDIALECT = " in path.read_text()}
    assert {name.replace("-", "_") for name in NAMES} == files
    assert GENERIC.name == "generic"


def test_the_more_specific_dialect_is_asked_first() -> None:
    found = set()
    for sample in (sample for dialect in ALL for sample in dialect.samples):
        for name, value in parse(sample.cookie).items():
            found.update(combinations([one.name for one in ALL if one.recognises(name, value)], 2))
    assert found == ORDER_MATTERS


@pytest.mark.parametrize("name", ["generic", "auto"])
def test_a_name_that_is_taken_refuses_to_load(name: str) -> None:
    class Second:
        pass

    second = Second()
    second.name = name  # type: ignore[attr-defined]
    with pytest.raises(CompanionError, match=name):
        catalogue([*ALL, second])  # type: ignore[list-item]
    with pytest.raises(CompanionError, match=name):
        dialects.use_plugin_dialects((second,))  # type: ignore[arg-type]
    assert dialects.known() == ALL


def test_a_dialect_that_says_nothing_moves_visitors() -> None:
    """Which dialects say that a replay is harmless is in the manual's table, which is compared with them."""
    assert WholeValue(name="x", samples=()).moves_visitor
    assert generic().moves_visitor


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_nothing_is_forged_under_a_pattern(dialect: Dialect) -> None:
    assert dialect.compute(NodeFacts("n1", "10.0.0.11:8080", "k"), ("/x/",)) is None


def test_nothing_is_recorded_that_holds_a_visitors_address() -> None:
    alteon = by_name("alteon")
    assert alteon.recognises("AlteonP", "0a00000ac0a80117005012345678")
    assert "address" in alteon.never_record
    assert [dialect.name for dialect in ALL if dialect.never_record] == ["alteon"]


MOVED = [
    ("haproxy-insert", "SRV=n1", "SRV=n2; path=/", True),
    ("haproxy-insert", "SRV=n1", "SRV=n1|Z3SFg|Z3SFg; path=/", False),
    ("haproxy-insert", "SRV=n1", "other=n2", False),
    ("haproxy-insert", "SRV=n1", "SRV=; Max-Age=0", None),
    ("haproxy-insert", "", "SRV=n1", None),
    ("haproxy-postonly", "SRV=n1", "", None),
    ("haproxy-postonly", "SRV=n1", "SRV=n2", True),
    ("haproxy-prefix", "SRV=n1~", "SRV=n1~abc; HttpOnly", False),
    ("haproxy-prefix", "SRV=n1~", "SRV=n2~abc", True),
    ("haproxy-prefix", "SRV=n1~", "", None),
    ("haproxy-table", "SRV=abc", "SRV=def", None),
    ("apache-route", "SRV=.n1", "SRV=.n2; path=/", True),
    ("apache-route", "SRV=.n1", "", False),
    ("tomcat", "SRV=.n1", "SRV=4E3A2B.n1; Path=/; HttpOnly", False),
    ("tomcat", "SRV=.n1", "SRV=4E3A2B.n2; Path=/; HttpOnly", True),
    ("nginx-sticky", "SRV=a", "SRV=a; expires=Thu, 31-Dec-37 23:55:55 GMT", False),
    ("nginx-sticky", "SRV=a", "SRV=b", True),
    ("nginx-sticky", "SRV=a", "", None),
    ("nginx-hash", "SRV=a", "SRV=b", None),
    ("envoy", "SRV=Cg4xMC4wLjAuMTE6ODA4MA==", 'SRV="Cg4xMC4wLjAuMTI6ODA4MA=="; HttpOnly', True),
    ("envoy", "SRV=MTAuMC4wLjExOjgwODA=", 'SRV="Cg4xMC4wLjAuMTE6ODA4MBCAqNa7Bg=="; HttpOnly', False),
    ("traefik", "SRV=http://10.0.0.11:8080", "SRV=3abb336021d0fdb1; Path=/", False),
    ("traefik", "SRV=3abb336021d0fdb1", "SRV=5e9550b74eb06698; Path=/", True),
    ("aws-alb", f"SRV={'a' * 64}", f"SRV={'b' * 64}", None),
    ("bigip", "SRV=184549386.36895.0000", "SRV=201326602.36895.0000", True),
]


@pytest.mark.parametrize(("name", "sent", "line", "expected"), MOVED)
def test_how_a_move_is_detected(name: str, sent: str, line: str, expected: bool | None) -> None:
    cookies = tuple(RoutingCookie(*pair) for pair in parse(sent).items())
    assert by_name(name).detects_move(cookies, (line,)) is expected


@pytest.mark.parametrize(
    ("part", "header", "expected", "node"),
    [
        ("whole", "where=n1.x", "n1.x", None),
        ("before ~", "where=n2~abc", "n2~", "n2"),
        ("before |", "where=n2|17|abc", "n2|", "n2"),
        ("before ~", "where=n2", None, None),
        ("after .", "where=abc.n2", ".n2", "n2"),
        ("after .", "PHPSESSID=q1w2e3r4.n2", ".n2", "n2"),
        ("before .", "PHPSESSID=q1w2e3r4.n2", None, None),
        ("/^[^|]+/", "where=rack 4|17", "rack 4", "rack 4"),
        ("/node-[0-9]+/", "where=x;y node-7", None, None),
        ("/node-[0-9]+/", "where=17.node-7.z", "node-7", "node-7"),
        ("/n(.)/", "where=n7", None, None),
        ("/./", "PHPSESSID=q1w2e3r4", None, None),
    ],
)
def test_generic_is_as_configured(part: str, header: str, expected: str | None, node: str | None) -> None:
    dialect = generic(part)
    name = header.partition("=")[0]
    read = dialect.read(parse(header), (name,))
    assert [cookie.value for cookie in read] == ([] if expected is None else [expected])
    assert dialect.read({each.name: each.value for each in read}, (name,)) == read
    assert [dialect.node_of(each) for each in read] == [node for _ in read]
    assert dialect.moves_visitor
    assert not generic(part, True).moves_visitor


@pytest.mark.parametrize("part", ["", "before", "before ", "before ~~", "/(/", "all", "between ~"])
def test_generic_refuses_other_parts(part: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        generic(part)
