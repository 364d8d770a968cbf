"""The copies of a node: kept, given to the crawler with proof, asked for at peers, handed to peers."""
