"""Bounded fuzzing: mutated input through a target, for as long as it is told, until something breaks.

A target is a module in ``fuzz/targets`` with a ``TARGET`` (:class:`fuzz.target.Target`); its name is the module's. A
new file there is all that a new target needs: the runner and the tests find it by themselves.
"""
