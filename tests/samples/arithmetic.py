"""Samples of arithmetic, bits, comparisons and selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from samples import Sample, normal, samples

Rng = np.random.Generator
DType = np.dtype[Any]


def specials(dtype: DType) -> Any:
    """Return the awkward values of a dtype."""
    if dtype.kind == "f":
        info = np.finfo(dtype)
        values = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, info.tiny, info.max, info.eps]
    elif dtype.kind == "c":
        return np.array([0, 1, -1, 1j, -1j, complex(-0.0, 0.5), 2 - 3j], dtype)
    elif dtype.kind == "b":
        values = [True, False]
    else:
        info = np.iinfo(dtype)
        values = [0, 1, info.min, info.max, 3]
    return np.array(values, dtype)


def unary_samples(rng: Rng, dtype: DType) -> Iterator[Sample]:
    """Yield operands of a function defined for all numbers."""
    yield Sample((normal(rng, dtype),))
    yield Sample((normal(rng, dtype, (2, 5)),))
    yield Sample((normal(rng, dtype, (0, 3)),))
    yield Sample((normal(rng, dtype, (1,)),))
    yield Sample((specials(dtype),), diff=False)


def binary_samples(rng: Rng, dtype: DType) -> Iterator[Sample]:
    """Yield pairs of operands of a function defined for all numbers."""
    yield Sample((normal(rng, dtype), normal(rng, dtype)))
    yield Sample((normal(rng, dtype, (3, 4)), normal(rng, dtype, (3, 4))))
    yield Sample((normal(rng, dtype, (3,)), normal(rng, dtype)))
    yield Sample((normal(rng, dtype), normal(rng, dtype, (3,))))
    yield Sample((normal(rng, dtype, (0,)), normal(rng, dtype, (0,))))
    values = specials(dtype)
    yield Sample((values, values[::-1].copy()), diff=False)
    yield Sample((values, values[2 % len(values)]), diff=False)


samples("add", dtypes="iuhfc", reference=np.add, analytic=True)(binary_samples)
samples("sub", dtypes="iuhfc", reference=np.subtract, analytic=True)(binary_samples)
samples("neg", dtypes="iuhfc", reference=np.negative, analytic=True)(unary_samples)
samples("square", dtypes="iuhfc", reference=np.square, analytic=True)(unary_samples)
samples("abs", dtypes="iuhfc", reference=np.abs)(unary_samples)
samples("sign", dtypes="iuhfc", reference=np.sign)(unary_samples)
samples("copy", dtypes="biuhfc", reference=np.copy)(unary_samples)
samples("stop_gradient", dtypes="biuhfc", reference=lambda x: x)(unary_samples)
samples("conj", dtypes="c", reference=np.conj)(unary_samples)
samples("real", dtypes="c", reference=np.real)(unary_samples)
samples("imag", dtypes="c", reference=np.imag)(unary_samples)
samples("mul", dtypes="iuhf", reference=np.multiply, analytic=True)(binary_samples)


@samples("mul", dtypes="c", reference=np.multiply)
@samples("div", dtypes="c", reference=np.divide)
def _finite(rng: Rng, dtype: DType) -> Iterator[Sample]:
    # Products and quotients of complex infinities are unspecified, as in C.
    yield from list(binary_samples(rng, dtype))[:5]


@samples("complex", dtypes="f", reference=lambda re, im: re + 1j * im)
def _complex(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield from list(binary_samples(rng, dtype))[:5]


@samples("max", dtypes="biuhfc", reference=np.maximum)
@samples("min", dtypes="biuhfc", reference=np.minimum)
def _extreme(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield from list(binary_samples(rng, dtype))[:5]
    values = np.array([1, 0, 1, 0], dtype)
    yield Sample((values, values[::-1].copy()), diff=False)
    if dtype.kind == "f":
        values = np.array([np.nan, 1, np.inf, -np.inf], dtype)
        yield Sample((values, values[::-1].copy()), diff=False)


@samples("clamp", dtypes="iuhf", reference=lambda low, x, high: np.clip(x, low, high))
def _clamp(rng: Rng, dtype: DType) -> Iterator[Sample]:
    one, five = dtype.type(1), dtype.type(5)
    x = (np.arange(7) * 0.9 + 0.25).astype(dtype)
    yield Sample((one, x, five))
    yield Sample((np.full(7, one), x, np.full(7, five)))
    yield Sample((one, five, one), diff=False)
    yield Sample((one, x[:0], five))
    yield Sample((np.linspace(0, 6, 7).astype(dtype), dtype.type(3), five), diff=dtype.kind == "f")


def away_from_zero(rng: Rng, dtype: DType, shape: tuple[int, ...] = ()) -> Any:
    """Return numbers to divide by."""
    values = normal(rng, dtype, shape)
    return np.where(np.abs(values) < 0.5, values + dtype.type(1), values).astype(dtype)[()]


@samples("div", dtypes="hf", reference=np.divide, analytic=True)
def _div(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((normal(rng, dtype), away_from_zero(rng, dtype)))
    yield Sample((normal(rng, dtype, (3, 4)), away_from_zero(rng, dtype, (3, 4))))
    yield Sample((normal(rng, dtype, (3,)), away_from_zero(rng, dtype)))
    yield Sample((normal(rng, dtype), away_from_zero(rng, dtype, (3,))))
    yield Sample((normal(rng, dtype, (0, 2)), away_from_zero(rng, dtype, (0, 2))))
    values = specials(dtype)
    yield Sample((values, values[::-1].copy()), diff=False)


@samples("floor_divide", dtypes="iuhf", reference=np.floor_divide)
@samples("mod", dtypes="iuhf", reference=np.remainder)
@samples("rem", dtypes="iuhf", reference=np.fmod)
def _remainders(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x = np.array([7, 7.3, 0.4, 100, 3.3, 5.1]).astype(dtype)
    y = np.array([2, 2.6, 1.3, 7, 1.7, 3]).astype(dtype)
    if dtype.kind != "u":
        x[::2] *= dtype.type(-1)
        y[2:4] *= dtype.type(-1)
    yield Sample((x[1:], y[1:]))
    yield Sample((x[1:].reshape(5, 1), y[1]))
    yield Sample((x[1], y[1:]))
    yield Sample((x[1], y[1]))
    yield Sample((x[:0], y[:0]))
    if dtype.kind == "f":
        values = np.array([np.inf, np.nan, 1, -0.0, -6, 0], dtype)
        yield Sample((values, np.array([2, 1, np.inf, 3, -3, -2], dtype)), diff=False)
    else:
        info = np.iinfo(dtype)
        by = np.array([1, 1, 2] if dtype.kind == "u" else [-1, 1, -3], dtype)
        yield Sample((np.array([info.min, info.max, 0], dtype), by))
        yield Sample((np.array([5, 0], dtype), np.zeros(2, dtype)))


# --- bits --------------------------------------------------------------------------------------


samples("and", dtypes="biu", reference=np.bitwise_and)(binary_samples)
samples("or", dtypes="biu", reference=np.bitwise_or)(binary_samples)
samples("xor", dtypes="biu", reference=np.bitwise_xor)(binary_samples)
samples("not", dtypes="biu", reference=np.invert)(unary_samples)


def _shift_right_logical(x: Any, y: Any) -> Any:
    width = 8 * x.dtype.itemsize
    pairs = np.broadcast(x, y)
    shifted = [(int(a) % 2**width) >> int(b) if 0 <= b < width else 0 for a, b in pairs]
    return np.array(shifted, f"u{x.dtype.itemsize}").reshape(pairs.shape).astype(x.dtype)


def _shift_right_arithmetic(x: Any, y: Any) -> Any:
    return (x.astype(f"i{x.dtype.itemsize}") >> y.astype(f"i{x.dtype.itemsize}")).astype(x.dtype)


@samples("shift_left", dtypes="iu", reference=np.left_shift)
@samples("shift_right_logical", dtypes="iu", reference=_shift_right_logical)
@samples("shift_right_arithmetic", dtypes="iu", reference=_shift_right_arithmetic)
def _shift(rng: Rng, dtype: DType) -> Iterator[Sample]:
    values = specials(dtype)
    yield Sample((values, np.array([0, 1, 2, 3, 5], dtype)))
    yield Sample((values, dtype.type(8 * dtype.itemsize - 1)))
    yield Sample((values, dtype.type(8 * dtype.itemsize)))
    yield Sample((dtype.type(3), dtype.type(2)))
    yield Sample((values[:0], values[:0]))
    yield Sample((values[None], values[None] % dtype.type(7)))


@samples("population_count", dtypes="iu", reference=lambda x: _by_digits(x, lambda s: s.count("1")))
@samples("clz", dtypes="iu", reference=lambda x: _by_digits(x, lambda s: len(s.split("1")[0])))
def _counts(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield from unary_samples(rng, dtype)


def _by_digits(x: Any, count: Any) -> Any:
    width = 8 * x.dtype.itemsize
    digits = [count(f"{int(v) % 2**width:0{width}b}") for v in np.ravel(x)]
    return np.array(digits, x.dtype).reshape(np.shape(x))


# --- comparisons and selection -----------------------------------------------------------------


@samples("eq", dtypes="biuhfc", reference=np.equal)
@samples("ne", dtypes="biuhfc", reference=np.not_equal)
@samples("lt", dtypes="biuhfc", reference=np.less)
@samples("le", dtypes="biuhfc", reference=np.less_equal)
@samples("gt", dtypes="biuhfc", reference=np.greater)
@samples("ge", dtypes="biuhfc", reference=np.greater_equal)
def _comparison(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield from binary_samples(rng, dtype)
    yield Sample((specials(dtype), specials(dtype)))


samples("is_finite", dtypes="biuhfc", reference=np.isfinite)(unary_samples)
samples("is_nan", dtypes="biuhfc", reference=np.isnan)(unary_samples)
samples("is_inf", dtypes="biuhfc", reference=np.isinf)(unary_samples)
samples("signbit", dtypes="hf", reference=np.signbit)(unary_samples)


def _select_n(which: Any, *cases: Any) -> Any:
    pick = np.broadcast_arrays(which, *cases)
    flat = [int(w) for w in pick[0].ravel()]
    values = [pick[1 + w].ravel()[i] for i, w in enumerate(flat)]
    return np.array(values, pick[1].dtype).reshape(pick[0].shape)


@samples("select_n", dtypes="biuhfc", reference=_select_n)
def _selection(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x, y = normal(rng, dtype, (2, 3)), normal(rng, dtype, (2, 3))
    mask = normal(rng, np.dtype(bool), (2, 3))
    yield Sample((mask, x, y))
    yield Sample((np.True_, x, y))
    yield Sample((mask, x[0, 0], y[0, 0]))
    yield Sample((mask, x[0, 0], y))
    yield Sample((np.False_, x[0, 0], y))
    yield Sample((np.False_, x[0, 0], y[0, 0]))
    yield Sample((mask[:0], x[:0], y[:0]))
    yield Sample((np.array([2, 0, 1], np.int32), x[0], y[0], x[1]))
    yield Sample((np.int64(1), x, y))
