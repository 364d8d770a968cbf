"""What the companion answers itself below the prefix: routing, who may fetch, the debug page."""
