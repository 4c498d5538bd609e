"""Activation functions and the softmax family, each in the form that doesn't lose precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.errors import DTypeError, compose
from functrace.numpy.dispatching import (
    cast,
    choose,
    constant,
    normalize_axes,
    normalize_axis,
    operand,
    spread,
)
from functrace.numpy.reductions import fold
from functrace.ops import (
    arithmetic,
    complexes,
    creation,
    exponentials,
    joining,
    logical,
    powers,
    special,
    structural,
    transcendental,
)
from functrace.ops.broadcasting import broadcast_to, reduce_sum_p
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import broadcast_shapes, promote_dtypes
from functrace.ops.reductions import reduce_max_p

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "mish",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "standardize",
    "swish",
    "tanh",
]

Axis = int | tuple[int, ...] | None
_FLOAT64 = np.dtype(np.float64)


def _inexact(x: Any) -> Any:
    """Return ``x`` as floats: integers become float64."""
    x = operand(x)
    return x if x.dtype.kind in "fc" else convert_element_type(x, _FLOAT64)


# --- piecewise linear --------------------------------------------------------------------------


def relu(x: Any) -> Any:
    """Rectified linear unit, ``max(x, 0)``; its derivative at 0 is 0.

    Example:
        >>> import numpy as np
        >>> relu(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """
    x = operand(x)
    zero = x.dtype.type(0)
    # Asked this way round, NaN goes through and the derivative at 0 is that of the constant.
    return logical.select(logical.le(x, zero), zero, x)


def relu6(x: Any) -> Any:
    """Rectified linear unit that stops at 6, ``min(max(x, 0), 6)``; derivative 0 at both kinks.

    Example:
        >>> import numpy as np
        >>> relu6(np.array([-1.0, 3.0, 9.0]))
        array([0., 3., 6.])
    """
    x = operand(x)
    return _between(x, 0, 6)


def _between(x: Any, low: Any, high: Any) -> Any:
    """Clip with derivative 0 at both ends."""
    low, high = cast(low, x.dtype), cast(high, x.dtype)
    inside = logical.select(x >= high, high, x)
    return logical.select(x <= low, low, inside)


def hard_tanh(x: Any) -> Any:
    """``x`` kept between -1 and 1; derivative 1 at both ends.

    Example:
        >>> import numpy as np
        >>> hard_tanh(np.array([-2.0, 0.5, 2.0]))
        array([-1. ,  0.5,  1. ])
    """
    x = operand(x)
    return choose(x > 1, 1, choose(x < -1, -1, x))


def hard_sigmoid(x: Any) -> Any:
    """Piecewise linear sigmoid, ``relu6(x + 3) / 6``."""
    return relu6(_inexact(x) + 3.0) / 6.0


def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``."""
    x = _inexact(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """``x`` where it is not negative, ``negative_slope * x`` elsewhere.

    Example:
        >>> import numpy as np
        >>> leaky_relu(np.array([-1.0, 2.0]))
        array([-0.01,  2.  ])
    """
    x = _inexact(x)
    return choose(x >= 0, x, negative_slope * x)


def identity(x: Any) -> Any:
    """``x`` itself."""
    return x


# --- exponential -------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, without overflow.

    Example:
        >>> import numpy as np
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    return exponentials.logistic(_inexact(x))


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``, also where the sigmoid rounds to 0 or 1.

    Example:
        >>> import numpy as np
        >>> log_sigmoid(np.array([-1000.0, 1000.0]))
        array([-1000.,    -0.])
    """
    return arithmetic.neg(softplus(arithmetic.neg(_inexact(x))))


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``, without overflow; its derivative is the sigmoid.

    Example:
        >>> softplus(1000.0)
        np.float64(1000.0)
    """
    x = _inexact(x)
    # log(1 + exp(x)) = max(x, 0) + log1p(exp(-abs(x))), written so that every branch is smooth.
    positive = x > 0
    small = exponentials.log1p(exponentials.exp(choose(positive, arithmetic.neg(x), x)))
    return choose(positive, x + small, small)


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also called swish."""
    x = _inexact(x)
    return x * exponentials.logistic(x)


swish = silu


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    x = _inexact(x)
    return x * transcendental.tanh(softplus(x))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return transcendental.tanh(_inexact(x))


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """Exponential linear unit: ``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    x = _inexact(x)
    positive = x > 0
    below = choose(positive, cast(0, x.dtype), x)
    return choose(positive, x, alpha * exponentials.expm1(below))


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """Continuously differentiable ELU: ``x``, or ``alpha * (exp(x / alpha) - 1)``."""
    x = _inexact(x)
    positive = x > 0
    below = choose(positive, cast(0, x.dtype), x)
    return choose(positive, x, alpha * exponentials.expm1(below / alpha))


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(x: Any) -> Any:
    """Scaled ELU, which keeps mean 0 and variance 1 through deep networks."""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def gelu(x: Any, approximate: bool = True) -> Any:
    """Gaussian error linear unit, ``x * Phi(x)``.

    Args:
        x: the array.
        approximate: use the hyperbolic tangent formula instead of the error function.
    """
    x = _inexact(x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * powers.integer_pow(x, 3))
        return x * (0.5 * (1.0 + transcendental.tanh(inner)))
    # Phi(x) = erfc(-x / sqrt 2) / 2 keeps precision where Phi is small.
    return 0.5 * x * special.erfc(arithmetic.neg(x) * math.sqrt(0.5))


def glu(x: Any, axis: int = -1) -> Any:
    """Gated linear unit: the first half along ``axis`` times the sigmoid of the second.

    Raises:
        ValueError: the axis can't be halved.

    Example:
        >>> import numpy as np
        >>> glu(np.array([2.0, 0.0]))
        array([1.])
    """
    x = _inexact(x)
    axis = normalize_axis(axis, len(x.shape))
    n = x.shape[axis]
    if n % 2:
        raise ValueError(
            compose(
                f"glu of an array of shape {x.shape} along axis {axis}.",
                f"its size {n} is odd, and it is to be halved.",
            )
        )
    value = joining.slice_in_dim(x, 0, n // 2, 1, axis)
    return value * exponentials.logistic(joining.slice_in_dim(x, n // 2, n, 1, axis))


# --- others ------------------------------------------------------------------------------------


def soft_sign(x: Any) -> Any:
    """``x / (1 + abs(x))``.

    Example:
        >>> import numpy as np
        >>> soft_sign(np.array([-1.0, 3.0]))
        array([-0.5 ,  0.75])
    """
    x = _inexact(x)
    return x / (complexes.abs(x) + 1.0)


def squareplus(x: Any, b: Any = 4.0) -> Any:
    """``(x + sqrt(x**2 + b)) / 2``, a smooth rectifier without exponentials."""
    x = _inexact(x)
    return 0.5 * (x + powers.sqrt(powers.square(x) + b))


def sparse_plus(x: Any) -> Any:
    """0 below -1, ``x`` above 1, ``(x + 1)**2 / 4`` between: softplus made sparse."""
    x = _inexact(x)
    middle = powers.square(x + 1.0) / 4.0
    return choose(x <= -1, cast(0, x.dtype), choose(x >= 1, x, middle))


def sparse_sigmoid(x: Any) -> Any:
    """``(x + 1) / 2`` kept between 0 and 1: the derivative of ``sparse_plus``."""
    x = _inexact(x)
    return 0.5 * _between(x + 1.0, 0, 2)


def log1mexp(x: Any) -> Any:
    """``log(1 - exp(-x))`` for positive ``x``, precise at both ends."""
    x = _inexact(x)
    # Maechler: expm1 where exp(-x) is near 1, log1p where it is small.
    near = x < math.log(2.0)
    safe_near = choose(near, x, cast(1, x.dtype))
    safe_far = choose(near, cast(1, x.dtype), x)
    return choose(
        near,
        exponentials.log(arithmetic.neg(exponentials.expm1(arithmetic.neg(safe_near)))),
        exponentials.log1p(arithmetic.neg(exponentials.exp(arithmetic.neg(safe_far)))),
    )


# --- the softmax family ------------------------------------------------------------------------


def _maximum(x: Any, axes: tuple[int, ...]) -> Any:
    """Return the maximum over ``axes``, as a constant to subtract.

    Raises:
        ValueError: there are no elements to normalise.
    """
    if 0 in x.shape and any(x.shape[a] == 0 for a in axes):
        raise ValueError(
            compose(
                f"softmax of an array of shape {x.shape} over axes {axes}.",
                "it has no elements there, so there is nothing to normalise.",
            )
        )
    return fold(reduce_max_p, constant(x), axes)


def _shifted(x: Any, top: Any, axes: tuple[int, ...]) -> Any:
    """Return ``x`` less the maximum of its row."""
    return arithmetic.sub(x, spread(top, x.shape, axes))


def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """Exponentials divided by their sum along ``axis``, without overflow.

    Args:
        x: the array.
        axis: an axis, several, or None for all.
        where: a boolean array; elements where it is false are left out and get 0.

    Example:
        >>> import numpy as np
        >>> softmax(np.array([1000.0, 1000.0]))
        array([0.5, 0.5])
    """
    x = _inexact(x)
    axes = normalize_axes(axis, len(x.shape))
    if where is not None:
        where = broadcast_to(operand(where), x.shape)
        x = choose(where, x, cast(-np.inf, x.dtype))
    e = exponentials.exp(_shifted(x, _maximum(x, axes), axes))
    out = arithmetic.div(e, spread(fold(reduce_sum_p, e, axes), x.shape, axes))
    return out if where is None else choose(where, out, cast(0, x.dtype))


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """Logarithm of the softmax, precise where the softmax rounds to 0.

    Args:
        x: the array.
        axis: an axis, several, or None for all.
        where: a boolean array; elements where it is false are left out and get -inf.
    """
    x = _inexact(x)
    axes = normalize_axes(axis, len(x.shape))
    low = cast(-np.inf, x.dtype)
    if where is not None:
        where = broadcast_to(operand(where), x.shape)
        x = choose(where, x, low)
    shifted = _shifted(x, _maximum(x, axes), axes)
    logs = exponentials.log(fold(reduce_sum_p, exponentials.exp(shifted), axes))
    out = arithmetic.sub(shifted, spread(logs, x.shape, axes))
    return out if where is None else choose(where, out, low)


def logsumexp(
    a: Any,
    axis: Axis = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """``log(sum(exp(a)))`` over ``axis``, without overflow; -inf where all of ``a`` is -inf.

    Args:
        a: the array.
        axis: an axis, several, or None for all.
        b: factors of the exponentials, which may be negative.
        keepdims: keep the reduced axes, of size 1.
        return_sign: return the logarithm of the absolute value, and the sign.
        where: a boolean array; only elements where it is true count.

    Example:
        >>> import numpy as np
        >>> logsumexp(np.array([1000.0, -np.inf]))
        np.float64(1000.0)
    """
    x = _inexact(a)
    if b is not None:
        x, b = promote_dtypes(x, operand(b))
        shape = broadcast_shapes(x.shape, b.shape)
        x, b = broadcast_to(x, shape), broadcast_to(b, shape)
        x = choose(b != 0, x, cast(-np.inf, x.dtype))
    if where is not None:
        x = choose(broadcast_to(operand(where), x.shape), x, cast(-np.inf, x.dtype))
    axes = normalize_axes(axis, len(x.shape))
    top = fold(reduce_max_p, _real(constant(x)), axes)
    top = logical.select(logical.is_finite(top), top, top.dtype.type(0))
    e = exponentials.exp(x - spread(top, x.shape, axes))
    total = fold(reduce_sum_p, e if b is None else b * e, axes)
    sign = None
    if return_sign:
        sign, total = complexes.sign(total), complexes.abs(total)
    out = _log_or_minus_infinity(total) + top
    if keepdims and axes:
        out = structural.expand_dims(out, axes)
        sign = sign if sign is None else structural.expand_dims(sign, axes)
    return (out, sign) if return_sign else out


def _real(x: Any) -> Any:
    return complexes.real(x) if x.dtype.kind == "c" else x


def _log_or_minus_infinity(total: Any) -> Any:
    """Logarithm that is -inf with derivative 0 at 0."""
    if total.dtype.kind == "c":
        return exponentials.log(total)
    zero = total == 0
    logs = exponentials.log(choose(zero, cast(1, total.dtype), total))
    return choose(zero, cast(-np.inf, total.dtype), logs)


def logmeanexp(x: Any, axis: Axis = None, where: Any = None, keepdims: bool = False) -> Any:
    """``log(mean(exp(x)))`` over ``axis``, without overflow.

    Example:
        >>> import numpy as np
        >>> logmeanexp(np.array([3.0, 3.0]))
        np.float64(3.0)
    """
    x = _inexact(x)
    axes = normalize_axes(axis, len(x.shape))
    if where is None:
        count: Any = x.dtype.type(math.prod(x.shape[a] for a in axes))
    else:
        there = convert_element_type(broadcast_to(operand(where), x.shape), x.dtype)
        count = fold(reduce_sum_p, there, axes, keepdims)
    return logsumexp(x, axes, keepdims=keepdims, where=where) - exponentials.log(count)


def standardize(
    x: Any,
    axis: Axis = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon)`` along ``axis``.

    Args:
        x: the array.
        axis: an axis, several, or None for all.
        mean: the mean, when it is known, with the axes kept.
        variance: the variance, when it is known, with the axes kept.
        epsilon: what keeps constant rows finite.
        where: a boolean array; only elements where it is true count in mean and variance.

    Example:
        >>> import numpy as np
        >>> standardize(np.array([1.0, 3.0]), epsilon=0.0)
        array([-1.,  1.])
    """
    x = _inexact(x)
    axes = normalize_axes(axis, len(x.shape))
    if where is None:
        count: Any = x.dtype.type(math.prod(x.shape[a] for a in axes))
    else:
        where = broadcast_to(operand(where), x.shape)
        count = fold(reduce_sum_p, convert_element_type(where, x.dtype), axes, True)
    if mean is None:
        mean = fold(reduce_sum_p, _only(where, x), axes, True) / count
    centred = x - mean
    if variance is None:
        size = complexes.abs(centred) if x.dtype.kind == "c" else centred
        variance = fold(reduce_sum_p, _only(where, powers.square(size)), axes, True) / count
    return centred * powers.rsqrt(variance + epsilon)


def _only(where: Any, x: Any) -> Any:
    return x if where is None else choose(where, x, cast(0, x.dtype))


def one_hot(x: Any, num_classes: int, *, dtype: Any = np.float64, axis: int = -1) -> Any:
    """Rows of zeros with a 1 at each index; indices out of range give zeros.

    Args:
        x: indices.
        num_classes: how many there are.
        dtype: the dtype of the result.
        axis: the new axis.

    Example:
        >>> import numpy as np
        >>> one_hot(np.array([0, 2]), 3)
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    x = constant(operand(x))
    if x.dtype.kind not in "biuf":
        raise DTypeError(f"one_hot takes indices, not an array of dtype {x.dtype}")
    ndim = len(shape_of(x))
    place = normalize_axis(axis, ndim + 1)
    shape = (*x.shape[:place], int(num_classes), *x.shape[place:])
    index_dtype = x.dtype if x.dtype.kind in "iuf" else np.dtype(np.int64)
    indices = convert_element_type(x, index_dtype)
    wide = broadcast_to(structural.expand_dims(indices, (place,)), shape)
    return convert_element_type(creation.iota(index_dtype, shape, place) == wide, dtype)
