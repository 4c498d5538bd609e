"""How gather and scatter run in NumPy: general windows as one advanced index, takes as takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from functrace.ops.dimension_numbers import GatherScatterMode, Windows

__all__ = ["gather_numpy", "scatter_numpy"]

_INT64_MAX = np.iinfo(np.int64).max


def out_of_bounds_error(index: int, axis: int, size: int) -> IndexError:
    """Return NumPy's error."""
    return IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")


# --- where the windows are ---------------------------------------------------------------------


def _start(
    indices: Any, axis: int, n: int, window: int, mode: GatherScatterMode
) -> tuple[Any, Any]:
    """Return where windows start along one axis, and a mask of those inside (None: all)."""
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.uint64(_INT64_MAX))
    start = indices.astype(np.int64, copy=False)
    last = n - window
    if mode is GatherScatterMode.RAISE:
        wrapped = np.where(start < 0, start + n, start)
        bad = (wrapped < 0) | (wrapped > last)
        if bad.any():
            raise out_of_bounds_error(int(start[bad].flat[0]), axis, n)
        return wrapped, None
    if mode is GatherScatterMode.FILL_OR_DROP:
        inside = (start >= 0) & (start <= last)
        return (start, None) if inside.all() else (np.where(inside, start, 0), inside)
    return np.clip(start, 0, last), None


class _Places(NamedTuple):
    """An advanced index for ``operand.transpose(axes)`` cut to its first ``cut`` elements.

    Its result has the axes (batch, windows of indexed axes, windows of the others), which
    ``spread`` permutes to those of the spread array.
    """

    axes: tuple[int, ...]
    cut: tuple[slice, ...]
    starts: list[Any]
    windows: list[int]
    inside: Any
    batch: tuple[int, ...]
    spread: tuple[int, ...]

    def key(self) -> tuple[Any, ...]:
        """Return the index arrays, windows included."""
        slots = sum(w >= 0 for w in self.windows)
        key, slot = [], 0
        for start, window in zip(self.starts, self.windows):
            start = start.reshape(start.shape + (1,) * slots)
            if window >= 0:
                slot += 1
                start = start + np.arange(window).reshape((-1,) + (1,) * (slots - slot))
            key.append(start)
        return tuple(key)


def _locate(w: Windows, indices: Any, shape: tuple[int, ...], mode: GatherScatterMode) -> _Places:
    batch = indices.shape[:-1]
    indexed = sorted({*w.index_map, *w.operand_batch})
    rest = [d for d in range(len(shape)) if d not in indexed]
    starts, windows, inside = [], [], None
    for d in indexed:
        if d in w.operand_batch:
            line = np.arange(shape[d])
            axis = w.indices_batch[w.operand_batch.index(d)]
            start = line.reshape((-1,) + (1,) * (len(batch) - 1 - axis))
        else:
            component = indices[..., w.index_map.index(d)]
            start, mask = _start(component, d, shape[d], w.sizes[d], mode)
            if mask is not None:
                inside = mask if inside is None else inside & mask
        starts.append(np.broadcast_to(start, batch))
        windows.append(w.sizes[d] if d in w.window_dims else -1)
    sources = [d for d in (*indexed, *rest) if d in w.window_dims]
    order, batch_axis = [], iter(range(len(batch)))
    for axis in range(len(batch) + len(w.offset_dims)):
        if axis in w.offset_dims:
            dim = w.window_dims[w.offset_dims.index(axis)]
            order.append(len(batch) + sources.index(dim))
        else:
            order.append(next(batch_axis))
    cut = (slice(None),) * len(indexed) + tuple(slice(0, w.sizes[d]) for d in rest)
    return _Places((*indexed, *rest), cut, starts, windows, inside, batch, tuple(order))


def _single_axis(w: Windows, shape: tuple[int, ...]) -> int:
    """Return the axis if whole slices of one axis are taken, else -1."""
    if len(w.index_map) != 1 or w.operand_batch or w.collapsed != w.index_map:
        return -1
    axis = w.index_map[0]
    whole = all(s == n for d, (s, n) in enumerate(zip(w.sizes, shape)) if d != axis)
    return axis if whole else -1


# --- gather ------------------------------------------------------------------------------------


def gather_numpy(
    x: Any, indices: Any, w: Windows, mode: GatherScatterMode, fill_value: Any
) -> Any:
    """Read the windows."""
    x, indices = np.asarray(x), np.asarray(indices)
    out_shape = w.spread_shape(indices.shape)
    if x.size == 0:
        return _from_empty(x, indices, w, mode, fill_value, out_shape)
    axis = _single_axis(w, x.shape)
    if axis >= 0 and mode is GatherScatterMode.RAISE and indices.dtype != np.uint64:
        taken = x.take(indices[..., 0], axis)
        batch = indices.ndim - 1
        natural = (*range(axis), *range(axis + batch, x.ndim - 1 + batch))
        if natural == w.offset_dims:
            return taken
        window = iter(natural)
        ids = iter(range(axis, axis + batch))
        return taken.transpose(
            [next(window) if d in w.offset_dims else next(ids) for d in range(taken.ndim)]
        )
    places = _locate(w, indices, x.shape, mode)
    view = x.transpose(places.axes)[places.cut]
    if places.starts:
        out = view[places.key()]
    else:
        out = np.broadcast_to(view, places.batch + view.shape)
    if places.inside is not None:
        out = out.copy() if isinstance(out, np.ndarray) else np.asarray(out)
        out[~places.inside] = fill_value
    return out.transpose(places.spread)[()]


def _from_empty(
    x: Any,
    indices: Any,
    w: Windows,
    mode: GatherScatterMode,
    fill_value: Any,
    out_shape: tuple[int, ...],
) -> Any:
    _check_empty(x, indices, w, mode)
    return np.full(out_shape, fill_value, x.dtype)[()]


def _check_empty(x: Any, indices: Any, w: Windows, mode: GatherScatterMode) -> None:
    """Check the indices into an array without elements."""
    if mode is GatherScatterMode.RAISE and indices.size:
        for k, d in enumerate(w.index_map):
            _start(indices[..., k], d, x.shape[d], w.sizes[d], mode)


# --- scatter -----------------------------------------------------------------------------------


def scatter_numpy(
    x: Any,
    indices: Any,
    updates: Any,
    w: Windows,
    mode: GatherScatterMode,
    unique: bool,
    combine: np.ufunc | None,
) -> Any:
    """Write (``combine`` is None) or combine the windows into a copy, in order of the batch."""
    out = np.array(x, order="C")
    indices, updates = np.asarray(indices), np.asarray(updates)
    if x.size == 0:
        _check_empty(out, indices, w, mode)
        return out
    places = _locate(w, indices, out.shape, mode)
    undo = np.argsort(places.spread) if places.spread else ()
    updates = updates.transpose(undo)
    if places.inside is not None:
        updates = updates[places.inside]
        starts = [start[places.inside] for start in places.starts]
        places = places._replace(starts=starts, batch=updates.shape[:1])
    if unique and places.starts:
        view = out.transpose(places.axes)[places.cut]
        key = places.key()
        view[key] = updates if combine is None else combine(view[key], updates)
        return out[()]
    flat = np.broadcast_to(_flat_index(places, out.shape), updates.shape).reshape(-1)
    line, values = out.reshape(-1), updates.reshape(-1)
    if combine is None:
        line[flat] = values
    else:
        combine.at(line, flat, values)
    return out[()]


def _flat_index(places: _Places, shape: tuple[int, ...]) -> Any:
    """Return where in the flat array each element of the updates goes."""
    strides = np.cumprod([1, *shape[:0:-1]])[::-1].tolist() if shape else []
    key = places.key()
    rest = places.axes[len(key) :]
    total: Any = 0
    for axis, start in zip(places.axes, key):
        total = total + start * strides[axis]
    total = np.reshape(total, np.shape(total) + (1,) * len(rest))
    for i, (axis, cut) in enumerate(zip(rest, places.cut[len(key) :])):
        line = np.arange(cut.stop) * strides[axis]
        total = total + line.reshape((-1,) + (1,) * (len(rest) - 1 - i))
    return total


