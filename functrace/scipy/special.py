"""functrace.scipy.special: SciPy's own functions on plain arrays, traced versions of them else."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from functrace.nn import functions as nn
from functrace.numpy.dispatching import cast, choose, constant, has_tracer
from functrace.numpy.ufuncs import loop_operands
from functrace.ops import arithmetic, exponentials, logical, powers, special

__all__ = [
    "betaln",
    "cbrt",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "kl_div",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "polygamma",
    "psi",
    "rel_entr",
    "softmax",
    "xlog1py",
    "xlogy",
]

F = TypeVar("F", bound=Callable[..., Any])

# --- what they share ---------------------------------------------------------------------------


@functools.cache
def _scipy(name: str) -> Any:
    """Return SciPy's function; SciPy is imported when the first is used."""
    import scipy.special

    return getattr(scipy.special, name)


def _scipy_function(traced: F) -> F:
    """Make a function SciPy's own of the same name, unless an argument is traced."""
    name = traced.__name__

    @functools.wraps(traced)
    def function(*args: Any, **kwargs: Any) -> Any:
        if has_tracer(args) or (kwargs and has_tracer(tuple(kwargs.values()))):
            return traced(*args, **kwargs)
        return _scipy(name)(*args, **kwargs)

    return function  # type: ignore[return-value]


def _operands(name: str, *xs: Any) -> list[Any]:
    """Return operands of the dtypes that SciPy's ufunc of this name would compute in.

    All of them have loops for float32 and float64; mixed operands SciPy is asked for, which takes
    longer to import than most programs take to compile.
    """
    dtypes = {getattr(x, "dtype", None) for x in xs}
    if len(dtypes) == 1 and dtypes <= _IN_EVERY_UFUNC:
        return loop_operands(np.add if len(xs) == 2 else np.positive, *xs)
    return loop_operands(_scipy(name), *xs)


_IN_EVERY_UFUNC = {np.dtype(np.float32), np.dtype(np.float64)}


# --- error functions and the normal distribution -----------------------------------------------


@_scipy_function
def erf(x: Any) -> Any:
    """Error function; as ``scipy.special.erf``, for real numbers.

    Example:
        >>> erf(0.0)
        np.float64(0.0)
    """
    return special.erf(*_operands("erf", x))


@_scipy_function
def erfc(x: Any) -> Any:
    """``1 - erf(x)``, precise for large ``x``; as ``scipy.special.erfc``.

    Example:
        >>> erfc(0.0)
        np.float64(1.0)
    """
    return special.erfc(*_operands("erfc", x))


@_scipy_function
def erfinv(y: Any) -> Any:
    """Inverse of the error function; as ``scipy.special.erfinv``."""
    return special.erf_inv(*_operands("erfinv", y))


@_scipy_function
def ndtr(x: Any) -> Any:
    """Distribution function of the standard normal law; as ``scipy.special.ndtr``.

    Example:
        >>> ndtr(0.0)
        np.float64(0.5)
    """
    (x,) = _operands("ndtr", x)
    return _ndtr(x)


def _ndtr(x: Any) -> Any:
    return 0.5 * special.erfc(arithmetic.neg(x) * math.sqrt(0.5))


@_scipy_function
def log_ndtr(x: Any) -> Any:
    """Logarithm of ``ndtr``, precise in both tails; as ``scipy.special.log_ndtr``."""
    (x,) = _operands("log_ndtr", x)
    far = x < -20 if x.dtype.itemsize >= 8 else x < -10
    right = x > 0
    middle = choose(far | right, cast(0, x.dtype), x)
    return choose(
        far,
        _log_ndtr_tail(choose(far, x, cast(-20, x.dtype))),
        choose(
            right,
            exponentials.log1p(arithmetic.neg(_ndtr(arithmetic.neg(choose(right, x, 0))))),
            exponentials.log(_ndtr(middle)),
        ),
    )


def _log_ndtr_tail(x: Any) -> Any:
    """Return ``log(ndtr(x))`` for very negative ``x`` by the asymptotic series.

    ndtr(x) = phi(x) / -x (1 - 1/x**2 + 3/x**4 - 15/x**6 + ...).
    """
    inverse_square = 1.0 / powers.square(x)
    series: Any = 0.0
    for n in range(10, 0, -1):
        # Horner, of 1 - r (1 - 3 r (1 - 5 r (...))) without its leading 1.
        series = arithmetic.neg((2 * n - 1) * inverse_square * (1.0 + series))
    density = -0.5 * powers.square(x) - exponentials.log(arithmetic.neg(x))
    return density - 0.5 * math.log(2 * math.pi) + exponentials.log1p(series)


# --- logistic ----------------------------------------------------------------------------------


@_scipy_function
def expit(x: Any) -> Any:
    """``1 / (1 + exp(-x))``; as ``scipy.special.expit``.

    Example:
        >>> expit(0.0)
        np.float64(0.5)
    """
    return exponentials.logistic(*_operands("expit", x))


@_scipy_function
def log_expit(x: Any) -> Any:
    """``log(expit(x))``, precise for negative ``x``; as ``scipy.special.log_expit``."""
    return nn.log_sigmoid(*_operands("log_expit", x))


@_scipy_function
def logit(x: Any) -> Any:
    """``log(x / (1 - x))``, the inverse of ``expit``; as ``scipy.special.logit``.

    Example:
        >>> logit(0.5)
        np.float64(0.0)
    """
    (x,) = _operands("logit", x)
    # Near 1/2 the two logarithms cancel; there 2 x - 1 is exact.
    middle = (x > 0.3) & (x < 0.65)
    s = 2.0 * choose(middle, x, cast(0.5, x.dtype)) - 1.0
    near = exponentials.log1p(s) - exponentials.log1p(arithmetic.neg(s))
    return choose(middle, near, exponentials.log(x) - exponentials.log1p(arithmetic.neg(x)))


# --- sums of exponentials ----------------------------------------------------------------------


@_scipy_function
def logsumexp(
    a: Any,
    axis: int | tuple[int, ...] | None = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    """``log(sum(b * exp(a)))`` over ``axis``, without overflow; as ``scipy.special.logsumexp``.

    Args:
        a: the exponents.
        axis: an axis, several, or None for all.
        b: factors of the exponentials, which may be negative.
        keepdims: keep the reduced axes, of size 1.
        return_sign: return the logarithm of the absolute value, and the sign.

    Example:
        >>> import numpy as np
        >>> logsumexp(np.array([1000.0, -np.inf]))
        np.float64(1000.0)
    """
    return nn.logsumexp(a, axis, b, keepdims, return_sign)


@_scipy_function
def softmax(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Exponentials divided by their sum; as ``scipy.special.softmax``."""
    return nn.softmax(x, axis)


@_scipy_function
def log_softmax(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Logarithm of the softmax; as ``scipy.special.log_softmax``."""
    return nn.log_softmax(x, axis)


# --- gamma functions ---------------------------------------------------------------------------


@_scipy_function
def gammaln(x: Any) -> Any:
    """Logarithm of the absolute value of the gamma function; as ``scipy.special.gammaln``."""
    return special.lgamma(*_operands("gammaln", x))


@_scipy_function
def digamma(z: Any) -> Any:
    """Derivative of ``gammaln``; as ``scipy.special.digamma``."""
    return special.digamma(*_operands("psi", z))


@_scipy_function
def psi(z: Any) -> Any:
    """Derivative of ``gammaln``, the same as ``digamma``; as ``scipy.special.psi``."""
    return special.digamma(*_operands("psi", z))


@_scipy_function
def polygamma(n: int, x: Any) -> Any:
    """The ``n``-th derivative of ``digamma``; as ``scipy.special.polygamma``, ``n`` an integer."""
    (x,) = _operands("psi", x)
    return special.polygamma(int(n), x) if n else special.digamma(x)


@_scipy_function
def betaln(a: Any, b: Any) -> Any:
    """Logarithm of the absolute value of the beta function; as ``scipy.special.betaln``."""
    a, b = _operands("betaln", a, b)
    return special.lgamma(a) + special.lgamma(b) - special.lgamma(a + b)


@_scipy_function
def multigammaln(a: Any, d: int) -> Any:
    """Logarithm of the multivariate gamma function; as ``scipy.special.multigammaln``."""
    (a,) = _operands("gammaln", a)
    out: Any = d * (d - 1) / 4 * math.log(math.pi)
    for j in range(d):
        out = out + special.lgamma(a - j / 2)
    return out


# --- products with logarithms ------------------------------------------------------------------


def _harmless(x: Any, y: Any, inside: Any) -> Any:
    """Return ``y`` with 1 where ``x`` is 0 and the logarithm isn't finite (but not NaN)."""
    outside = (x == 0) & ~inside & (y == y)
    return choose(outside, cast(1, y.dtype), y)


@_scipy_function
def xlogy(x: Any, y: Any) -> Any:
    """``x * log(y)``, 0 where ``x`` is 0; as ``scipy.special.xlogy``.

    Example:
        >>> xlogy(0.0, 0.0)
        np.float64(0.0)
    """
    x, y = _operands("xlogy", x, y)
    return x * exponentials.log(_harmless(x, y, (y > 0) & logical.is_finite(y)))


@_scipy_function
def xlog1py(x: Any, y: Any) -> Any:
    """``x * log1p(y)``, 0 where ``x`` is 0; as ``scipy.special.xlog1py``."""
    x, y = _operands("xlog1py", x, y)
    return x * exponentials.log1p(_harmless(x, y, (y > -1) & logical.is_finite(y)))


@_scipy_function
def entr(x: Any) -> Any:
    """``-x * log(x)``, 0 at 0 and -inf below; as ``scipy.special.entr``.

    Example:
        >>> entr(0.0)
        np.float64(0.0)
    """
    (x,) = _operands("entr", x)
    positive = x > 0
    safe = choose(positive, x, cast(1, x.dtype))
    # At 0 and NaN the result is x itself.
    rest = choose(x < 0, cast(-np.inf, x.dtype), constant(x))
    return choose(positive, arithmetic.neg(safe * exponentials.log(safe)), rest)


@_scipy_function
def rel_entr(x: Any, y: Any) -> Any:
    """``x * log(x / y)``, 0 where ``x`` is 0; as ``scipy.special.rel_entr``.

    Example:
        >>> rel_entr(0.0, 1.0)
        np.float64(0.0)
    """
    x, y = _operands("rel_entr", x, y)
    return _relative_entropy(x, y)


def _relative_entropy(x: Any, y: Any) -> Any:
    both = (x > 0) & (y > 0)
    one, zero, inf = (cast(v, x.dtype) for v in (1, 0, np.inf))
    safe_x, safe_y = choose(both, x, one), choose(both, y, one)
    nothing = (x == 0) & (y >= 0)
    rest = choose(nothing, zero, choose((x != x) | (y != y), cast(np.nan, x.dtype), inf))
    return choose(both, safe_x * exponentials.log(safe_x / safe_y), rest)


@_scipy_function
def kl_div(x: Any, y: Any) -> Any:
    """``x * log(x / y) - x + y``, inf where undefined; as ``scipy.special.kl_div``."""
    x, y = _operands("kl_div", x, y)
    entropy = _relative_entropy(x, y)
    finite = logical.is_finite(entropy)
    return choose(finite, entropy - x + y, entropy)


# --- elementary --------------------------------------------------------------------------------


@_scipy_function
def expm1(x: Any) -> Any:
    """``exp(x) - 1``, precise near 0; as ``scipy.special.expm1``."""
    return exponentials.expm1(*_operands("expm1", x))


@_scipy_function
def log1p(x: Any) -> Any:
    """``log(1 + x)``, precise near 0; as ``scipy.special.log1p``."""
    return exponentials.log1p(*_operands("log1p", x))


@_scipy_function
def exp2(x: Any) -> Any:
    """``2**x``; as ``scipy.special.exp2``."""
    return exponentials.exp2(*_operands("exp2", x))


@_scipy_function
def cbrt(x: Any) -> Any:
    """Cube root; as ``scipy.special.cbrt``."""
    return powers.cbrt(*_operands("cbrt", x))
