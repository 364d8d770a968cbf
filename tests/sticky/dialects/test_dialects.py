"""Every dialect in the tree runs the contract; the formulas give what the binaries gave."""

import pytest

from lbcompanion.errors import CompanionError
from lbcompanion.sticky.dialects import ALL, GENERIC, NAMES, by_name, catalogue
from lbcompanion.sticky.dialects.interface import Dialect
from lbcompanion.testing.dialects import dialect_contract

for _dialect in ALL:
    globals()[f"Test_{_dialect.name.replace('-', '_')}"] = type(
        f"Test_{_dialect.name.replace('-', '_')}", (dialect_contract(_dialect),), {"__module__": __name__}
    )


def test_the_names_of_the_contract_are_there() -> None:
    wanted = {
        "haproxy-insert", "haproxy-prefix", "haproxy-rewrite", "haproxy-dynamic", "haproxy-table", "apache-route",
        "jvmroute", "nginx-hash", "nginx-sticky", "nginx-learn", "caddy", "envoy", "envoy-hash", "traefik", "generic",
    }  # fmt: skip
    assert wanted <= set(NAMES)
    assert "auto" not in NAMES
    assert all(by_name(name).name == name for name in NAMES)


def test_two_of_one_name_refuse_to_load() -> None:
    with pytest.raises(CompanionError, match="generic"):
        catalogue([GENERIC, *ALL])


def test_tables_and_the_unknown_move_visitors() -> None:
    assert {dialect.name for dialect in ALL if dialect.moves_visitor} == {"haproxy-table", "nginx-learn", "generic"}


@pytest.mark.parametrize(
    ("name", "node", "value"),
    [
        ("haproxy-insert", "n2", "n2"),
        ("haproxy-prefix", "n2", "n2~"),
        ("apache-route", "n2", ".n2"),
        ("jvmroute", "node1", ".node1"),
        ("nginx-sticky", "10.0.0.11:8080", "3fa9a8ccac67ea9d9aca6123ed2a6c5a"),
        ("caddy", "10.0.0.11:8080", "8afaff25b528bf6b4e17e29daea2cbe9580f763b563d1193005c66f1d6bd6215"),
        ("traefik", "http://10.0.0.11:8080", "3abb336021d0fdb1"),
        ("envoy", "10.0.0.11:8080", "Cg4xMC4wLjAuMTE6ODA4MA=="),
    ],
)
def test_forged_values_are_those_of_the_binaries(name: str, node: str, value: str) -> None:
    cookie = by_name(name).forge(node, ("LB",))
    assert cookie is not None
    assert (cookie.name, cookie.value) == ("LB", value)


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_nothing_is_forged_under_a_pattern(dialect: Dialect) -> None:
    assert dialect.forge("10.0.0.11:8080", ("/x/",)) is None
