"""The farm in a box: an application, sticky balancers and simulated visitors, all on loopback.

The companions and the crawler run as processes of their own, by the commands that a user types.
"""
