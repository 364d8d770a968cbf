"""Heroku: ``heroku-session-affinity``, signed, another one for each visitor.

In published samples it is base64 of a term with names of dynos and a MAC; the whole value is kept. Not verified: the
effect of a replay while its dyno is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "ACyDaANoA24IAQAAAAAAAAB3BXdlYi4xYm4HAP____8AAAAkMTIzNA__"
_SOURCE = "devcenter.heroku.com, session affinity; form of published samples"

DIALECT = WholeValue(
    name="heroku",
    moves_visitor=True,
    cookie_names=("heroku-session-affinity",),
    form=r"[A-Za-z0-9+/_=-]{16,1024}",
    configurable_name=False,
    samples=(Sample(f"heroku-session-affinity={_VALUE}", (("heroku-session-affinity", _VALUE),), None, _SOURCE),),
)
