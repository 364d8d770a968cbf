"""What the farm may be asked for, and the files that it writes."""

from __future__ import annotations

import pytest

from lbcompanion.demo.farm import check_counts, choose_balancer
from lbcompanion.errors import ConfigError


def test_an_unknown_balancer_is_refused_with_what_is_allowed():
    with pytest.raises(ConfigError, match="--balancer is nginx; allowed: auto, builtin, haproxy"):
        choose_balancer("nginx", installed=True)


def test_a_missing_one_too():
    with pytest.raises(ConfigError, match="auto or builtin"):
        choose_balancer("haproxy", installed=False)


@pytest.mark.parametrize(("installed", "chosen"), [(True, "haproxy"), (False, "builtin")])
def test_auto_takes_what_there_is(installed, chosen):
    assert choose_balancer("auto", installed) == chosen


@pytest.mark.parametrize(("nodes", "visits"), [(0, 1), (21, 1), (3, 0)])
def test_numbers_have_bounds(nodes, visits):
    with pytest.raises(ConfigError):
        check_counts(nodes, visits)
