"""The C library's heap, told how a proxy uses it.

A body that comes fast is read up to half a megabyte at a time, into fresh memory. glibc gives so large a piece back to
the kernel as soon as it is free, and asks for it again at the next read: as much work as the rest of a streamed body
takes together. With both thresholds raised, freed memory is kept and used again (mallopt(3)).
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), as glibc has them.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The most that glibc takes for the second on 64 bits.
_BYTES = 32 * 1024 * 1024


def raise_malloc_thresholds() -> bool:
    """Have freed memory stay with the process, up to 32 MiB at the heap's end.

    :returns: whether the C library took it; one that is not glibc may not.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _BYTES) and mallopt(_M_TRIM_THRESHOLD, 2 * _BYTES))
