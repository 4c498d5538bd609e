"""The gamma distribution and those made of it."""

from __future__ import annotations

import functools
from typing import Any

from functrace import lax
from functrace.ops.broadcasting import broadcast_to
from functrace.random import xla_math
from functrace.random.continuous import exponentials
from functrace.random.gamma_draws import gammas
from functrace.random.normals import normals
from functrace.random.sampler import batched, sampler
from functrace.random.streams import children
from functrace.random.uniforms import signs

__all__ = [
    "ball",
    "beta",
    "chisquare",
    "dirichlet",
    "f",
    "gamma",
    "generalized_normal",
    "loggamma",
    "t",
]


@sampler()
def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw gamma numbers, of density ``x**(a - 1) exp(-x) / Gamma(a)``.

    They can be differentiated in ``a``: a number's quantile stays.

    Args:
        key: the key.
        a: the shape parameter, positive.
        shape: the shape of the result; by default that of ``a``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> gamma(random.key(0), 3.0, (3,)).round(3)
        array([2.263, 1.962, 5.131])
    """
    return gammas(key, a, shape, log_space=False)


@sampler()
def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw logarithms of gamma numbers; exact for small ``a``, where these are next to 0.

    Args:
        key: the key.
        a: the shape parameter, positive.
        shape: the shape of the result; by default that of ``a``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> loggamma(random.key(0), 0.01, (3,)).round(3)
        array([-111.954, -228.982,  -84.621])
    """
    return gammas(key, a, shape, log_space=True)


@sampler()
def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw from the beta distribution, of density ``x**(a - 1) (1 - x)**(b - 1)`` up to a factor.

    Args:
        key: the key.
        a: the first parameter, positive.
        b: the second parameter, positive.
        shape: the shape of the result; by default that of the parameters.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> beta(random.key(0), 2.0, 3.0, (3,)).round(3)
        array([0.328, 0.614, 0.76 ])
    """
    first, second = children(key)
    x, y = gammas(first, a, shape, log_space=True), gammas(second, b, shape, log_space=True)
    most = lax.max(x, y)
    x, y = xla_math.exp(x - most), xla_math.exp(y - most)
    return x / (x + y)


@sampler(pointwise=False)
def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw probabilities from Dirichlet's distribution.

    Args:
        key: the key.
        alpha: the concentrations, along the last axis.
        shape: the shape of the result without that axis; by default that of ``alpha``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> import numpy as np
        >>> from functrace import random
        >>> dirichlet(random.key(0), np.array([1.0, 2.0, 3.0])).round(3)
        array([0.071, 0.167, 0.762])
    """
    alpha = lax.convert_element_type(alpha, dtype)
    whole = batched("dirichlet", shape, alpha)
    logs = gammas(key, broadcast_to(alpha, whole), whole, log_space=True)
    axis = (len(whole) - 1,)
    most = lax.reduce_max(lax.stop_gradient(logs), axis)
    numbers = xla_math.exp(logs - lax.expand_dims(most, axis))
    return numbers * lax.expand_dims(1 / _total(numbers), axis)


FEW = 32
"""From so many on XLA adds in parts, which depend on the size of the whole array."""


def _total(x: Any) -> Any:
    """Return the sums along the last axis, added from the left where there are few."""
    count = x.shape[-1]
    if not 0 < count < FEW:
        return lax.reduce_sum(x, (x.ndim - 1,))
    terms = (lax.index_in_dim(x, i, -1, keepdims=False) for i in range(count))
    return functools.reduce(lax.add, terms)


# --- of squares of normal numbers --------------------------------------------------------------


def _chisquare(key: Any, df: Any, shape: Any) -> Any:
    return xla_math.exp(gammas(key, df / 2, shape, log_space=True)) * 2


@sampler()
def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw sums of ``df`` squares of standard normal numbers.

    Args:
        key: the key.
        df: the degrees of freedom, positive.
        shape: the shape of the result; by default that of ``df``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> chisquare(random.key(0), 3.0, (3,)).round(3)
        array([1.814, 1.448, 5.98 ])
    """
    return _chisquare(key, df, shape)


@sampler()
def f(key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw from Fisher's distribution: a quotient of means of squares of normal numbers.

    Args:
        key: the key.
        dfnum: the degrees of freedom above the line.
        dfden: those below it.
        shape: the shape of the result; by default that of the parameters.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> f(random.key(0), 3.0, 5.0, (3,)).round(3)
        array([1.548, 0.357, 0.093])
    """
    below, above = children(key)
    return (_chisquare(above, dfnum, shape) * dfden) / (dfnum * _chisquare(below, dfden, shape))


@sampler()
def t(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw from Student's distribution.

    Args:
        key: the key.
        df: the degrees of freedom, positive.
        shape: the shape of the result; by default that of ``df``.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> t(random.key(0), 3.0, (3,)).round(3)
        array([ 1.401, -0.607,  1.122])
    """
    first, second = children(key)
    half = df / 2
    numbers = normals(first, shape, dtype)
    return numbers * lax.sqrt(half / gammas(second, half, shape, log_space=False))


# --- of powers ---------------------------------------------------------------------------------


def _generalized_normals(key: Any, p: Any, shape: Any, dtype: Any) -> Any:
    p = lax.convert_element_type(p, dtype)
    first, second = children(key)
    size = gammas(first, 1 / p, shape, log_space=False)
    return signs(second, shape, dtype) * xla_math.pow(size, 1 / p)


@sampler()
def generalized_normal(key: Any, p: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the distribution of density ``exp(-abs(x)**p)`` up to a factor.

    Args:
        key: the key.
        p: the power.
        shape: the shape of the result.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> generalized_normal(random.key(0), 1.5, (3,)).round(3)
        array([ 1.005, -1.684, -0.203])
    """
    return _generalized_normals(key, p, shape, dtype)


@sampler(static="d", pointwise=False)
def ball(key: Any, d: int, p: Any = 2.0, shape: Any = (), dtype: Any = None) -> Any:
    """Draw points evenly from the ball of radius 1 in ``d`` dimensions, by the p-norm.

    Barthe, Guedon, Mendelson and Naor, "A probabilistic approach to the geometry of the l_p^n
    ball" (2005).

    Args:
        key: the key.
        d: the number of dimensions.
        p: the power of the norm.
        shape: the shape of the result without the axis of dimensions, the last.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> ball(random.key(0), 2).round(3)
        array([-0.87 , -0.455])
    """
    first, second = children(key)
    x = _generalized_normals(first, p, (*shape, d), dtype)
    rest = exponentials(second, shape, dtype)
    inverse = lax.convert_element_type(1 / p, dtype)
    powers = xla_math.pow(lax.abs(x), lax.convert_element_type(p, dtype))
    return x * xla_math.pow(_total(powers) + rest, -inverse)[..., None]
