"""Distributions whose quantiles have a formula: a uniform number goes in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace import lax
from functrace.ops.broadcasting import broadcast_to
from functrace.random import xla_math
from functrace.random.sampler import drawn_with, sampler, shared
from functrace.random.streams import as_line, random_bits, unit
from functrace.random.uniforms import between

__all__ = [
    "cauchy",
    "exponential",
    "exponentials",
    "gumbel",
    "gumbels",
    "laplace",
    "logistic",
    "pareto",
    "rayleigh",
    "triangular",
    "weibull_min",
]

Shape = tuple[int, ...]
DType = np.dtype[Any]


@as_line
def exponentials(key: Any, shape: Shape, dtype: DType) -> Any:
    """Return exponential numbers of rate 1 from a packed key."""
    return -xla_math.log1p(-unit(key, dtype, shape))


def _positive(key: Any, shape: Shape, dtype: DType) -> Any:
    """Return uniform numbers that are not 0."""
    return between(key, shape, dtype, np.finfo(dtype).tiny, dtype.type(1))


@sampler()
def exponential(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw exponential numbers of rate 1.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> exponential(random.key(0), (2,), np.float32)
        array([2.950128 , 3.8434246], dtype=float32)
    """
    return exponentials(key, shape, dtype)


@sampler()
def laplace(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from Laplace's distribution, of density ``exp(-abs(x)) / 2``.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> laplace(random.key(0), (3,)).round(3)
        array([ 0.178,  0.838, -2.668])
    """
    one = dtype.type(1)
    u = between(key, shape, dtype, np.finfo(dtype).epsneg - one, one)
    return lax.sign(u) * xla_math.log1p(-lax.abs(u))


@sampler()
def logistic(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the logistic distribution, whose cumulative one is ``1 / (1 + exp(-x))``.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> logistic(random.key(0), (3,)).round(3)
        array([-0.329, -1.287,  3.326])
    """
    u = _positive(key, shape, dtype)
    return xla_math.log(u) - xla_math.log1p(-u)


@sampler()
def cauchy(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from Cauchy's distribution, of density ``1 / (pi (1 + x**2))``.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> cauchy(random.key(0), (3,)).round(3)
        array([-0.262, -1.238,  9.143])
    """
    u = between(key, shape, dtype, np.finfo(dtype).eps, dtype.type(1))
    return xla_math.tan((u - 0.5) * math.pi)


@sampler(pointwise=False)
def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw from Pareto's distribution: numbers above 1 whose density falls as ``x**-(b + 1)``.

    Args:
        key: the key.
        b: the shape parameter, positive.
        shape: the shape of the result; by default that of ``b``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> pareto(random.key(0), 3.0, (3,)).round(3)
        array([1.198, 1.085, 3.067])
    """
    shape, b = drawn_with("pareto", shape, dtype, b)
    numbers = exponentials(key, shape, dtype)
    if shared(shape, b):
        return xla_math.exp(numbers * broadcast_to(1 / b, shape))
    return xla_math.exp(numbers / broadcast_to(b, shape))


@sampler()
def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw lengths of vectors of two normal numbers of standard deviation ``scale``.

    Args:
        key: the key.
        scale: the standard deviation.
        shape: the shape of the result; by default that of ``scale``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> rayleigh(random.key(0), 1.0, (3,)).round(3)
        array([1.32 , 1.75 , 0.266])
    """
    return lax.mul(scale, lax.sqrt(-2 * xla_math.log(unit(key, dtype, shape))))


@sampler(pointwise=False)
def weibull_min(
    key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None
) -> Any:
    """Draw from Weibull's distribution: ``scale`` times a power of an exponential number.

    Args:
        key: the key.
        scale: the factor.
        concentration: one over the power.
        shape: the shape of what is drawn; the parameters broadcast against it.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> weibull_min(random.key(0), 1.0, 2.0, (3,)).round(3)
        array([0.736, 0.494, 1.833])
    """
    scale, concentration = (lax.convert_element_type(x, dtype) for x in (scale, concentration))
    powers, scale = (broadcast_to(x, shape) for x in (1.0 / concentration, scale))
    return xla_math.pow(exponentials(key, shape, dtype), powers) * scale


@sampler()
def triangular(
    key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None
) -> Any:
    """Draw from the distribution whose density is a triangle.

    Args:
        key: the key.
        left: where the triangle begins.
        mode: where it is highest.
        right: where it ends.
        shape: the shape of the result; by default that of the parameters.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> triangular(random.key(0), 0.0, 0.5, 2.0, (3,)).round(3)
        array([0.679, 0.465, 1.677])
    """
    u = unit(key, dtype, shape)
    width = right - left
    below = left + lax.sqrt(u * width * (mode - left))
    above = right - lax.sqrt((1 - u) * width * (right - mode))
    return lax.select(lax.lt(u, (mode - left) / width), below, above)


# --- Gumbel ------------------------------------------------------------------------------------

MODES = ("low", "high", "highest")


@as_line
def gumbels(key: Any, shape: Shape, dtype: DType, mode: str | None) -> Any:
    """Return Gumbel's numbers from a packed key."""
    mode = mode or "low"
    if mode not in MODES:
        raise ValueError(f"random: mode is {mode!r}; it is 'low', 'high' or 'highest'.")
    if mode == "low":
        return -xla_math.log(-xla_math.log(_positive(key, shape, dtype)))
    if mode == "highest" and dtype == np.float32:
        return _finest(key, shape)
    info = np.finfo(dtype)
    u = unit(key, dtype, (2, *shape))
    coarse, fine = (lax.index_in_dim(u, i, 0, keepdims=False) for i in range(2))
    more = coarse + float(info.eps) * fine + info.tiny
    return -xla_math.log(-xla_math.log1p(-lax.select(lax.ge(coarse, 0.5), coarse, more)))


def _finest(key: Any, shape: Shape) -> Any:
    """Use 64 bits a number, by their distance to the nearer end of the unit interval."""
    words = random_bits(key, np.dtype(np.uint32), (2, *shape))
    high, low = (
        lax.convert_element_type(lax.index_in_dim(words, i, 0, keepdims=False), np.uint64)
        for i in range(2)
    )
    fixed = lax.bitwise_or(lax.shift_left(high, 32), low)
    near = lax.lt(high, 1 << 31)
    distance = lax.select(near, fixed, 0 - fixed)
    lead = lax.clz(distance)
    # The first 24 bits that count, the rest cut off; the first of them is 1, or all are 0.
    kept = lax.bitwise_or(lax.shift_right_logical(lax.shift_left(distance, lead), 40), 1 << 23)
    exponent = lax.convert_element_type((127 - 24) - lead, np.uint32)
    scale = lax.bitcast_convert_type(lax.shift_left(exponent, 23), np.float32)
    x = lax.convert_element_type(kept, np.float32) * scale
    return lax.select(near, -xla_math.log(-xla_math.log1p(-x)), -xla_math.log(-xla_math.log(x)))


@sampler(static="mode")
def gumbel(key: Any, shape: Any = (), dtype: Any = None, mode: str | None = None) -> Any:
    """Draw from Gumbel's distribution, whose cumulative one is ``exp(-exp(-x))``.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.
        mode: ``"high"`` draws twice the bits for rare large numbers; ``"highest"`` uses all of
            them in float32. ``"low"`` by default.

    Example:
        >>> from functrace import random
        >>> gumbel(random.key(0), (2,), np.float32)
        array([2.9233725, 3.8326178], dtype=float32)
    """
    return gumbels(key, shape, dtype, mode)
