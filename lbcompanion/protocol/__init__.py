"""What nodes, peers and the crawler say to each other: tokens, proofs, signatures, notices and copies on the wire."""
