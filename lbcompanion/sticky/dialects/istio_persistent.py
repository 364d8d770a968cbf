"""Istio, label ``istio.io/persistent-session``: Envoy's stateful session, the endpoint's ``ip:port``, no expiry."""

from __future__ import annotations

from lbcompanion.sticky.dialects.envoy import Envoy
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal

_VALUE = "Cg4xMC4wLjAuMTE6ODA4MA=="
_SOURCE = "read in istio, August 2026; the same of Envoy measured with 1.40.0"

DIALECT = Envoy(
    name="istio-persistent",
    moves_visitor=False,
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample(
            f'session-header="{_VALUE}"',
            (("session-header", _VALUE),),
            "10.0.0.11:8080",
            _SOURCE,
            names=("session-header",),
        ),
    ),
)
