"""The stores of copies: one provider per file, one contract suite for all of them (:mod:`lbcompanion.testing`)."""
