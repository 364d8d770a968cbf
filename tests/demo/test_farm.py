"""The farm's options, and the files that it writes."""

from __future__ import annotations

import pytest

from lbcompanion.demo.farm import check_counts
from lbcompanion.errors import ConfigError


@pytest.mark.parametrize(("nodes", "visits"), [(0, 1), (21, 1), (3, 0)])
def test_numbers_have_bounds(nodes, visits):
    with pytest.raises(ConfigError):
        check_counts(nodes, visits)
