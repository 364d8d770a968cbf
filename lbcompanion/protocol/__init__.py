"""The protocol between nodes, peers and the crawler: tokens, proofs, signatures, notices and copies."""
