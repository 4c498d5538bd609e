"""Initial values of weights: functions ``init(rng, shape, dtype)`` that return an array.

``rng`` is a NumPy ``Generator`` (or a seed); the arrays are plain NumPy arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.errors import compose

__all__ = [
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Initializer = Callable[..., Any]
_FLOAT64 = np.float64


def _generator(rng: Any) -> np.random.Generator:
    return np.random.default_rng(rng)


# --- constants ---------------------------------------------------------------------------------


def zeros(rng: Any, shape: Sequence[int], dtype: Any = _FLOAT64) -> Any:
    """An array of zeros; ``rng`` is not used.

    Example:
        >>> import numpy as np
        >>> zeros(np.random.default_rng(0), (2,))
        array([0., 0.])
    """
    return np.zeros(tuple(shape), dtype)


def ones(rng: Any, shape: Sequence[int], dtype: Any = _FLOAT64) -> Any:
    """An array of ones; ``rng`` is not used."""
    return np.ones(tuple(shape), dtype)


def constant(value: Any, dtype: Any = _FLOAT64) -> Initializer:
    """Return an initializer that fills with ``value``.

    Example:
        >>> import numpy as np
        >>> constant(3.0)(np.random.default_rng(0), (2,))
        array([3., 3.])
    """

    def init(rng: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        return np.full(tuple(shape), value, dtype)

    return init


# --- one distribution --------------------------------------------------------------------------


def uniform(scale: float = 1e-2, dtype: Any = _FLOAT64) -> Initializer:
    """Return an initializer that draws uniformly from ``[0, scale)``.

    Example:
        >>> import numpy as np
        >>> uniform(0.1)(np.random.default_rng(0), (2, 3)).shape
        (2, 3)
    """

    def init(rng: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        return (scale * _generator(rng).random(tuple(shape))).astype(dtype)

    return init


def normal(stddev: float = 1e-2, dtype: Any = _FLOAT64) -> Initializer:
    """Return an initializer that draws normal values of deviation ``stddev``."""

    def init(rng: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        return (stddev * _normal(rng, tuple(shape), dtype)).astype(dtype)

    return init


def _normal(rng: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Draw normal values of variance 1; complex ones have it in both parts together."""
    draw = _generator(rng).standard_normal
    if np.dtype(dtype).kind == "c":
        return (draw(shape) + 1j * draw(shape)) * math.sqrt(0.5)
    return draw(shape)


def _truncated(rng: Any, lower: float, upper: float, shape: tuple[int, ...]) -> Any:
    """Draw normal values between two bounds, by inverting the distribution function."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(lower), ndtr(upper)
    values = ndtri(low + (high - low) * _generator(rng).random(shape))
    return np.clip(values, lower, upper)


def truncated_normal(
    stddev: float = 1e-2, dtype: Any = _FLOAT64, lower: float = -2.0, upper: float = 2.0
) -> Initializer:
    """Return an initializer of normal values cut at ``lower`` and ``upper`` deviations.

    ``stddev`` is the deviation before the cut.
    """

    def init(rng: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        return (stddev * _truncated(rng, lower, upper, tuple(shape))).astype(dtype)

    return init


# --- variance scaling --------------------------------------------------------------------------

# The deviation of a standard normal variable cut at two deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


def _fans(
    shape: tuple[int, ...], in_axis: Any, out_axis: Any, batch_axis: Any
) -> tuple[float, float]:
    """Return how many inputs and outputs each unit has."""
    if len(shape) <= 1:
        raise ValueError(
            compose(
                f"Can't compute input and output sizes of a {len(shape)}-dimensional weights "
                "tensor. Must be at least 2D.",
            )
        )

    def size(axis: Any) -> int:
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        return math.prod(shape[a] for a in axes)

    fan_in, fan_out = size(in_axis), size(out_axis)
    receptive = math.prod(shape) / (fan_in * fan_out * size(batch_axis)) if 0 not in shape else 1
    return fan_in * receptive, fan_out * receptive


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: Any = -2,
    out_axis: Any = -1,
    batch_axis: Any = (),
    dtype: Any = _FLOAT64,
) -> Initializer:
    """Return an initializer whose variance is ``scale / fan``.

    Args:
        scale: the variance of what a unit sums.
        mode: the fan: ``"fan_in"``, ``"fan_out"``, ``"fan_avg"`` or ``"fan_geo_avg"``.
        distribution: ``"truncated_normal"``, ``"normal"`` or ``"uniform"``.
        in_axis: the axis of the inputs, or several.
        out_axis: the axis of the outputs, or several.
        batch_axis: axes that are neither.
        dtype: the dtype of the result.

    Raises:
        ValueError: an unknown mode or distribution, or a shape of fewer than two axes.
    """

    def init(rng: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        shape = tuple(shape)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        fans = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
        }
        if mode not in fans:
            raise ValueError(f"invalid mode for variance scaling initializer: {mode}")
        variance = scale / max(fans[mode], 1e-300)
        return _scaled(rng, shape, variance, distribution, dtype)

    return init


def _scaled(
    rng: Any, shape: tuple[int, ...], variance: float, distribution: str, dtype: Any
) -> Any:
    """Draw values of a variance."""
    if distribution == "normal":
        values = _normal(rng, shape, dtype) * math.sqrt(variance)
    elif distribution == "uniform":
        values = (2 * _generator(rng).random(shape) - 1) * math.sqrt(3 * variance)
    elif distribution == "truncated_normal":
        values = _truncated(rng, -2.0, 2.0, shape) * (math.sqrt(variance) / _TRUNCATED_STDDEV)
    else:
        raise ValueError(f"invalid distribution for variance scaling initializer: {distribution}")
    return values.astype(dtype)


def glorot_uniform(
    in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = _FLOAT64
) -> Initializer:
    """Return Glorot's uniform initializer: variance ``1 / fan_avg``.

    Example:
        >>> import numpy as np
        >>> glorot_uniform()(np.random.default_rng(0), (2, 3)).shape
        (2, 3)
    """
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = _FLOAT64
) -> Initializer:
    """Return Glorot's normal initializer: variance ``1 / fan_avg``, cut at two deviations."""
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = _FLOAT64
) -> Initializer:
    """Return LeCun's uniform initializer: variance ``1 / fan_in``."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = _FLOAT64
) -> Initializer:
    """Return LeCun's normal initializer: variance ``1 / fan_in``, cut at two deviations."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = _FLOAT64
) -> Initializer:
    """Return He's uniform initializer: variance ``2 / fan_in``."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = _FLOAT64
) -> Initializer:
    """Return He's normal initializer: variance ``2 / fan_in``, cut at two deviations.

    Example:
        >>> import numpy as np
        >>> he_normal()(np.random.default_rng(0), (2, 3)).shape
        (2, 3)
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal


def orthogonal(scale: float = 1.0, column_axis: int = -1, dtype: Any = _FLOAT64) -> Initializer:
    """Return an initializer of matrices with orthonormal columns (rows when they are wide)."""

    def init(rng: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        shape = tuple(shape)
        if len(shape) < 2:
            raise ValueError("orthogonal initializer requires at least a 2D shape")
        columns = shape[column_axis]
        rows = math.prod(shape) // columns
        tall = _generator(rng).standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q = q * np.sign(np.diagonal(r))  # makes the distribution uniform over the group
        matrix = q.T if rows < columns else q
        rest = tuple(n for i, n in enumerate(shape) if i != column_axis % len(shape))
        matrix = np.moveaxis(matrix.reshape((*rest, columns)), -1, column_axis)
        return (scale * matrix).astype(dtype)

    return init
