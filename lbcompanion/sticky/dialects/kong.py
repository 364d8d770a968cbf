"""Kong, ``hash_on: cookie``: the key is a UUID, another one for each visitor; Kong accepts any text.

Not verified: where a key leads while its target is down. Kong 3.11's ``sticky-sessions`` writes a cookie whose form is
not known here.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_UUID = "0b5d8f6e-3a1c-4c2d-9e7f-5a6b7c8d9e0f"
_SOURCE = "read in kong 3.10"

DIALECT = WholeValue(
    name="kong",
    moves_visitor=True,
    samples=(Sample(f"affinity={_UUID}", (("affinity", _UUID),), None, _SOURCE, names=("affinity",)),),
)
