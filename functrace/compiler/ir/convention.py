"""How kernels are called and how they fail: what the kernel IR and the runtime agree on.

    i64 kernel(ptr* frame, i64* record, i64 lo, i64 hi)

`record[k]` is, by the kernel's list of `Entry`s, either a frame slot (of a buffer) or an integer.
`frame[ERROR_SLOT]` points at `ERROR_CELL_WORDS` int64 words: `[0:MAX_DETAILS]` receive the details
of a failure, `[POLL_WORD]` is read by `Builder.poll` and stops the kernel when it isn't zero. A
thread that helps has its own cell, whose `[POLL_SOURCE_WORD]` points at the caller's poll word.
The status is 0, or `(code of the kind << STATUS_KIND_SHIFT) | site`, where `site` counts the
`Fail`s of the kernel in the order they were built (`Kernel.sites`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

MEMORY_DTYPES: tuple[np.dtype[Any], ...] = tuple(
    np.dtype(name)
    for name in [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ]
)

ERROR_SLOT = 0
ERROR_CELL_WORDS = 9
MAX_DETAILS = 7
POLL_WORD = 7
POLL_SOURCE_WORD = 8
STATUS_KIND_SHIFT = 48
FAIL_KINDS: dict[str, int] = {"index": 1, "check": 2, "nan": 3, "interrupt": 4, "linalg": 5}


def status_kind_site(status: int) -> tuple[str, int]:
    """The kind and the site of a non-zero status.

    >>> status_kind_site((1 << 48) | 3)
    ('index', 3)
    """
    code = status >> STATUS_KIND_SHIFT
    kind = next(name for name, number in FAIL_KINDS.items() if number == code)
    return kind, status & 0xFFFFFFFF
