"""Addresses of nodes, as cookies hold them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.sticky.dialects import NodeFacts, by_name
from lbcompanion.sticky.dialects.addresses import parse_address

addresses = st.builds("{}:{}".format, st.ip_addresses(v=4), st.integers(1, 65535))
longer = st.builds("[{}]:{}".format, st.ip_addresses(v=6), st.integers(1, 65535))


@pytest.mark.slow
@given(st.sampled_from(["envoy", "bigip", "netscaler", "a10"]), addresses | longer)
def test_an_address_comes_back(name: str, text: str) -> None:
    dialect = by_name(name)
    cookie = dialect.compute(NodeFacts(address=text), ("LB",))
    if cookie is None:
        assert name in ("netscaler", "a10")
        assert text.startswith("[")
    else:
        assert dialect.node_of(cookie) == text


@pytest.mark.parametrize(
    "text", ["", "10.0.0.11", "10.0.0.11:0", "10.0.0.11:65536", "10.0.0.256:80", "host:80", "[::1]", "::1:80"]
)
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None
