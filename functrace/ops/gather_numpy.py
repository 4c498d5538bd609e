"""How gather and scatter run in NumPy: general windows as one advanced index, takes as takes."""

from __future__ import annotations

import functools
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
    if not start.size or (start.min() >= 0 and start.max() <= last):
        return start, None
    if mode is GatherScatterMode.RAISE:
        wrapped = np.where(start < 0, start + n, start)
        bad = (wrapped < 0) | (wrapped > last)
        if bad.any():
            raise out_of_bounds_error(int(start[bad].flat[0]), axis, n)
        return wrapped, None
    if mode is GatherScatterMode.FILL_OR_DROP:
        inside = (start >= 0) & (start <= last)
        return np.where(inside, start, 0), inside
    return np.clip(start, 0, last), None


class _Plan(NamedTuple):
    """How windows become an advanced index for ``operand.transpose(axes)[cut]``.

    Its result has the axes (batch, windows of indexed axes, windows of the others), which
    ``spread`` permutes to those of the spread array. ``windows`` holds the window's size of each
    indexed axis, -1 where the spread array doesn't have it. If whole slices of one axis are
    taken, ``take`` is that axis, else -1, and ``take_spread`` permutes the result of ``np.take``.
    """

    indexed: tuple[int, ...]
    axes: tuple[int, ...]
    cut: tuple[slice, ...]
    windows: tuple[int, ...]
    spread: tuple[int, ...]
    take: int
    take_spread: tuple[int, ...]


@functools.lru_cache(maxsize=4096)
def _plan(w: Windows, shape: tuple[int, ...], n_batch: int) -> _Plan:
    indexed = tuple(sorted({*w.index_map, *w.operand_batch}))
    rest = tuple(d for d in range(len(shape)) if d not in indexed)
    dims = w.window_dims
    cut = (slice(None),) * len(indexed) + tuple(slice(0, w.sizes[d]) for d in rest)
    windows = tuple(w.sizes[d] if d in dims else -1 for d in indexed)
    by_key = (*range(n_batch), *(d for d in (*indexed, *rest) if d in dims))
    spread = _spread_order(w, n_batch, by_key)
    take = _single_axis(w, shape)
    take_spread: tuple[int, ...] = ()
    if take >= 0:
        by_take = (*range(take), *range(n_batch), *range(take + 1, len(shape)))
        take_spread = _spread_order(w, n_batch, by_take, take, n_batch)
    return _Plan(indexed, (*indexed, *rest), cut, windows, spread, take, take_spread)


def _spread_order(
    w: Windows, n_batch: int, names: tuple[int, ...], first: int = 0, count: int | None = None
) -> tuple[int, ...]:
    """Return the permutation to the axes of the spread array.

    ``names`` are, in order, the operand axes there, but for ``count`` batch axes from ``first`` on.
    """
    stop = first + (n_batch if count is None else count)
    place = {d: i for i, d in enumerate(names) if not first <= i < stop}
    batch, window = iter(range(first, stop)), iter(w.window_dims)
    ndim = n_batch + len(w.offset_dims)
    return tuple(
        place[next(window)] if axis in w.offset_dims else next(batch) for axis in range(ndim)
    )


def _single_axis(w: Windows, shape: tuple[int, ...]) -> int:
    """Return the axis if whole slices of one axis are taken, else -1."""
    if len(w.index_map) != 1 or w.operand_batch or w.collapsed != w.index_map:
        return -1
    axis = w.index_map[0]
    whole = all(s == n for d, (s, n) in enumerate(zip(w.sizes, shape)) if d != axis)
    return axis if whole else -1


def _starts(
    w: Windows, plan: _Plan, indices: Any, shape: tuple[int, ...], mode: GatherScatterMode
) -> tuple[list[Any], Any]:
    """Return where windows start along each indexed axis, and which are inside (None: all)."""
    batch = indices.shape[:-1]
    starts, inside = [], None
    for d in plan.indexed:
        if d in w.operand_batch:
            axis = w.indices_batch[w.operand_batch.index(d)]
            line = np.arange(shape[d]).reshape((-1,) + (1,) * (len(batch) - 1 - axis))
            starts.append(line if w.index_map else np.broadcast_to(line, batch))
            continue
        component = indices[..., w.index_map.index(d)]
        start, mask = _start(component, d, shape[d], w.sizes[d], mode)
        if mask is not None:
            inside = mask if inside is None else inside & mask
        starts.append(start)
    return starts, inside


def _key(plan: _Plan, starts: list[Any]) -> tuple[Any, ...]:
    """Return the index arrays, windows included."""
    slots = sum(window >= 0 for window in plan.windows)
    if not slots:
        return tuple(starts)
    key, slot = [], 0
    for start, window in zip(starts, plan.windows):
        start = start.reshape(start.shape + (1,) * slots)
        if window >= 0:
            slot += 1
            start = start + np.arange(window).reshape((-1,) + (1,) * (slots - slot))
        key.append(start)
    return tuple(key)


# --- gather ------------------------------------------------------------------------------------


def gather_numpy(x: Any, indices: Any, w: Windows, mode: GatherScatterMode, fill_value: Any) -> Any:
    """Read the windows."""
    x, indices = np.asarray(x), np.asarray(indices)
    if x.size == 0:
        return _from_empty(x, indices, w, mode, fill_value)
    plan = _plan(w, x.shape, indices.ndim - 1)
    fills = mode is GatherScatterMode.FILL_OR_DROP
    if plan.take >= 0 and not fills and indices.dtype != np.uint64:
        outside = "raise" if mode is GatherScatterMode.RAISE else "clip"
        taken = x.take(indices[..., 0], plan.take, mode=outside)
        return taken.transpose(plan.take_spread)[()]
    starts, inside = _starts(w, plan, indices, x.shape, mode)
    view = x.transpose(plan.axes)[plan.cut]
    if starts:
        out = view[_key(plan, starts)]
    else:
        out = np.broadcast_to(view, indices.shape[:-1] + view.shape)
    if inside is not None:
        out = np.array(out)
        out[~inside] = fill_value
    return out.transpose(plan.spread)[()]


def _from_empty(x: Any, indices: Any, w: Windows, mode: GatherScatterMode, fill_value: Any) -> Any:
    _check_empty(x, indices, w, mode)
    return np.full(w.spread_shape(indices.shape), fill_value, x.dtype)[()]


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
    plan = _plan(w, out.shape, indices.ndim - 1)
    starts, inside = _starts(w, plan, indices, out.shape, mode)
    updates = updates.transpose(np.argsort(plan.spread).tolist())
    if inside is not None:
        updates = updates[inside]
        starts = [np.broadcast_to(start, inside.shape)[inside] for start in starts]
    key = _key(plan, starts)
    if unique and starts:
        view = out.transpose(plan.axes)[plan.cut]
        view[key] = updates if combine is None else combine(view[key], updates)
        return out[()]
    flat = np.broadcast_to(_flat_index(plan, key, out.shape), updates.shape).reshape(-1)
    line, values = out.reshape(-1), updates.reshape(-1)
    if combine is None:
        line[flat] = values
    else:
        combine.at(line, flat, values)
    return out[()]


def _flat_index(plan: _Plan, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Return where in the flat array each element of the updates goes."""
    strides = np.cumprod([1, *shape[:0:-1]])[::-1].tolist() if shape else []
    rest = plan.axes[len(key) :]
    total: Any = 0
    for axis, start in zip(plan.axes, key):
        total = total + start * strides[axis]
    total = np.reshape(total, np.shape(total) + (1,) * len(rest))
    for i, (axis, cut) in enumerate(zip(rest, plan.cut[len(key) :])):
        line = np.arange(cut.stop) * strides[axis]
        total = total + line.reshape((-1,) + (1,) * (len(rest) - 1 - i))
    return total
