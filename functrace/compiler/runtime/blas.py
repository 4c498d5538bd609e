"""A BLAS and LAPACK of our own: found, loaded privately, and called from steps.

The library is the `scipy-openblas64` wheel's, loaded beside whatever NumPy and SciPy use and held
to one thread, so that a product's bits depend on nothing but its operands: large products are split
along m or n, never k, into blocks whose borders depend on the sizes alone. Where the wheel is
missing, SciPy's own serves; how many threads that one uses is not ours to say.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from functrace.compiler.runtime.blas_ir import MATRIX, VECTOR, product_text
from functrace.compiler.runtime.steps import KernelCode, Step

__all__ = ["Blas", "Operand", "blas", "matrix_product"]

_LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
_BLAS = ("gemm", "gemv", "trsm")
_LAPACK = ("potrf", "getrf", "geqrf", "gesdd")
#: Routines whose names say whether they are for real or for complex matrices.
_LAPACK_REAL, _LAPACK_COMPLEX = ("orgqr", "syevd"), ("ungqr", "heevd")
#: A product is split into two, four, eight and sixteen blocks from so many multiplications on
#: (203**3, 645**3, 2580**3, 5160**3); few, because each block packs its rows and columns again.
_SPLIT_MATRIX = (1 << 23, 1 << 28, 1 << 34, 1 << 37)
_SPLIT_VECTOR, _VECTOR_SHIFT = 1 << 19, 18
_MOST_BLOCKS = 16
_BLOCK_STEP = 16
#: A thread claims at least this many multiplications' worth of a batch at once.
_CLAIM = 1 << 20


@dataclass(frozen=True)
class Blas:
    """A loaded library.

    Attributes:
        symbols: ``ft_dgemm`` and the like -> address.
        integer: LLVM's name of its integers.
        name: which library and which kernels it chose, for people.
    """

    symbols: Mapping[str, int]
    integer: str
    name: str


@dataclass(frozen=True, slots=True)
class Operand:
    """A matrix in a slot, in elements: row-major, or column-major when ``transposed``.

    Attributes:
        slot: which slot.
        stride: the distance from a row (column when transposed) to the next.
        offset: where the first element is.
        transposed: the rows of what is stored are the columns of the matrix.
        batch_stride: the distance from a matrix of a batch to the next; 0 repeats one matrix.
    """

    slot: int
    stride: int
    offset: int = 0
    transposed: bool = False
    batch_stride: int = 0


@lru_cache(maxsize=1)
def blas() -> Blas:
    """Return the process's library, loading it the first time.

    Raises:
        ImportError: neither the wheel nor SciPy is there.
    """
    path = None if os.environ.get("FUNCTRACE_BLAS") == "scipy" else wheel_library()
    return _from_scipy() if path is None else _from_wheel(path)


def matrix_product(
    dtype: np.dtype[Any],
    sizes: tuple[int, int, int],
    a: Operand,
    b: Operand,
    c: Operand,
    *,
    batch: int = 1,
    accumulate: bool = False,
    eqn: object = None,
    label: str = "",
) -> Step | None:
    """Return the step for ``c = a @ b`` (``c += a @ b``), or None when BLAS has no such dtype.

    Args:
        dtype: of all three; float32, float64, complex64 or complex128 have products.
        sizes: m, n, k: a is m by k, b is k by n, c is m by n.
        a, b, c: where they are; c is never transposed.
        batch: how many products; each operand's ``batch_stride`` says where the next one is.
        accumulate: add to what c holds.
        eqn, label: as of any step.
    """
    letter = _LETTERS.get(dtype.name)
    if letter is None or c.transposed:
        return None
    m, n, k = sizes
    if n == 1 or m == 1:
        kernel, record, blocks = _vector(letter, sizes, a, b, c, accumulate)
    else:
        kernel, record, blocks = _matrix(letter, sizes, a, b, c, accumulate)
    extent = batch * blocks
    grain = -(-_CLAIM // max(1, m * n * k // blocks))
    name = label or f"{letter}{kernel} {m}x{n}x{k}"
    return Step(_kernel(letter, kernel), record, extent, grain, eqn, name)


def _matrix(
    letter: str, sizes: tuple[int, int, int], a: Operand, b: Operand, c: Operand, add: bool
) -> tuple[str, tuple[int, ...], int]:
    m, n, k = sizes
    rows, row_blocks, cols, col_blocks = _grid(m, n, m * n * k)
    blocks = row_blocks * col_blocks
    lda = max(a.stride, 1, m if a.transposed else k)
    ldb = max(b.stride, 1, k if b.transposed else n)
    ldc = max(c.stride, 1, n)
    flags = a.transposed | b.transposed << 1 | add << 2
    record = (
        *(a.slot, a.offset, a.batch_stride, lda),
        *(b.slot, b.offset, b.batch_stride, ldb),
        *(c.slot, c.offset, c.batch_stride, ldc),
        *(m, n, k, flags, rows, cols, col_blocks, blocks),
    )
    return MATRIX, record, blocks


def _vector(
    letter: str, sizes: tuple[int, int, int], a: Operand, b: Operand, c: Operand, add: bool
) -> tuple[str, tuple[int, ...], int]:
    m, n, k = sizes
    if n == 1:
        matrix, vector, rows, transposed = a, b, m, a.transposed
        step_in = 1 if b.transposed else max(b.stride, 1)
        step_out = max(c.stride, 1)
    else:
        matrix, vector, rows, transposed = b, a, n, not b.transposed
        step_in = max(a.stride, 1) if a.transposed else 1
        step_out = 1
    block, blocks = _split(rows, rows * k)
    record = (
        *(matrix.slot, matrix.offset, matrix.batch_stride),
        max(matrix.stride, 1, rows if transposed else k),
        *(vector.slot, vector.offset, vector.batch_stride, step_in),
        *(c.slot, c.offset, c.batch_stride, step_out),
        *(rows, k, transposed | add << 2, block, blocks),
    )
    return VECTOR, record, blocks


def _grid(m: int, n: int, work: int) -> tuple[int, int, int, int]:
    """Return the rows of a block and how many blocks they make; the columns likewise.

    They depend on the product's sizes, and on nothing else.
    """
    blocks = 1 << sum(work >= least for least in _SPLIT_MATRIX)
    # Rows are packed once for each block of columns, columns once for each block of rows.
    by_rows = min(
        (1 << i for i in range(blocks.bit_length())), key=lambda r: blocks // r * m + r * n
    )
    rows, cols = _block(m, by_rows), _block(n, blocks // by_rows)
    return rows, max(1, -(-m // rows)), cols, max(1, -(-n // cols))


def _split(extent: int, work: int) -> tuple[int, int]:
    """Return the size and number of blocks of a vector's products."""
    if work < _SPLIT_VECTOR:
        return max(extent, 1), 1
    block = _block(extent, max(2, min(_MOST_BLOCKS, work >> _VECTOR_SHIFT)))
    return block, -(-extent // block)


def _block(extent: int, blocks: int) -> int:
    if blocks == 1 or extent < 2 * _BLOCK_STEP:
        return max(extent, 1)
    return -(-extent // (blocks * _BLOCK_STEP)) * _BLOCK_STEP


@lru_cache(maxsize=16)
def _kernel(letter: str, kind: str) -> KernelCode:
    text = product_text(letter, kind, blas().integer)
    return KernelCode(text, symbols=symbols)


def symbols() -> Mapping[str, int]:
    """Return the addresses of what the kernels of products call."""
    return blas().symbols


def wheel_library() -> Path | None:
    """Find the wheel's library without importing the wheel, which would load it for everybody."""
    spec = importlib.util.find_spec("scipy_openblas64")
    if spec is None or not spec.submodule_search_locations:
        return None
    patterns = ("libscipy_openblas64_*.so", "libscipy_openblas64_*.dylib", "*openblas64_*.dll")
    for location in spec.submodule_search_locations:
        for pattern in patterns:
            for path in sorted(Path(location, "lib").glob(pattern)):
                return path
    return None


def _names(real: Sequence[str], complex_: Sequence[str]) -> list[str]:
    return [x + name for x in "sd" for name in real] + [x + name for x in "cz" for name in complex_]


def _lapack_names() -> list[str]:
    return _names((*_LAPACK, *_LAPACK_REAL), (*_LAPACK, *_LAPACK_COMPLEX))


def _from_wheel(path: Path) -> Blas:
    mode = getattr(os, "RTLD_LOCAL", 0) | getattr(os, "RTLD_DEEPBIND", 0)
    with _environment(OPENBLAS_NUM_THREADS="1", **_core_type()):
        library = ctypes.CDLL(str(path), mode=mode)
    library.scipy_openblas_set_num_threads64_(ctypes.c_int(1))
    core = library.scipy_openblas_get_corename64_
    core.restype = ctypes.c_char_p
    names = [*_names(_BLAS, _BLAS), *_lapack_names()]
    symbols = {f"ft_{name}": _address(library, f"scipy_{name}_64_") for name in names}
    _keep.append(library)
    return Blas(symbols, "i64", f"OpenBLAS ({core().decode()}), one thread")


def _from_scipy() -> Blas:
    products = importlib.import_module("scipy.linalg.cython_blas").__pyx_capi__
    factors = importlib.import_module("scipy.linalg.cython_lapack").__pyx_capi__
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    capsules = {n: products[n] for n in _names(_BLAS, _BLAS)}
    capsules |= {n: factors[n] for n in _lapack_names()}
    symbols = {f"ft_{n}": pointer(capsule, name(capsule)) or 0 for n, capsule in capsules.items()}
    return Blas(symbols, "i32", "SciPy's BLAS")


#: The library object: dropping it would not unload the library, but nothing else should hold it.
_keep: list[object] = []


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def _core_type() -> dict[str, str]:
    """Which kernels to ask for: on AVX-512 machines that OpenBLAS takes for older ones."""
    if "OPENBLAS_CORETYPE" in os.environ or sys.platform != "linux":
        return {}
    if platform.machine() != "x86_64":
        return {}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    amd = "AuthenticAMD" in text
    return {"OPENBLAS_CORETYPE": "SkylakeX"} if amd and "avx512f" in text else {}


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for a moment; the library reads them as it loads."""
    saved = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
