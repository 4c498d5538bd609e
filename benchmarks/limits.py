"""Builds ``limits.c`` with the system's compiler and calls it: the contender named ``c``.

The functions take and return NumPy arrays; results are written to the same memory each call.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
OPTIONAL = ["-mprefer-vector-width=512"]  # GCC otherwise halves the vectors of AVX-512 machines

Array = np.ndarray[Any, Any]


def compiler() -> str | None:
    """The system's C compiler."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def available() -> bool:
    return compiler() is not None


def build(folder: str, name: str, macros: Sequence[str]) -> ctypes.CDLL:
    """Compile and load; without the flags or OpenMP the compiler doesn't know, if need be."""
    target = str(Path(folder) / f"{name}.so")
    failure = ""
    for extra in ([*OPTIONAL, "-fopenmp"], ["-fopenmp"], OPTIONAL, []):
        command = [str(compiler()), *FLAGS, *extra, *macros, str(SOURCE), "-o", target, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ctypes.CDLL(target)
        failure = done.stderr
    raise RuntimeError(f"{compiler()} can't compile {SOURCE.name}: {failure}")


@functools.cache
def libraries() -> dict[str, ctypes.CDLL]:
    """The two precisions' machine code."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "float64": build(folder, "double", []),
            "float32": build(folder, "single", ["-DSINGLE"]),
        }


Sizes = Callable[..., tuple[tuple[int, ...], list[tuple[int, ...]]]]
"""Of the arguments: the integers the C function begins with, and the shapes it writes."""


def same(count: int) -> Sizes:
    """As many results as said, each of the first argument's shape."""
    return lambda x, *rest: ((x.size,), [x.shape] * count)


def rows(x: Array, *rest: Array) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    return x.shape, [x.shape]


def columns(x: Array) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    return x.shape, [x.shape[1:]]


def square(x: Array) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    return x.shape[:1], [x.shape]


def bodies(x: Array, mass: Array) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The forces, and room for the coordinates side by side."""
    return x.shape[:1], [x.shape, x.shape]


SIGNATURES: dict[str, tuple[Sizes, int]] = {
    "chain": (same(1), 1),
    "chain_gradient": (same(2), 2),
    "black_scholes_gradient": (same(3), 3),
    "softmax": (rows, 1),
    "layer_norm": (rows, 1),
    "column_sums": (columns, 1),
    "transpose": (square, 1),
    "forces": (bodies, 1),
}


def function(name: str) -> Callable[..., Any]:
    """The C function as one of arrays; its buffers and pointers are made on the first call."""
    sizes, results = SIGNATURES[name]
    prepared: dict[tuple[int, ...], tuple[Callable[[], Any], Any]] = {}

    def call(*args: Array) -> Any:
        key = tuple(map(id, args))
        if key not in prepared:
            numbers, shapes = sizes(*args)
            buffers = [np.empty(shape, args[0].dtype) for shape in shapes]
            native = getattr(libraries()[args[0].dtype.name], name)
            pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*args, *buffers)]
            ready = functools.partial(native, *map(ctypes.c_int64, numbers), *pointers)
            outs = buffers[0] if results == 1 else tuple(buffers[:results])
            prepared[key] = ready, (outs, args, buffers)
        run, held = prepared[key]
        run()
        return held[0]

    return call
