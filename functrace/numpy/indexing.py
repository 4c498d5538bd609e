"""``x[index]``: what an index means, and reading by it.

An index is parsed once into an ``Index``: static slices first, which are views, then one gather
for integer arrays and traced integers. ``at`` writes through the same ``Index``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.core.aval import dtype_of, shape_of
from functrace.core.trace import Tracer
from functrace.errors import compose
from functrace.numpy.creation import asarray, stages
from functrace.numpy.dispatching import has_tracer, operand
from functrace.ops import indexing, joining, logical, structural
from functrace.ops.arithmetic import add
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.dimension_numbers import GatherDimensionNumbers, GatherScatterMode
from functrace.ops.promotion import broadcast_shapes

__all__ = ["getitem"]

Shape = tuple[int, ...]

# --- slices ------------------------------------------------------------------------------------


class Cut(NamedTuple):
    """A static ``start:limit:stride`` of one axis, backwards or not."""

    start: int
    limit: int
    stride: int
    backwards: bool

    @property
    def size(self) -> int:
        """How many elements it has."""
        return len(range(self.start, self.limit, self.stride))


def _cut(index: slice, n: int) -> Cut:
    start, stop, step = index.indices(n)
    count = len(range(start, stop, step))
    if count == 0:
        return Cut(0, 0, 1, False)
    last = start + (count - 1) * step
    if step > 0:
        return Cut(start, last + 1, step, False)
    return Cut(last, start + 1, -step, True)


# --- the parsed index --------------------------------------------------------------------------


class Index(NamedTuple):
    """What an index means for an operand of one shape.

    Attributes:
        cuts: one per axis of the operand, done first; whole axes where integers index.
        axes: the axes of the cut operand that integers index.
        vectors: the index vectors, shape ``(*batch, len(axes))``; None without integers.
        offset_dims: where the other axes are in the result of the gather.
        shape: the shape of the result, with the axes that ``newaxis`` adds.
        unique: whether no element is named twice, as far as is known.
        traced: whether the vectors are traced.
    """

    cuts: tuple[Cut, ...]
    axes: tuple[int, ...]
    vectors: Any
    offset_dims: tuple[int, ...]
    shape: Shape
    unique: bool
    traced: bool

    @property
    def backwards(self) -> tuple[int, ...]:
        """The axes whose elements are taken in reverse."""
        return tuple(i for i, cut in enumerate(self.cuts) if cut.backwards)

    @property
    def cut_shape(self) -> Shape:
        """The shape after the cuts."""
        return tuple(cut.size for cut in self.cuts)

    @property
    def window(self) -> Shape:
        """The window of the gather: whole axes, and 1 where integers index."""
        return tuple(1 if i in self.axes else cut.size for i, cut in enumerate(self.cuts))

    @property
    def spread_shape(self) -> Shape:
        """The shape of the result of the gather."""
        batch = iter(shape_of(self.vectors)[:-1])
        window = iter(n for i, n in enumerate(self.cut_shape) if i not in self.axes)
        ndim = len(self.offset_dims) + len(shape_of(self.vectors)) - 1
        return tuple(next(window if d in self.offset_dims else batch) for d in range(ndim))

    @property
    def dimension_numbers(self) -> GatherDimensionNumbers:
        """Which axis is which in the gather."""
        return GatherDimensionNumbers(self.offset_dims, self.axes, self.axes)


_FULL = slice(None)


def parse_index(index: Any, shape: Shape) -> Index:
    """Parse an index of an operand of this shape; NumPy's errors for what can't be one."""
    entries = _expand(index if isinstance(index, tuple) else (index,), shape)
    advanced = any(isinstance(e, (Tracer, np.ndarray)) for e in entries)
    cuts: list[Cut] = []
    arrays: list[tuple[int, Any]] = []  # (axis, index array)
    layout: list[Any] = []  # of the result: an axis, None for a new one, "batch"
    places: list[int] = []  # entries that integers hold, to see whether they are neighbours
    for place, entry in enumerate(entries):
        if entry is None or entry is Ellipsis:
            layout += [None] if entry is None else []
            continue
        axis = len(cuts)
        n = shape[axis]
        if isinstance(entry, slice):
            cuts.append(_cut(entry, n))
            layout.append(axis)
        elif isinstance(entry, int) and not advanced:
            i = _checked(entry, axis, n)
            cuts.append(Cut(i, i + 1, 1, False))
        else:
            if not places:
                layout.append("batch")
            places.append(place)
            arrays.append((axis, entry))
            cuts.append(Cut(0, n, 1, False))
    if not arrays:
        sizes = tuple(1 if d is None else cuts[d].size for d in layout)
        return Index(tuple(cuts), (), None, (), sizes, True, False)
    if places[-1] - places[0] != len(places) - 1:  # set apart: their axes go to the front
        layout = ["batch", *(d for d in layout if d != "batch")]
    return _with_arrays(tuple(cuts), arrays, layout)


def _with_arrays(cuts: tuple[Cut, ...], arrays: list[tuple[int, Any]], layout: list[Any]) -> Index:
    axes = tuple(axis for axis, _ in arrays)
    values = [value for _, value in arrays]
    try:
        batch = broadcast_shapes(*(shape_of(v) for v in values))
    except ValueError:
        text = " ".join(str(shape_of(v)).replace(" ", "") for v in values)
        raise IndexError(
            "shape mismatch: indexing arrays could not be broadcast together with shapes " + text
        ) from None
    vectors = _stack(values, batch)
    offset: list[int] = []
    sizes: list[int] = []
    position = 0
    for d in layout:
        if d == "batch":
            sizes += batch
            position += len(batch)
        elif d is None:
            sizes.append(1)
        else:
            sizes.append(cuts[d].size)
            offset.append(position)
            position += 1
    traced = any(isinstance(v, Tracer) for v in values)
    single = all(n == 1 for n in batch)
    return Index(cuts, axes, vectors, tuple(offset), tuple(sizes), single, traced)


def _stack(values: Sequence[Any], batch: Shape) -> Any:
    """Return index vectors, one component per value, along a new last axis."""
    if not any(isinstance(v, Tracer) for v in values):
        full = [np.broadcast_to(np.asarray(v, np.intp), batch) for v in values]
        return np.stack(full, axis=-1)
    if len(values) > 1:
        values = [convert_element_type(v, np.int64) for v in values]
    parts = [structural.reshape(broadcast_to(operand(v), batch), (*batch, 1)) for v in values]
    return joining.concatenate(parts, len(batch))


def _checked(i: int, axis: int, n: int) -> int:
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for axis {axis} with size {n}")
    return i + n if i < 0 else i


# --- entries -----------------------------------------------------------------------------------


def _expand(index: tuple[Any, ...], shape: Shape) -> list[Any]:
    """Return entries for every axis: slices, integers, integer arrays; and None or ``...``.

    The ellipsis stays, followed by the slices it stands for: it sets integer arrays apart even
    where it stands for none.
    """
    items = [_normal(item) for item in index]
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    used = sum(map(_axes_of, items))
    if used > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, "
            f"but {used} were indexed"
        )
    missing = [_FULL] * (len(shape) - used)
    entries: list[Any] = []
    axis = 0
    for item in items if any(i is Ellipsis for i in items) else [*items, Ellipsis]:
        if item is Ellipsis:
            entries += [Ellipsis, *missing]
            axis += len(missing)
        elif _is_mask(item):
            entries += _mask(item, axis, shape)
            axis += item.ndim
        else:
            entries.append(item)
            axis += item is not None
    return entries


def _is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind == "b"


def _axes_of(item: Any) -> int:
    """Return how many axes of the operand an entry is for."""
    if item is None or item is Ellipsis:
        return 0
    return int(item.ndim) if _is_mask(item) else 1


def _normal(item: Any) -> Any:
    """Return None, ``...``, a slice, an integer, an integer array, or a known mask."""
    if item is None or item is Ellipsis or isinstance(item, slice) or type(item) is int:
        return item
    if isinstance(item, (list, tuple)):
        item = asarray(item) if has_tracer(item) else _plain_list(item)
    elif not isinstance(item, (Tracer, np.ndarray, np.generic, bool)):
        try:
            return operator.index(item)
        except TypeError:
            raise IndexError(_NOT_AN_INDEX) from None
    kind, ndim = dtype_of(item).kind, len(shape_of(item))
    if kind == "b":
        if isinstance(item, Tracer):
            item._trace.refuse(item, "mask")
        return np.asarray(item)
    if kind not in "iu":
        if isinstance(item, (np.ndarray, Tracer)) and ndim:
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        raise IndexError(_NOT_AN_INDEX)
    return int(item) if ndim == 0 and not isinstance(item, Tracer) else item


_NOT_AN_INDEX = (
    "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or "
    "boolean arrays are valid indices"
)


def _plain_list(item: Any) -> Any:
    array = np.asarray(item)
    return array.astype(np.intp) if array.size == 0 else array


def _mask(mask: Any, axis: int, shape: Shape) -> list[Any]:
    """Return the integer arrays that a mask with known values stands for."""
    for d, n in enumerate(mask.shape):
        if n != shape[axis + d]:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis + d}; size of axis "
                f"is {shape[axis + d]} but size of corresponding boolean axis is {n}"
            )
    if mask.ndim == 0:
        raise IndexError(
            compose(
                "a traced array was indexed with a single boolean.",
                "it adds an axis of size 0 or 1, which functrace doesn't support.",
                "x[None] or x[:0].",
            )
        )
    return list(mask.nonzero())


# --- reading -----------------------------------------------------------------------------------


def apply_cuts(x: Any, index: Index) -> Any:
    """Return the operand cut by the static slices, axes kept."""
    cuts = index.cuts
    out = joining.slice(
        x, [c.start for c in cuts], [c.limit for c in cuts], [c.stride for c in cuts]
    )
    return structural.rev(out, index.backwards)


def checked_vectors(index: Index, mode: Any) -> tuple[Any, GatherScatterMode]:
    """Return the index vectors and the mode of the gather or scatter.

    Known indices of a program that is being recorded are checked now; the others when it runs.
    """
    if mode is not None:
        chosen = GatherScatterMode.from_any(mode)
        if chosen is GatherScatterMode.PROMISE_IN_BOUNDS or chosen is GatherScatterMode.RAISE:
            return index.vectors, GatherScatterMode.RAISE
        return _wrapped(index), chosen
    if index.traced or not stages():
        return index.vectors, GatherScatterMode.RAISE
    return _check_known(index), GatherScatterMode.PROMISE_IN_BOUNDS


def _sizes(index: Index) -> Any:
    return np.array([index.cut_shape[a] for a in index.axes], np.int64)


def _check_known(index: Index) -> Any:
    sizes = _sizes(index)
    vectors = np.where(index.vectors < 0, index.vectors + sizes, index.vectors)
    bad = (vectors < 0) | (vectors >= sizes)
    if bad.any():
        *_, k = (int(i) for i in np.argwhere(bad)[0])
        value, n = int(index.vectors[bad][0]), int(sizes[k])
        raise IndexError(f"index {value} is out of bounds for axis {index.axes[k]} with size {n}")
    return vectors


def _wrapped(index: Index) -> Any:
    """Return the vectors with negative indices counted from the end."""
    vectors = convert_element_type(index.vectors, np.int64)
    sizes = np.broadcast_to(_sizes(index), shape_of(vectors))
    if not isinstance(vectors, Tracer):
        return np.where(vectors < 0, vectors + sizes, vectors)
    return logical.select(logical.lt(vectors, np.int64(0)), add(vectors, sizes), vectors)


def read(x: Any, index: Index, mode: Any = None, fill_value: Any = None) -> Any:
    """Return the elements that a parsed index names."""
    out = apply_cuts(x, index)
    if index.vectors is not None:
        vectors, chosen = checked_vectors(index, mode)
        out = indexing.gather(
            out,
            vectors,
            index.dimension_numbers,
            index.window,
            unique_indices=index.unique,
            mode=chosen,
            fill_value=fill_value,
        )
    return structural.reshape(out, index.shape)


def getitem(x: Any, index: Any, mode: Any = None, fill_value: Any = None) -> Any:
    """Return ``x[index]``: slices, integers, integer arrays, masks, newaxis and ellipsis.

    Args:
        x: the array.
        index: the index; its integers may be traced, its slices and masks are known.
        mode: what happens out of bounds: ``None`` raises IndexError as NumPy does; ``"clip"``,
            ``"fill"`` or ``"promise_in_bounds"`` as in JAX.
        fill_value: what mode ``"fill"`` reads out of bounds.

    Raises:
        IndexError: out of bounds, or not an index, in NumPy's words.
        NonConcreteBooleanIndexError: a mask whose values are not known.
    """
    if not has_tracer(index) and not isinstance(x, Tracer) and mode is None:
        return x[index]
    x = operand(x)
    shape = x.shape
    if type(index) is int and shape:  # the usual case, without parsing
        i = _checked(index, 0, shape[0])
        row = joining.slice_in_dim(x, i, i + 1)
        return structural.reshape(row, shape[1:])
    return read(x, parse_index(index, shape), mode, fill_value)
