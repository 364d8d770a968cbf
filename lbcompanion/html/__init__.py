"""HTML as bytes, without I/O: whether and where something is inserted, policies, charsets, and the copy that is kept.

No document is ever parsed into a tree and written again: what is not ours stays byte for byte.
"""
