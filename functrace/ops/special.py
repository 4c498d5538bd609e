"""Special functions: erf, erfc, erf_inv, lgamma, digamma, polygamma."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.ops.arithmetic import NOT_LINEAR, mul, neg
from functrace.ops.exponentials import exp, math_unary
from functrace.ops.families import FLOATING, unary
from functrace.ops.powers import square

__all__ = ["digamma", "erf", "erf_inv", "erfc", "lgamma", "polygamma"]

_SQRT_PI = math.sqrt(math.pi)


@functools.cache
def _scipy(name: str) -> Callable[..., Any]:
    import scipy.special

    function: Callable[..., Any] = getattr(scipy.special, name)
    return function


def _from_scipy(name: str) -> Callable[..., Any]:
    """Return SciPy's function, imported when first used; float16 keeps its dtype."""

    def impl(x: Any) -> Any:
        return _scipy(name)(x).astype(x.dtype, copy=False)

    return impl


# --- error functions ---------------------------------------------------------------------------

erf_p = math_unary("erf", _from_scipy("erf"), FLOATING)
erfc_p = math_unary("erfc", _from_scipy("erfc"), FLOATING)
erf_inv_p = math_unary("erf_inv", _from_scipy("erfinv"), FLOATING)

erf_p.def_jvp_each(lambda t, out, x: mul(t, mul(exp(neg(square(x))), 2.0 / _SQRT_PI)))
erfc_p.def_jvp_each(lambda t, out, x: mul(t, mul(exp(neg(square(x))), -2.0 / _SQRT_PI)))
erf_inv_p.def_jvp_each(lambda t, out, x: mul(t, mul(exp(square(out)), 0.5 * _SQRT_PI)))


def erf(x: Any) -> Any:
    """Error function of each element."""
    return erf_p.bind(x)


def erfc(x: Any) -> Any:
    """``1 - erf(x)`` without loss of precision for large ``x``."""
    return erfc_p.bind(x)


def erf_inv(x: Any) -> Any:
    """Inverse of the error function; infinite at -1 and 1."""
    return erf_inv_p.bind(x)


# --- gamma functions ---------------------------------------------------------------------------


def _lgamma_impl(x: Any) -> Any:
    """SciPy's, but for -inf, where C and kernels have inf."""
    out = _scipy("gammaln")(np.where(x == -np.inf, np.inf, x))
    return out.astype(x.dtype, copy=False)


lgamma_p = math_unary("lgamma", _lgamma_impl, FLOATING)
digamma_p = math_unary("digamma", _from_scipy("psi"), FLOATING)

lgamma_p.def_jvp_each(lambda t, out, x: mul(t, digamma(x)))
digamma_p.def_jvp_each(lambda t, out, x: mul(t, polygamma(1, x)))


def lgamma(x: Any) -> Any:
    """Logarithm of the size of the gamma function; infinite at its poles."""
    return lgamma_p.bind(x)


def digamma(x: Any) -> Any:
    """Derivative of ``lgamma``."""
    return digamma_p.bind(x)


# --- polygamma ---------------------------------------------------------------------------------


def _polygamma_impl(x: Any, *, n: int) -> Any:
    zeta = _scipy("zeta")(x.dtype.type(n + 1), x)
    return (zeta * ((-1) ** (n + 1) * math.factorial(n))).astype(x.dtype, copy=False)


# B_2, B_4, ..., B_16
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _polygamma_lowering(b: Any, x: Any, *, n: int) -> Any:
    """Compute in float64; negative arguments by reflection.

    psi_n(x) = (-1)**n psi_n(1 - x) - pi (d/dx)**n cot(pi x)      [DLMF 5.15.6]
    """
    dtype = x.dtype
    x = b.cast(x, np.float64)
    negative = b.lt(x, 0.0)
    z = b.select(negative, b.sub(b.const(1.0, x.dtype), x), x)
    direct = _polygamma_positive(b, z, n)
    nearest = b.rint(x)
    turn = b.mul(b.sub(x, nearest), b.const(math.pi, x.dtype))
    cot = b.div(b.const(1.0, x.dtype), b.math("tan", turn))
    slope = _horner(b, cot, _cot_derivative(n))
    mirrored = b.sub(b.mul(direct, b.const(float((-1) ** n), x.dtype)), slope)
    pole = b.const((-1) ** (n + 1) * math.inf, x.dtype)
    at_pole = b.and_(b.eq(x, nearest), b.le(x, 0.0))
    out = b.select(negative, mirrored, direct)
    return b.cast(b.select(at_pole, pole, out), dtype)


def _polygamma_positive(b: Any, x: Any, n: int) -> Any:
    """Return psi_n for x > 0: the first terms of its series, then Euler-Maclaurin's tail."""
    steps = 10 + 2 * n
    factorial = float(math.factorial(n))
    total = b.const(0.0, x.dtype)
    for k in range(steps):
        total = b.add(total, b.ipow(b.add(x, b.const(float(k), x.dtype)), -(n + 1)))
    total = b.mul(total, b.const(factorial, x.dtype))
    y = b.add(x, b.const(float(steps), x.dtype))
    inverse = b.div(b.const(1.0, x.dtype), y)
    # (n-1)! y**-n (1 + n/(2y) + sum of B_2j (2j+n-1)! / ((2j)! (n-1)!) y**-2j)
    tail = [math.factorial(2 * j + n - 1) / math.factorial(2 * j) for j in range(1, 9)]
    even = [B * c for B, c in zip(_BERNOULLI, tail)]
    series = _horner(b, b.mul(inverse, inverse), [float(math.factorial(n - 1)), *even])
    series = b.add(series, b.mul(inverse, b.const(0.5 * factorial, x.dtype)))
    total = b.add(total, b.mul(series, b.ipow(inverse, n)))
    return total if n % 2 else b.neg(total)


def _horner(b: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Return the polynomial with these coefficients, lowest first."""
    out = b.const(coefficients[-1], x.dtype)
    for c in reversed(coefficients[:-1]):
        out = b.add(b.mul(out, x), b.const(c, x.dtype))
    return out


def _cot_derivative(n: int) -> list[float]:
    """Return pi (d/dx)**n cot(pi x) as a polynomial in the cotangent, by cot' = -(1 + cot**2)."""
    coefficients = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(coefficients)][1:]
        coefficients = [-(a + c) for a, c in zip([*slope, 0, 0], [0, 0, *slope])]
    return [c * math.pi ** (n + 1) for c in coefficients]


polygamma_p = unary(
    "polygamma",
    _polygamma_impl,
    FLOATING,
    Elementwise(_polygamma_lowering),
    not_linear=NOT_LINEAR,
)
polygamma_p.def_jvp_each(lambda t, out, x, n: mul(t, polygamma(n + 1, x)))


def polygamma(n: int, x: Any) -> Any:
    """``n``-th derivative of ``digamma``, of static order ``n``.

    Raises:
        ValueError: the order is negative.
    """
    if n < 0:
        raise ValueError(f"polygamma: the order is {n}; it can't be negative.")
    return polygamma_p.bind(x, n=int(n)) if n else digamma(x)
