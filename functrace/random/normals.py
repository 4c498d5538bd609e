"""Normal numbers and what is made of them one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace import lax
from functrace.ops.broadcasting import broadcast_to
from functrace.random import xla_math
from functrace.random.sampler import drawn_with, sampler, shared
from functrace.random.streams import as_line, children, fused, unit
from functrace.random.uniforms import between, signs

__all__ = [
    "double_sided_maxwell",
    "lognormal",
    "maxwell",
    "normal",
    "normals",
    "truncated_normal",
    "wald",
]

Shape = tuple[int, ...]
DType = np.dtype[Any]


@as_line
def normals(key: Any, shape: Shape, dtype: DType) -> Any:
    """Return standard normal numbers from a packed key: the quantiles of uniform ones.

    The interval is open: the least number is the one after -1.
    """
    if dtype.kind == "c":
        part = np.finfo(dtype).dtype
        half = 1 / part.type(math.sqrt(2.0))
        real, imag = (normals(child, shape, part) * half for child in children(key))
        return lax.complex(real, imag)
    return quantiles(key, shape, dtype) * math.sqrt(2.0)


@as_line
def quantiles(key: Any, shape: Shape, dtype: DType) -> Any:
    """Return normal numbers of variance 1/2."""
    one = dtype.type(1)
    return xla_math.erf_inv(between(key, shape, dtype, np.nextafter(-one, dtype.type(0)), one))


@sampler("fc")
def normal(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw standard normal numbers; complex ones have variance 1, half of it in each part.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating or complex dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> normal(random.key(0), (2,), np.float32)
        array([1.6226422, 2.0252647], dtype=float32)
    """
    return normals(key, shape, dtype)


@sampler()
def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw standard normal numbers given that they lie between ``lower`` and ``upper``.

    Args:
        key: the key.
        lower: the bound below.
        upper: the bound above.
        shape: the shape of the result; by default that of the bounds.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> bool(np.all(np.abs(truncated_normal(random.key(0), -1.0, 1.0, (9,))) < 1))
        True
    """
    root = dtype.type(math.sqrt(2.0))
    a, b = xla_math.erf(lax.div(lower, root)), xla_math.erf(lax.div(upper, root))
    out = xla_math.erf_inv(between(key, shape, dtype, a, b)) * root
    # Rounding mustn't reach the ends.
    least = lax.nextafter(lax.stop_gradient(lower), dtype.type(np.inf))
    greatest = lax.nextafter(lax.stop_gradient(upper), dtype.type(-np.inf))
    return lax.min(lax.max(out, least), greatest)


@sampler(pointwise=False)
def lognormal(key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None) -> Any:
    """Draw numbers whose logarithm is normal, of standard deviation ``sigma`` and mean 0.

    Args:
        key: the key.
        sigma: the standard deviation of the logarithm.
        shape: the shape of the result; by default that of ``sigma``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> lognormal(random.key(0), 0.5, (3,)).round(3)
        array([0.902, 0.675, 2.479])
    """
    shape, sigma = drawn_with("lognormal", shape, dtype, sigma)
    if shared(shape, sigma):
        spread = broadcast_to(sigma * math.sqrt(2.0), shape)
        return xla_math.exp(quantiles(key, shape, dtype) * spread)
    return xla_math.exp(normals(key, shape, dtype) * broadcast_to(sigma, shape))


@sampler()
def maxwell(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw lengths of vectors of three standard normal numbers.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> maxwell(random.key(0), (3,)).round(3)
        array([1.989, 0.425, 1.24 ])
    """
    return _lengths(key, shape, dtype)


def _lengths(key: Any, shape: Shape, dtype: DType) -> Any:
    vectors = normals(key, (*shape, 3), dtype)
    x, y, z = (lax.index_in_dim(vectors, i, -1, keepdims=False) for i in range(3))
    # The first product of a sum is the one that is fused; in which order XLA adds depends on this.
    if dtype == np.float32:
        x, y = y, x
    return lax.sqrt(fused(z, z, fused(y, y, x * x)))


@sampler(pointwise=False)
def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw Maxwell's lengths with a random sign, times ``scale``, plus ``loc``.

    Args:
        key: the key.
        loc: the middle.
        scale: the factor.
        shape: what comes before the shape of the parameters in that of the result; by default
            their own shape, once more.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> double_sided_maxwell(random.key(0), 0.0, 1.0, (3,)).round(3)
        array([ 1.985, -2.478, -1.633])
    """
    loc, scale = (lax.convert_element_type(x, dtype) for x in (loc, scale))
    parameters = lax.broadcast_shapes(loc.shape, scale.shape)
    shape = (*(shape or parameters), *parameters)
    length, sign = children(key)
    signed = signs(sign, shape, dtype) * _lengths(length, shape, dtype)
    return fused(signed, broadcast_to(scale, shape), broadcast_to(loc, shape))


@sampler()
def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw from Wald's distribution, the inverse Gaussian one with scale 1.

    Michael, Schucany and Haas, "Generating random variates using transformations with multiple
    roots" (1976).

    Args:
        key: the key.
        mean: the mean.
        shape: the shape of the result; by default that of ``mean``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> wald(random.key(0), 2.0, (3,)).round(3)
        array([0.223, 3.901, 3.57 ])
    """
    first, second = children(key)
    square = lax.square(normals(first, shape, dtype))
    root = lax.sqrt(fused(4 * mean, square, lax.square(mean) * lax.square(square)))
    x = fused(mean * -0.5, root, mean + lax.square(mean) * square * 0.5)
    kept = lax.le(unit(second, dtype, shape), mean / (mean + x))
    return lax.select(kept, x, lax.square(mean) / x)
