"""The endpoints below the prefix: routing, authorization of fetches, the debug page."""
