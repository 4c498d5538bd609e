"""Matrix products by the scipy-openblas64 wheel, called directly: the contender ``openblas``.

OpenBLAS chooses the kernels for the CPU it finds and uses as many threads as there are CPUs to run
on; the result is written to the same memory each call.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


@functools.cache
def load() -> ctypes.CDLL:
    """The wheel's library."""
    wheel = importlib.import_module("scipy_openblas64")
    folder, name = Path(wheel.get_lib_dir()), wheel.get_library()
    found = [f for f in sorted(folder.iterdir()) if name in f.name and ".so" in f.name]
    found += sorted(folder.glob("*.dylib")) + sorted(folder.glob("*.dll"))
    return ctypes.CDLL(str(found[0]))


def matmul(left: bool = False, right: bool = False) -> Callable[..., Any]:
    """``x @ y`` for matrices, each read transposed if asked."""
    prepared: dict[tuple[int, ...], tuple[Callable[[], Any], Any]] = {}

    def prepare(x: Any, y: Any) -> tuple[Callable[[], Any], Any]:
        m, k = x.shape[::-1] if left else x.shape
        n = y.shape[0] if right else y.shape[1]
        out = np.empty((m, n), x.dtype)
        single = x.dtype == np.float32
        gemm = getattr(load(), f"scipy_cblas_{'s' if single else 'd'}gemm64_")
        scalar = ctypes.c_float if single else ctypes.c_double
        size, ways = ctypes.c_int64, [TRANSPOSED if t else PLAIN for t in (left, right)]
        x_given, y_given, out_given = (
            (ctypes.c_void_p(a.ctypes.data), size(a.shape[1])) for a in (x, y, out)
        )
        # fmt: off
        return functools.partial(
            gemm, ROW_MAJOR, *ways, size(m), size(n), size(k),
            scalar(1.0), *x_given, *y_given, scalar(0.0), *out_given,
        ), (out, x, y)
        # fmt: on

    def call(x: Any, y: Any) -> Any:
        key = (id(x), id(y))
        if key not in prepared:
            prepared[key] = prepare(x, y)
        run, held = prepared[key]
        run()
        return held[0]

    return call
