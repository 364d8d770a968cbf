"""lbcompanion's contract for dialects, run on ACME's."""

from acme_balancer.dialect import DIALECT

from lbcompanion.testing.dialects import dialect_contract


class AcmeTests(dialect_contract(DIALECT)):  # type: ignore[misc]
    """All that is promised of a dialect."""
