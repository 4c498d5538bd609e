"""Fusing changes no bit: each pair of scalar primitives in one kernel gives what NumPy gives.

Every scalar operation of a kernel carries its own dtype, so a fused ``(a + b) > 0`` of int8 wraps
before it compares, and float32 stays float32 between operations. For each dtype and each primitive
p on it, one program computes q(p(...)) for all primitives q on p's result, at the edges of the
dtype: overflow, INT_MIN // -1, zero divisors, over-wide shifts, casts out of range. Exact
primitives must give NumPy's bits; the others those they give when nothing is fused.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from samples import load_all

import functrace as ft
from functrace.core.lowering import Elementwise
from functrace.core.trace import PRIMITIVES

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]

DTYPES = ["bool", "int8", "int32", "int64", "uint8", "uint64", "float16", "float32"]

# Correctly rounded by NumPy and by us, or no arithmetic at all; the rest is approximated.
EXACT_ON_FLOATS = frozenset(
    {
        "abs",
        "add",
        "ceil",
        "clamp",
        "convert_element_type",
        "copy",
        "copysign",
        "div",
        "eq",
        "floor",
        "floor_divide",
        "ge",
        "gt",
        "is_finite",
        "is_inf",
        "is_nan",
        "le",
        "lt",
        "max",
        "min",
        "mod",
        "mul",
        "ne",
        "neg",
        "nextafter",
        "rem",
        "round",
        "select_n",
        "sign",
        "signbit",
        "sqrt",
        "square",
        "stop_gradient",
        "sub",
        "trunc",
    }
)


@dataclass(frozen=True)
class Form:
    """A primitive with its parameters, on operands of one dtype."""

    name: str
    params: tuple[tuple[str, Any], ...]
    count: int
    dtype: DType

    @property
    def exact(self) -> bool:
        """Whether its result is NumPy's to the last bit."""
        return self.dtype.kind in "biu" or (self.dtype.kind == "f" and self.name in EXACT_ON_FLOATS)

    def __call__(self, *operands: Any) -> Any:
        if self.name == "select_n":
            operands = (selector(operands[0].size), *operands)
        return PRIMITIVES[self.name].bind(*operands, **dict(self.params))


@functools.cache
def forms(dtype: DType) -> list[Form]:
    """Return all the scalar primitives that take operands of a dtype, in each form of samples."""
    found: dict[Form, None] = {}
    for name, entries in sorted(load_all().items()):
        if not isinstance(PRIMITIVES[name].lowering, Elementwise) or PRIMITIVES[name].effect:
            continue
        for entry in entries:
            if dtype not in entry.dtypes:
                continue
            for sample in entry.samples(dtype):
                params = tuple(sorted(sample.params.items()))
                count = 2 if name == "select_n" else len(sample.args)
                found[Form(name, params, count, dtype)] = None
    return [form for form in found if not _undefined(form)]


def _undefined(form: Form) -> bool:
    """Whether NumPy raises (integers to negative powers) or promises nothing."""
    params = dict(form.params)
    if form.dtype.kind in "iu":
        return form.name == "pow" or params.get("y", 0) < 0
    return False


def edges(dtype: DType) -> Array:
    """Return the values where types differ: extremes, zeros, neighbours of powers of two."""
    if dtype == np.bool_:
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        values = [info.min, info.min + 1, -2, -1, 0, 1, 2, 7, info.bits - 1, info.bits, info.max]
        return np.array([v for v in values if info.min <= v <= info.max], dtype)
    info = np.finfo(dtype)
    values = [0.0, 1.0, 2.5, 0.1, 1 / 3, 1e3 + 1 / 7, info.max, info.tiny, info.smallest_subnormal]
    signed = [s * v for v in values for s in (1, -1)]
    return np.array([*signed, np.inf, -np.inf, np.nan], dtype)


def grid(dtype: DType, count: int) -> list[Array]:
    """Return operands that run through all pairs (of each further operand, some) of edges."""
    values = edges(dtype)
    pairs = np.array(list(itertools.product(values, values)), dtype).T
    more = [np.roll(pairs[1], 3 * k + 1) for k in range(count)]
    return [np.ascontiguousarray(row) for row in (*pairs, *more)][:count]


def selector(size: int) -> Array:
    """Return the first operand of a choice between two."""
    return np.resize([False, True, True], size)


def followers(first: Array) -> Iterator[tuple[Form, list[Array]]]:
    """Yield each primitive on a first result, with its other operands."""
    for form in forms(first.dtype):
        rest = [np.roll(np.resize(edges(first.dtype), first.size), k) for k in range(form.count)]
        yield form, rest[1:]


def same_bits(got: Any, want: Any, what: str) -> None:
    """Raise unless both have one dtype and the same bits; any NaN is as good as another."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype, f"{what}: {got.dtype} instead of {want.dtype}"
    if got.dtype.kind == "c":
        same_bits(got.real, want.real, what)
        return same_bits(got.imag, want.imag, what)
    differ = got != want
    if got.dtype.kind == "f":
        differ &= ~(np.isnan(got) & np.isnan(want))
        differ |= (got == 0) & (want == 0) & (np.signbit(got) != np.signbit(want))
    places = np.flatnonzero(differ)
    assert not places.size, f"{what} at {places[:5]}: {got[places][:5]}, not {want[places][:5]}"
    return None


def plain(form: Form, operands: Sequence[Array]) -> Array:
    """Return what NumPy says."""
    with np.errstate(all="ignore"):
        return np.asarray(form(*operands))


def defined(form: Form, operands: Sequence[Array]) -> Array:
    """Tell where a result is defined: no cast of what doesn't fit, no choice between two zeros."""
    x = operands[0]
    to = dict(form.params).get("new_dtype")
    if form.name == "convert_element_type" and x.dtype.kind in "fc" and to.kind in "iu":
        info = np.iinfo(to)
        with np.errstate(all="ignore"):
            wide = x.real.astype(np.float64)
            return (np.trunc(wide) >= info.min) & (np.trunc(wide) < float(info.max) + 1)
    if form.name in ("max", "min", "clamp", "nextafter") and x.dtype.kind == "f":
        return sum((a == 0).astype(int) for a in operands) < 2
    return np.ones(x.shape, bool)


LOOKS_AT_BITS = ("bitcast_convert_type", "signbit", "copysign")

CASES = [
    pytest.param(form, id="-".join([name, form.name, *(str(v) for _, v in form.params)]))
    for name in DTYPES
    for form in forms(np.dtype(name))
]


@pytest.mark.parametrize("first", CASES)
def test_fused_pairs_keep_their_bits(first: Form) -> None:
    operands = grid(first.dtype, first.count)
    alone = np.asarray(ft.jit(first)(*operands))
    keep = defined(first, operands)
    if first.exact:
        same_bits(alone[keep], plain(first, operands)[keep], first.name)
    pairs = list(followers(alone))

    def fused(*args: Any) -> list[Any]:
        made, rests = first(*args[: first.count]), args[first.count :]
        return [form(made, *rest) for (form, _), rest in zip(pairs, rests, strict=True)]

    results = ft.jit(fused)(*operands, *(rest for _, rest in pairs))
    for (second, rest), got in zip(pairs, results, strict=True):
        both = keep & defined(second, [alone, *rest])
        if second.name in LOOKS_AT_BITS and alone.dtype.kind == "f" and not first.exact:
            both &= ~np.isnan(alone)  # which NaN a function gives is nobody's promise
        if second.exact:
            want = plain(second, [alone, *rest])
        else:
            want = np.asarray(ft.jit(second)(alone, *rest))
        same_bits(np.asarray(got)[both], want[both], f"{second.name} of {first.name}")
