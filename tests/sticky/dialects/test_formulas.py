"""The formulas give what the binaries gave; vectors are for the node 10.0.0.11:8080, or [2001:db8::11]:8080."""

import string
from hashlib import md5

import pytest

from lbcompanion.sticky.dialects import ALL, NodeFacts, by_name

V4, V6, URL = "10.0.0.11:8080", "[2001:db8::11]:8080", "http://10.0.0.11:8080"
GUID = "3f1b6b8a-2d5e-4c7f-6a90-1b2c"
INSTANCE = "4f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
VECTORS = [
    ("haproxy-insert", NodeFacts("n2"), "n2"),
    ("haproxy-rewrite", NodeFacts("n2"), "n2"),
    ("haproxy-prefix", NodeFacts("n2"), "n2~"),
    ("apache-route", NodeFacts("n2"), ".n2"),
    ("jvmroute", NodeFacts("node1"), ".node1"),
    ("websphere", NodeFacts("clone1"), "0000x:clone1"),
    ("cloud-foundry", NodeFacts("n1", GUID), GUID),
    ("azure-arr", NodeFacts("n1", INSTANCE), INSTANCE),
    ("haproxy-dynamic", NodeFacts("n1", V4, "S3cr3t"), "870592d2b61f5805"),
    ("haproxy-dynamic", NodeFacts("n1", V4, "Ingress"), "5e9550b74eb06698"),
    ("haproxy-dynamic", NodeFacts("n1", V6, "Ingress"), "4375721f29f423b9"),
    ("haproxy-dynamic", NodeFacts("n1", V4), None),
    ("haproxy-ingress", NodeFacts("n1", V4), "5e9550b74eb06698"),
    ("haproxy-ingress", NodeFacts("n1", V4, "S3cr3t"), "870592d2b61f5805"),
    ("openshift-router", NodeFacts("n1", V4, "Ingress"), "5e9550b74eb06698"),
    ("openshift-router", NodeFacts("n1", f"pod:web-1:web:http:{V4}"), "c79d6cc034742be8ae3b8064e67dbbd0"),
    ("nginx-sticky", NodeFacts("n1", V4), "3fa9a8ccac67ea9d9aca6123ed2a6c5a"),
    ("nginx-sticky", NodeFacts("n1"), None),
    ("caddy", NodeFacts("n1", V4), "8afaff25b528bf6b4e17e29daea2cbe9580f763b563d1193005c66f1d6bd6215"),
    ("caddy", NodeFacts("n1", V4, "s3cret"), "e0b21ddc561daca0f190f009cfab20977cafa00c81bc463df65c4e666d1c300b"),
    ("traefik", NodeFacts("n1", URL), "3abb336021d0fdb1"),
    ("traefik", NodeFacts("n1", V4), None),
    ("envoy", NodeFacts("n1", V4), "Cg4xMC4wLjAuMTE6ODA4MA=="),
    ("istio-persistent", NodeFacts("n1", V4), "Cg4xMC4wLjAuMTE6ODA4MA=="),
    ("ingress-nginx-persistent", NodeFacts("n1", V4, "default-web-80"), "1e6de6c786eb7a3996995acbf3b28db1"),
    ("ingress-nginx-persistent", NodeFacts("n1", V4), None),
    ("bigip", NodeFacts("n1", V4), "184549386.36895.0000"),
    ("bigip", NodeFacts("n1", "10.0.0.11%5:8080"), "rd5o00000000000000000000ffff0a00000bo8080"),
    ("bigip", NodeFacts("n1", V6), "vi20010db8000000000000000000000011.36895"),
    ("bigip", NodeFacts("n1", "[2001:db8::11%5]:8080"), "rd5o20010db8000000000000000000000011o8080"),
    ("netscaler", NodeFacts("n1", V4), "ffffffff09081e1a45525d5f4f58455e445a4a4229a0"),
    ("netscaler", NodeFacts("n1", V6), None),
    ("a10", NodeFacts("n1", V4), "ALAAAAAKJABP"),
    ("generic", NodeFacts("n1", V4, "k"), None),
]


@pytest.mark.parametrize(("name", "node", "value"), VECTORS)
def test_values_are_those_of_the_binaries(name: str, node: NodeFacts, value: str | None) -> None:
    cookie = by_name(name).compute(node, ("LB",))
    assert (cookie and (cookie.name, cookie.value)) == (value and ("LB", value))


def test_all_that_can_be_computed_is_checked() -> None:
    facts = [NodeFacts("n1", text, "k") for text in ("", V4, URL, GUID, INSTANCE)]
    made = {each.name for each in ALL if any(each.compute(node, ("LB",)) for node in facts)}
    alike = {"haproxy-dated", "haproxy-postonly", "apache-mod-jk", "tomcat", "undertow", "nginx-route"}
    assert made - alike == {name for name, _, value in VECTORS if value}


def test_openshifts_key_is_the_cookies_name() -> None:
    cookie = by_name("openshift-router").compute(NodeFacts("n1", V4), ("Ingress",))
    assert cookie is not None
    assert cookie.value == "5e9550b74eb06698"


def test_the_service_of_ingress_nginx() -> None:
    """The second part says for which backend the cookie is; nothing here needs it."""

    def digest(text: str) -> str:
        return md5(text.encode(), usedforsecurity=False).hexdigest()

    service = digest(digest("default-web-80") + "default-web-80")
    assert by_name("ingress-nginx-persistent").samples[0].cookie.endswith(f"|{service}")


def test_haproxys_dates() -> None:
    """Five digits of base64, big-endian, in steps of four seconds: the samples' is the first second of 2025."""
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    dates = {date for sample in by_name("haproxy-dated").samples for date in sample.cookie.split("|")[1:] if date}
    for date in dates:
        steps = sum(digits.index(char) << 6 * place for place, char in enumerate(reversed(date)))
        assert (len(date), steps * 4) == (5, 1735689600)
    assert dates
