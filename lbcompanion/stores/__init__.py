"""Where copies live: one provider per file, one contract suite for all of them (:mod:`lbcompanion.testing`)."""
