"""Samples of the primitives below functrace.random."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from samples import Sample, samples
from samples.arithmetic import specials

Rng = np.random.Generator
DType = np.dtype[Any]

# --- threefry ----------------------------------------------------------------------------------


def _threefry(key: Any, counter: Any) -> Any:
    """Threefry-2x32 in Python's integers, from the paper's text: inject a key every 4 rounds."""
    return np.vectorize(_one_block, otypes=[np.uint64])(key, counter)


def _one_block(key: int, counter: int) -> int:
    mask = 2**32 - 1
    k = [int(key) >> 32, int(key) & mask]
    k.append(k[0] ^ k[1] ^ 0x1BD11BDA)
    x = [(int(counter) >> 32) + k[0], (int(counter) & mask) + k[1]]
    for i in range(20):
        amount = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        x[0] = (x[0] + x[1]) & mask
        x[1] &= mask
        x[1] = ((x[1] << amount | x[1] >> (32 - amount)) & mask) ^ x[0]
        if i % 4 == 3:
            group = i // 4 + 1
            x = [x[0] + k[group % 3], x[1] + k[(group + 1) % 3] + group]
    return (x[0] & mask) << 32 | (x[1] & mask)


@samples("threefry2x32", dtypes="uint64", reference=_threefry)
def _blocks(rng: Rng, dtype: DType) -> Iterator[Sample]:
    def block(shape: tuple[int, ...] = ()) -> Any:
        return rng.integers(0, 2**64, shape, dtype)

    yield Sample((block(), block()))
    yield Sample((block(), block((3, 5))))
    yield Sample((block((4,)), block()))
    yield Sample((block((40,)), block((40,))))
    yield Sample((block((0,)), block((0,))))
    yield Sample((np.uint64(2**64 - 1), np.array([0, 2**64 - 1], dtype)))


# --- bit casts ---------------------------------------------------------------------------------


def _view(x: Any, new_dtype: DType) -> Any:
    return np.frombuffer(np.ascontiguousarray(x).tobytes(), new_dtype).reshape(np.shape(x))


@samples(
    "bitcast_convert_type", dtypes="float64 float32 float16 int64 uint32 int8", reference=_view
)
def _bits(rng: Rng, dtype: DType) -> Iterator[Sample]:
    for kind in "uif" if dtype.itemsize > 1 else "u":
        new = {"new_dtype": np.dtype(f"{kind}{dtype.itemsize}")}
        if kind == "f" and dtype.kind != "f":
            # Bits of ordinary numbers: which NaN comes out of a machine is not ours to say.
            bits = rng.normal(size=(2, 3)).astype(new["new_dtype"]).view(dtype)
            yield Sample((bits,), new)
            continue
        yield Sample((specials(dtype),), new, diff=False)
        yield Sample((specials(dtype)[1],), new, diff=False)
        yield Sample((specials(dtype)[:0].reshape(0, 2),), new)


# --- fma ---------------------------------------------------------------------------------------


def _exact_fma(x: Any, y: Any, z: Any) -> Any:
    def one(a: float, b: float, c: float) -> float:
        if not np.all(np.isfinite([a, b, c])):
            return float(np.float64(a) * b + c)
        total = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        return _nearest(total, dtype)

    dtype = np.asarray(x).dtype
    return np.vectorize(one, otypes=[dtype])(x, y, z)


def _nearest(value: Fraction, dtype: DType) -> float:
    """The float nearest to a fraction, of even bits in the middle between two."""
    guess = dtype.type(float(value))
    around = [
        np.nextafter(guess, dtype.type(-np.inf)),
        guess,
        np.nextafter(guess, dtype.type(np.inf)),
    ]
    word = f"u{dtype.itemsize}"
    return float(
        min(
            (x for x in around if np.isfinite(x)),
            key=lambda x: (abs(Fraction(float(x)) - value), int(np.asarray(x).view(word)) & 1),
        )
    )


@samples("fma", dtypes="f", reference=_exact_fma)
def _fma(rng: Rng, dtype: DType) -> Iterator[Sample]:
    def normal(shape: tuple[int, ...] = ()) -> Any:
        return np.asarray(rng.normal(size=shape)).astype(dtype)[()]

    yield Sample((normal(), normal(), normal()))
    yield Sample((normal((3, 4)), normal(), normal((3, 4))))
    x, y = normal((50,)), normal((50,))
    # What is left of a product when its rounded value is taken away: 0 without the one rounding.
    yield Sample((x, y, -(x * y)), tol=1e3)
    yield Sample((normal((0,)), normal((0,)), normal((0,))))
    yield Sample((np.array([np.inf, 1, np.nan], dtype), dtype.type(2), dtype.type(-1)), diff=False)
