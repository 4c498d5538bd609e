"""Windows at computed places: dynamic slices, gather and scatter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.core.aval import shape_of
from functrace.lax.operands import array, matching
from functrace.ops import arithmetic, dynamic, indexing, joining, structural
from functrace.ops import scatter as scatters
from functrace.ops.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)

__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "gather",
    "index_take",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]

Mode = str | GatherScatterMode | None

# --- dynamic slices ----------------------------------------------------------------------------


def _starts(starts: Any, ndim: int) -> list[Any]:
    """Return a start for each axis; a vector of starts is taken apart."""
    if len(shape_of(starts)) == 1:
        return [starts[i] for i in range(ndim)]
    return list(starts)


def dynamic_slice(operand: Any, start_indices: Any, slice_sizes: Sequence[int]) -> Any:
    """Cut a window of a fixed size at computed starts; it is moved inside the operand.

    Args:
        operand: the array.
        start_indices: an integer for each axis, or a vector of them; negative ones count from
            the end.
        slice_sizes: the size of the window.

    Example:
        >>> import numpy as np
        >>> dynamic_slice(np.array([1, 2, 3, 4]), (1,), (2,))
        array([2, 3])
    """
    x = array(operand, "lax.dynamic_slice")
    return dynamic.dynamic_slice(x, _starts(start_indices, len(x.shape)), slice_sizes)


def dynamic_slice_in_dim(operand: Any, start_index: Any, slice_size: int, axis: int = 0) -> Any:
    """Cut a window of a fixed size at a computed start along one axis.

    Example:
        >>> import numpy as np
        >>> dynamic_slice_in_dim(np.array([1, 2, 3, 4]), 1, 2)
        array([2, 3])
    """
    x = array(operand, "lax.dynamic_slice_in_dim")
    axis %= len(x.shape)
    starts, sizes = [0] * len(x.shape), list(x.shape)
    starts[axis], sizes[axis] = start_index, int(slice_size)
    return dynamic.dynamic_slice(x, starts, sizes)


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Any:
    """One computed index along an axis, which stays, of size 1, with ``keepdims``.

    Example:
        >>> import numpy as np
        >>> dynamic_index_in_dim(np.array([1, 2, 3]), 1, keepdims=False)
        np.int64(2)
    """
    out = dynamic_slice_in_dim(operand, index, 1, axis)
    return out if keepdims else structural.squeeze(out, (axis,))


def dynamic_update_slice(operand: Any, update: Any, start_indices: Any) -> Any:
    """Write a window into a copy of ``operand`` at computed starts; it is moved inside.

    Example:
        >>> import numpy as np
        >>> dynamic_update_slice(np.array([1, 2, 3]), np.array([9]), (1,))
        array([1, 9, 3])
    """
    x, window = matching("lax.dynamic_update_slice", operand, update)
    return dynamic.dynamic_update_slice(x, window, _starts(start_indices, len(x.shape)))


def dynamic_update_slice_in_dim(operand: Any, update: Any, start_index: Any, axis: int) -> Any:
    """Write a window into a copy of ``operand`` at a computed start along one axis."""
    x, window = matching("lax.dynamic_update_slice_in_dim", operand, update)
    starts: list[Any] = [0] * len(x.shape)
    starts[axis % len(x.shape)] = start_index
    return dynamic.dynamic_update_slice(x, window, starts)


def dynamic_update_index_in_dim(operand: Any, update: Any, index: Any, axis: int) -> Any:
    """Write one slice into a copy of ``operand`` at a computed index along an axis."""
    x, window = matching("lax.dynamic_update_index_in_dim", operand, update)
    axis %= len(x.shape)
    if len(window.shape) != len(x.shape):
        window = structural.expand_dims(window, (axis,))
    return dynamic_update_slice_in_dim(x, window, index, axis)


# --- gather ------------------------------------------------------------------------------------


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Mode = None,
    fill_value: Any = None,
) -> Any:
    """Read a window of ``operand`` for each index vector.

    Args:
        operand: the array to read.
        start_indices: index vectors along the last axis.
        dimension_numbers: which axis is which.
        slice_sizes: the size of the windows.
        unique_indices: accepted as a promise.
        indices_are_sorted: accepted as a promise.
        mode: what windows out of bounds give: ``"fill"`` (the default), ``"clip"``, ``"raise"``.
        fill_value: what ``"fill"`` fills with; NaN or the least number without it.
    """
    return indexing.gather(
        array(operand, "lax.gather"),
        array(start_indices, "lax.gather"),
        dimension_numbers,
        slice_sizes,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=mode,
        fill_value=fill_value,
    )


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The slices of ``src`` at vectors of indices, one vector for each of ``axes``.

    Example:
        >>> import numpy as np
        >>> index_take(np.array([1, 2, 3]), (np.array([2, 0]),), (0,))
        array([3, 1])
    """
    x = array(src, "lax.index_take")
    columns = [structural.expand_dims(array(i, "lax.index_take"), (1,)) for i in idxs]
    from_axes = tuple(axes)
    kept = tuple(range(1, len(x.shape) - len(from_axes) + 1))
    numbers = GatherDimensionNumbers(kept, tuple(sorted(from_axes)), from_axes)
    sizes = [1 if i in from_axes else n for i, n in enumerate(x.shape)]
    return indexing.gather(x, joining.concatenate(columns, 1), numbers, sizes, mode="raise")


# --- scatter -----------------------------------------------------------------------------------


def _scatter(
    function: Callable[..., Any],
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    **options: Any,
) -> Any:
    x, values = matching("a scatter of lax", operand, updates)
    indices = array(scatter_indices, "a scatter of lax")
    return function(x, indices, values, dimension_numbers, **options)


def scatter(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Write each window of ``updates`` into a copy of ``operand``; later ones win.

    Args:
        operand: the array to write into.
        scatter_indices: index vectors along the last axis.
        updates: the windows.
        dimension_numbers: which axis is which.
        indices_are_sorted: accepted as a promise.
        unique_indices: accepted as a promise.
        mode: what happens to windows out of bounds: ``"drop"`` (the default), ``"clip"``,
            ``"raise"``.
    """
    return _scatter(
        scatters.scatter,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def scatter_add(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Add each window of ``updates`` to a copy of ``operand``, as ``scatter``."""
    return _scatter(
        indexing.scatter_add,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def scatter_sub(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Subtract each window of ``updates`` from a copy of ``operand``, as ``scatter``."""
    _, values = matching("lax.scatter_sub", operand, updates)
    return _scatter(
        indexing.scatter_add,
        operand,
        scatter_indices,
        arithmetic.neg(values),
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def scatter_mul(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Multiply windows of ``operand`` by those of ``updates``, as ``scatter``."""
    return _scatter(
        scatters.scatter_mul,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def scatter_min(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Minimum of windows of ``operand`` and those of ``updates``, as ``scatter``."""
    return _scatter(
        scatters.scatter_min,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def scatter_max(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Maximum of windows of ``operand`` and those of ``updates``, as ``scatter``."""
    return _scatter(
        scatters.scatter_max,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )
