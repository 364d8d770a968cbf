"""Google App Engine: ``GAESA``, opaque, set by every response; the newest value counts.

Best effort. Not verified: the effect of a replay while its instance is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "CpgBMDA1YzkyOTIxYjJjN2Q4ZTlmMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZmYwMTEQ7rjSnK0x"
_SOURCE = "cloud.google.com/appengine, session affinity; form of published samples"

DIALECT = WholeValue(
    name="google-gaesa",
    moves_visitor=True,
    cookie_names=("GAESA",),
    form=r"[A-Za-z0-9_=-]{16,512}",
    configurable_name=False,
    samples=(Sample(f"GAESA={_VALUE}", (("GAESA", _VALUE),), None, _SOURCE),),
)
