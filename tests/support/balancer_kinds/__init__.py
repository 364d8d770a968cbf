"""Every kind of stickiness that can be had for nothing, by the real programs: how each is run, and how its operator
takes a node out and gives it another address.
"""
