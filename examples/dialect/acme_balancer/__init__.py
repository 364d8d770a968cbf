"""A dialect of stickiness from outside lbcompanion's tree."""
