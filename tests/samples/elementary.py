"""Samples of rounding, powers, transcendental and special functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.special

from samples import Sample, samples
from samples.arithmetic import binary_samples, specials, unary_samples

Rng = np.random.Generator
DType = np.dtype[Any]

# --- rounding ----------------------------------------------------------------------------------


@samples("floor", dtypes="hf", reference=np.floor)
@samples("ceil", dtypes="hf", reference=np.ceil)
@samples("trunc", dtypes="hf", reference=np.trunc)
def _rounding(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((np.array([[0.5, 1.5, -2.5], [0.3, -0.7, 8.0]], dtype),))
    yield from unary_samples(rng, dtype)


def _round(x: Any, rounding_method: int) -> Any:
    if rounding_method == 1:
        return np.round(x)
    if x.dtype.kind == "c":
        return _round(x.real, 0) + 1j * _round(x.imag, 0)
    return np.where(np.isfinite(x), np.sign(x) * np.floor(np.abs(x) + 0.5), x)


@samples("round", dtypes="hfc", reference=_round)
def _round_samples(rng: Rng, dtype: DType) -> Iterator[Sample]:
    halves = np.array([[0.5, 1.5, -2.5], [0.3, -0.7, 8.0]], dtype)
    for method in (0, 1):
        yield Sample((halves,), {"rounding_method": method})
        yield Sample((halves[0, 1],), {"rounding_method": method})
        yield Sample((halves[:0],), {"rounding_method": method})
    if dtype.kind == "f":
        yield Sample((specials(dtype)[:8],), {"rounding_method": 0})
        yield Sample((specials(dtype)[:8],), {"rounding_method": 1})


@samples("nextafter", dtypes="hf", reference=np.nextafter)
def _nextafter(rng: Rng, dtype: DType) -> Iterator[Sample]:
    for sample in binary_samples(rng, dtype):
        yield Sample(sample.args, diff=False)
    yield Sample((np.zeros(2, dtype), np.array([1, -1], dtype)), diff=False)


@samples("copysign", dtypes="hf", reference=np.copysign)
def _copysign(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield from binary_samples(rng, dtype)


@samples("hypot", dtypes="hf", reference=np.hypot)
@samples("atan2", dtypes="hf", reference=np.arctan2)
def _polar(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield from binary_samples(rng, dtype)


# --- functions of one operand ------------------------------------------------------------------


def register(
    name: str,
    reference: Callable[..., Any],
    low: float,
    high: float,
    *,
    special: bool = True,
    dtypes: str = "hf",
    analytic: bool = True,
    ulp: int = 4,
    tol: float = 1.0,
) -> None:
    """Register samples of a function of one real operand between ``low`` and ``high``."""

    @samples(name, dtypes=dtypes, reference=reference, analytic=analytic)
    def make(rng: Rng, dtype: DType) -> Iterator[Sample]:
        def within(shape: tuple[int, ...]) -> Any:
            return np.asarray(rng.uniform(low, high, shape)).astype(dtype)[()]

        yield Sample((within(()),), ulp=ulp, tol=tol)
        yield Sample((within((3, 5)),), ulp=ulp, tol=tol)
        yield Sample((within((0,)),), ulp=ulp)
        yield Sample((within((1, 1)),), ulp=ulp, tol=tol)
        if special:
            yield Sample((specials(dtype),), diff=False, ulp=ulp, tol=tol)


@samples("lgamma", dtypes="f", reference=scipy.special.gammaln)
@samples("digamma", dtypes="f", reference=scipy.special.digamma)
def _gammas(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((np.array([-0.7, -1.3, -2.5, 30.0, 1e-3], dtype),), ulp=64, tol=64)
    yield Sample((np.array([1e4, 3.5, 0.0, np.inf], dtype),), ulp=32, diff=False)


@samples("sin", dtypes="f", reference=np.sin)
@samples("cos", dtypes="f", reference=np.cos)
@samples("tan", dtypes="f", reference=np.tan)
def _large_angles(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((np.array([22, 355, 1e5, -3e10, 1e22, 3e38], dtype),), diff=False)


def register_complex(name: str, reference: Callable[..., Any], ulp: int = 8) -> None:
    """Register samples of a function of complex numbers, away from its poles and cuts."""

    @samples(name, dtypes="c", reference=reference)
    def make(rng: Rng, dtype: DType) -> Iterator[Sample]:
        z = rng.uniform(0.2, 1.2, (2, 4)) + 1j * rng.uniform(0.2, 1.2, (2, 4))
        z[1] *= -1
        yield Sample((z.astype(dtype),), ulp=ulp, tol=2)
        yield Sample((z.astype(dtype)[0, 0],), ulp=ulp, tol=2)
        yield Sample((z.astype(dtype)[:, :0],), ulp=ulp)


def _logistic(x: Any) -> Any:
    return scipy.special.expit(x)


register("exp", np.exp, -3, 3)
register("exp2", np.exp2, -3, 3, analytic=False)
register("expm1", np.expm1, -1, 1)
register("log", np.log, 0.1, 5)
register("log1p", np.log1p, -0.5, 2)
register("log2", np.log2, 0.1, 5, analytic=False)
register("log10", np.log10, 0.1, 5, analytic=False)
register("logistic", _logistic, -4, 4)
register("sin", np.sin, -7, 7)
register("cos", np.cos, -7, 7)
register("tan", np.tan, -1.4, 1.4)
register("asin", np.arcsin, -0.9, 0.9)
register("acos", np.arccos, -0.9, 0.9)
register("atan", np.arctan, -5, 5)
register("sinh", np.sinh, -3, 3)
register("cosh", np.cosh, -3, 3)
register("tanh", np.tanh, -3, 3)
register("asinh", np.arcsinh, -3, 3)
register("acosh", np.arccosh, 1.2, 5)
register("atanh", np.arctanh, -0.9, 0.9)
register("sqrt", np.sqrt, 0.1, 5)
register("rsqrt", lambda x: 1 / np.sqrt(x), 0.1, 5)
register("cbrt", np.cbrt, 0.1, 5, analytic=False)
register("erf", scipy.special.erf, -2, 2, analytic=False)
register("erfc", scipy.special.erfc, -2, 2, analytic=False, ulp=8)
register("erf_inv", scipy.special.erfinv, -0.9, 0.9, analytic=False, ulp=16)
register(
    "lgamma",
    lambda x: scipy.special.gammaln(np.where(x == -np.inf, np.inf, x)),
    0.2,
    6,
    analytic=False,
    ulp=32,
)
register("digamma", scipy.special.digamma, 0.2, 1.2, analytic=False, ulp=16)

for _name, _function in {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "sqrt": np.sqrt,
    "rsqrt": lambda z: 1 / np.sqrt(z),
}.items():
    register_complex(_name, _function)


def _polygamma(x: Any, n: int) -> Any:
    return scipy.special.polygamma(n, x.astype(np.float64))


@samples("polygamma", dtypes="f", reference=_polygamma)
def _polygamma_samples(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x = np.array([[0.3, 1.0, 2.5], [7.0, 20.0, 0.8]], dtype)
    for n in (1, 2, 3):
        yield Sample((x,), {"n": n}, ulp=32, tol=8)
        yield Sample((x[0, 0],), {"n": n}, ulp=32, tol=8)
    yield Sample((x[:0],), {"n": 1})
    yield Sample((np.array([-0.5, -1.3, -3.8], dtype),), {"n": 2}, ulp=128, tol=64, diff=False)


# --- powers ------------------------------------------------------------------------------------


@samples("integer_pow", dtypes="iuhfc", reference=lambda x, y: x.astype(_wide(x)) ** y)
def _integer_pow(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x = np.array([[1, 2, 3], [1.5, 0.7, 2.2]]).astype(dtype)
    exponents = (0, 1, 2, 3, 7) if dtype.kind in "iu" else (0, 1, 2, 3, -1, -2)
    for y in exponents:
        yield Sample((x,), {"y": y})
    yield Sample((x[0, 1],), {"y": 3})
    yield Sample((x[:0],), {"y": 2})


def _wide(x: Any) -> Any:
    """Return the dtype that a reference is computed in: integers wrap in their own."""
    return x.dtype if x.dtype.kind in "iu" else np.result_type(x.dtype, np.float64)


@samples("pow", dtypes="iuhf", reference=np.power)
def _pow(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x = np.array([[0.5, 2, 3.3], [1.5, 0.7, 2.2]]).astype(dtype)
    y = np.array([[2, 0.5, 1.2], [3, 0, 1.4]]).astype(dtype)
    yield Sample((x, y))
    yield Sample((x, y[0, 0]))
    yield Sample((x[0, 1], y))
    yield Sample((x[0, 1], y[0, 0]))
    yield Sample((x[:0], y[:0]))
    if dtype.kind == "f":
        values = np.array([0, 0, -2, -2, np.inf, np.nan, 1, -0.0], dtype)
        yield Sample((values, np.array([0, 2, 3, -2, -1, 0, np.nan, 3], dtype)), diff=False)
    else:
        yield Sample((np.array([3, 0, 7], dtype), np.array([5, 0, 40], dtype)))


@samples("pow", dtypes="c", reference=np.power)
def _complex_pow(rng: Rng, dtype: DType) -> Iterator[Sample]:
    x = np.array([0.5 + 1j, -2 + 0.3j, 1 - 1j], dtype)
    y = np.array([0.7 - 0.2j, 1.5 + 0.1j, -0.5 + 2j], dtype)
    yield Sample((x, y), ulp=32, tol=4)
    yield Sample((x, y[0]), ulp=32, tol=4)
    yield Sample((x[0], y[0]), ulp=32, tol=4)
