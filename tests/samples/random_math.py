"""Samples of the elementary functions that random numbers are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.special

import functrace.random.xla_math  # noqa: F401 - defines the primitives
from samples import Sample, samples

Rng = np.random.Generator
DType = np.dtype[Any]


def register(
    name: str, reference: Callable[..., Any], low: float, high: float, tol: float = 1
) -> None:
    """Register samples of a function of numbers from low to high."""

    @samples(f"xla_{name}", dtypes="hf", reference=reference)
    def make(rng: Rng, dtype: DType) -> Iterator[Sample]:
        def some(shape: tuple[int, ...] = ()) -> Any:
            return np.asarray(rng.uniform(low, high, shape)).astype(dtype)[()]

        yield Sample((some(),), ulp=0, tol=tol)
        yield Sample((some((2, 3)),), ulp=0, tol=tol)
        yield Sample((some((40,)),), ulp=0, tol=tol)
        yield Sample((some((0, 2)),), ulp=0)
        ends = np.array([0, np.inf, np.nan, 1], dtype)
        yield Sample((ends,), ulp=0, diff=False)


register("log", np.log, 0.1, 5)
# XLA's is good to 30 units in the last place where the branches meet.
register("log1p", np.log1p, -0.9, 2, tol=4)
register("exp", np.exp, -3, 3)
register("erf", scipy.special.erf, -2, 2)
register("erf_inv", scipy.special.erfinv, -0.9, 0.9, tol=4)
register("tan", np.tan, -1.4, 1.4)


@samples("xla_pow", dtypes="hf", reference=np.power)
def _pow(rng: Rng, dtype: DType) -> Iterator[Sample]:
    def some(shape: tuple[int, ...] = ()) -> Any:
        return np.asarray(rng.uniform(0.2, 2.0, shape)).astype(dtype)[()]

    yield Sample((some(), some()), ulp=0)
    yield Sample((some((30,)), some((30,))), ulp=0)
    yield Sample((some((2, 3)), some()), ulp=0)
    yield Sample((some(), some((2, 3))), ulp=0)
    yield Sample((some((0,)), some((0,))), ulp=0)
    x = np.array([0, 0, 0, 1, np.inf, np.inf, 2, np.nan], dtype)
    y = np.array([2, 0, -2, 9, 2, -2, np.nan, 2], dtype)
    yield Sample((x, y), ulp=0, diff=False)


def _plain(*args: Any, name: str) -> Any:
    return {"exp": np.exp, "pow": np.power, "log": lambda x, inverse, log: np.log(x)}[name](*args)


@samples("xla_arithmetic", dtypes="float64", reference=_plain)
def _arithmetic(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x, y = rng.uniform(0.2, 2.0, (2, 9))
    yield Sample((x,), {"name": "exp"}, ulp=0)
    yield Sample((x, y), {"name": "pow"}, ulp=0)
    # Of an interval around 1 one over its middle is 1, of which the logarithm is 0.
    near, one, zero = np.linspace(0.998, 1.002, 9), np.float64(1), np.float64(0)
    yield Sample((near, one, zero), {"name": "log"}, ulp=0, tol=16)


@samples("table_entry", dtypes="f", reference=lambda table, place: np.take(table, place))
def _entries(rng: Rng, dtype: DType) -> Iterator[Sample]:
    table = rng.normal(size=9).astype(dtype)
    for place in (np.int64(3), np.array([[0, 8], [3, 3]]), np.zeros(0, np.int64)):
        yield Sample((table, place), batch=False)


@samples("xla_arithmetic", dtypes="float32", reference=lambda x, name: scipy.special.gammaln(x))
def _lgamma(rng: Rng, dtype: DType) -> Iterator[Sample]:
    for shape in ((), (30,)):
        yield Sample((rng.uniform(3, 90, shape).astype(dtype),), {"name": "lgamma"}, ulp=0, tol=4)
