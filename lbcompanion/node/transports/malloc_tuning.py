"""Tunes glibc's malloc for large read buffers.

A fast body is read in pieces of up to 512 KiB, each in a new buffer. By default glibc returns a freed buffer of this
size to the kernel and maps it again at the next read, which costs as much as all other work for a streamed body. With
both thresholds raised, freed memory is kept and reused (mallopt(3)).
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), from <malloc.h> of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The maximum of M_MMAP_THRESHOLD on 64 bits.
_BYTES = 32 * 1024 * 1024


def raise_malloc_thresholds() -> bool:
    """Keep freed memory in the process: buffers up to 32 MiB, and up to 64 MiB at the end of the heap.

    :returns: whether the C library accepted both values; False without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _BYTES) and mallopt(_M_TRIM_THRESHOLD, 2 * _BYTES))
