"""The crawler's own routes to nodes: minted, and verified."""
