"""``x.at[index]``: new arrays in which some elements are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.core.aval import dtype_of, shape_of
from functrace.core.trace import Tracer
from functrace.errors import DTypeError, ShapeError, compose
from functrace.numpy.creation import asarray
from functrace.numpy.dispatching import has_tracer, operand
from functrace.numpy.elementwise_arithmetic import (
    add,
    maximum,
    minimum,
    multiply,
    power,
    true_divide,
)
from functrace.numpy.indexing import (
    Index,
    apply_cuts,
    checked_vectors,
    getitem,
    parse_index,
    read,
)
from functrace.ops import dynamic, indexing, logical, scatter, structural
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.creation import convert_element_type, full
from functrace.ops.dimension_numbers import GatherScatterMode, ScatterDimensionNumbers

__all__ = ["at"]

Combine = Callable[[Any, Any], Any]


class at:  # noqa: N801 - the name users write
    """Functional updates of an array, traced or plain: ``at(x)[index].set(values)``.

    Every method returns a new array. Elements named more than once are changed once for each
    time by ``add``, ``multiply``, ``min`` and ``max``; ``set`` keeps the last of the values.

    Example:
        >>> import numpy as np
        >>> at(np.zeros(3))[1].set(5.0)
        array([0., 5., 0.])
        >>> at(np.zeros(3))[[0, 0]].add(1.0)
        array([2., 0., 0.])
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> IndexedUpdate:
        return IndexedUpdate(self._array, index)

    def __repr__(self) -> str:
        return f"at({self._array!r})"


class IndexedUpdate:
    """``at(x)[index]``: its methods read or change the elements the index names.

    All take ``mode``: None raises IndexError out of bounds as NumPy does; ``"drop"`` (``"fill"``
    when reading), ``"clip"`` and ``"promise_in_bounds"`` are JAX's. ``indices_are_sorted`` is
    accepted; ``unique_indices`` promises that no element is named twice.
    """

    __slots__ = ("_array", "_index")

    def __init__(self, array: Any, index: Any) -> None:
        self._array = array if isinstance(array, Tracer) else np.asarray(array)
        self._index = index

    def get(
        self,
        *,
        mode: Any = None,
        fill_value: Any = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Any:
        """Return the elements, as ``x[index]``; with ``mode="fill"``, ``fill_value`` outside."""
        return getitem(self._array, self._index, mode, fill_value)

    def set(self, values: Any, **options: Any) -> Any:
        """Return the array with these elements replaced."""
        return self._update(values, options, lambda old, new: new, scatter.scatter, None)

    def add(self, values: Any, **options: Any) -> Any:
        """Return the array with values added to these elements."""
        return self._update(values, options, add, indexing.scatter_add, np.add)

    def subtract(self, values: Any, **options: Any) -> Any:
        """Return the array with values subtracted from these elements."""
        return self.add(-operand(values), **options)

    def multiply(self, values: Any, **options: Any) -> Any:
        """Return the array with these elements multiplied."""
        return self._update(values, options, multiply, scatter.scatter_mul, np.multiply)

    mul = multiply

    def divide(self, values: Any, **options: Any) -> Any:
        """Return the array with these elements divided."""
        return true_divide(self._array, self._collected(values, options))

    def power(self, values: Any, **options: Any) -> Any:
        """Return the array with these elements raised to powers."""
        return power(self._array, self._collected(values, options))

    def min(self, values: Any, **options: Any) -> Any:
        """Return the array with the smaller of these elements and the values."""
        return self._update(values, options, minimum, scatter.scatter_min, np.minimum)

    def max(self, values: Any, **options: Any) -> Any:
        """Return the array with the larger of these elements and the values."""
        return self._update(values, options, maximum, scatter.scatter_max, np.maximum)

    def apply(self, func: Callable[[Any], Any], **options: Any) -> Any:
        """Return the array with a function applied to these elements, once each."""
        return self.set(func(self.get(mode=_reading(options.get("mode")))), **options)

    def _collected(self, values: Any, options: dict[str, Any]) -> Any:
        """Return ones, multiplied by the values at the index: what to divide by, or a power."""
        dtype = np.result_type(dtype_of(self._array), dtype_of(values))
        ones = full(shape_of(self._array), 1, dtype)
        return IndexedUpdate(ones, self._index).multiply(values, **options)

    def _update(
        self,
        values: Any,
        options: dict[str, Any],
        combine: Combine,
        primitive: Callable[..., Any],
        ufunc: np.ufunc | None,
    ) -> Any:
        mode, unique = _take_options(options)
        x, index = self._array, self._index
        if not (isinstance(x, Tracer) or has_tracer(index) or has_tracer(values)) and mode is None:
            return _in_numpy(x, index, values, ufunc)
        if isinstance(index, list) and has_tracer(index):
            index = asarray(index)
        new = _cast(values, x, ufunc)
        if _is_traced_mask(index):
            return _masked(x, index, new, combine)
        parsed = parse_index(index, x.shape)
        if unique:
            parsed = parsed._replace(unique=True)
        new = _broadcast_values(new, parsed.shape)
        if parsed.vectors is None:
            return _write(x, parsed, new if ufunc is None else combine(read(x, parsed), new))
        whole = apply_cuts(x, parsed)
        vectors, chosen = checked_vectors(parsed, mode)
        changed = primitive(
            whole,
            vectors,
            structural.reshape(new, parsed.spread_shape),
            ScatterDimensionNumbers(parsed.offset_dims, parsed.axes, parsed.axes),
            unique_indices=parsed.unique,
            mode=chosen,
        )
        if parsed.cut_shape == x.shape and not parsed.backwards:
            return changed
        return _write_cut(x, parsed, changed)


def _take_options(options: dict[str, Any]) -> tuple[Any, bool]:
    unknown = set(options) - {"mode", "indices_are_sorted", "unique_indices", "out_sharding"}
    if unknown:
        raise TypeError(f"at[...] got an unexpected keyword argument {sorted(unknown)[0]!r}")
    mode = options.get("mode")
    return ("drop" if mode == "fill" else mode), bool(options.get("unique_indices", False))


def _reading(mode: Any) -> Any:
    return "clip" if mode in ("drop", "fill") else mode


def _in_numpy(x: Any, index: Any, values: Any, ufunc: np.ufunc | None) -> Any:
    """Update a copy of a plain array with NumPy."""
    out = np.array(x)
    if ufunc is None:
        out[index] = values
    else:
        ufunc.at(out, index, values)
    return out


def _cast(values: Any, x: Any, ufunc: np.ufunc | None) -> Any:
    """Return the values in the dtype of the array; NumPy's rules for what may be converted."""
    new, dtype = operand(values), dtype_of(x)
    weak = type(values) in (bool, int, float, complex)
    order = "biufc"
    lossy = order.index(new.dtype.kind) > order.index("i" if dtype.kind == "u" else dtype.kind)
    if new.dtype.kind == "u" and dtype.kind == "i":
        lossy = False
    complex_to_real = new.dtype.kind == "c" and dtype.kind != "c"
    if complex_to_real or (ufunc is not None and lossy):
        raise DTypeError(
            compose(
                f"values of dtype {new.dtype} were to go into an array of dtype {dtype}.",
                "an update keeps the dtype of the array, so they would lose a part.",
                f"x.astype({'complex' if complex_to_real else 'float'}).at[...], or convert the "
                "values.",
            )
        )
    if weak and type(values) is int and dtype.kind in "iu":
        return dtype.type(values)
    return convert_element_type(new, dtype)


def _broadcast_values(new: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast values to the shape that an index names; leading axes of size 1 may be extra."""
    own = shape_of(new)
    extra = len(own) - len(shape)
    if extra > 0 and all(n == 1 for n in own[:extra]):
        new = structural.reshape(new, own[extra:])
        own = own[extra:]
    first = len(shape) - len(own)
    if first < 0 or any(n not in (1, m) for n, m in zip(own, shape[max(first, 0) :])):
        old, wanted = (str(s).replace(" ", "") for s in (own, shape))
        raise ShapeError(f"could not broadcast input array from shape {old} into shape {wanted}")
    return new if own == shape else broadcast_in_dim(new, shape, tuple(range(first, len(shape))))


# --- masks whose values are not known ----------------------------------------------------------


def _is_traced_mask(index: Any) -> bool:
    return isinstance(index, Tracer) and index.dtype.kind == "b"


def _masked(x: Any, mask: Any, new: Any, combine: Combine) -> Any:
    """Change the elements where a mask holds: any value that fits all of them."""
    if mask.shape != x.shape[: mask.ndim]:
        raise IndexError(
            f"boolean index of shape {mask.shape} did not match indexed array of shape {x.shape}"
        )
    rest = x.shape[mask.ndim :]
    if len(shape_of(new)) > len(rest):
        raise ShapeError(
            compose(
                f"values of shape {shape_of(new)} can't be set at a mask of unknown values.",
                "how many elements it names is not known.",
                "x = functrace.numpy.where(mask, values, x), with values of the shape of x.",
            )
        )
    wide = broadcast_in_dim(mask, x.shape, tuple(range(mask.ndim)))
    return logical.select(wide, convert_element_type(combine(x, new), x.dtype), x)


# --- writing at static slices ------------------------------------------------------------------


def _write(x: Any, index: Index, values: Any) -> Any:
    """Write the result of a basic index back."""
    return _write_cut(x, index, structural.reshape(values, index.cut_shape))


def _write_cut(x: Any, index: Index, values: Any) -> Any:
    """Write an array of the shape of the cuts over them."""
    values = structural.rev(convert_element_type(values, x.dtype), index.backwards)
    cuts = index.cuts
    if 0 in shape_of(values):
        return x
    if shape_of(values) == x.shape:
        return values
    if all(c.stride == 1 for c in cuts):
        return dynamic.dynamic_update_slice(x, values, [np.int64(c.start) for c in cuts])
    return _write_strided(x, index, values)


def _write_strided(x: Any, index: Index, values: Any) -> Any:
    """Write with strides: an index vector for every element along the strided axes."""
    cuts = index.cuts
    strided = [i for i, c in enumerate(cuts) if c.stride != 1]
    partial = [i for i, c in enumerate(cuts) if i not in strided and c.size != x.shape[i]]
    counts = [cuts[i].size for i in strided]
    grid = np.indices(counts)
    parts = [cuts[i].start + cuts[i].stride * g for i, g in zip(strided, grid)]
    parts += [np.full(counts, cuts[i].start) for i in partial]
    vectors = np.stack(parts, axis=-1)
    rest = [i for i in range(len(cuts)) if i not in strided]
    window_dims = tuple(range(len(strided), len(cuts)))
    return scatter.scatter(
        x,
        vectors,
        structural.transpose(values, (*strided, *rest)),
        ScatterDimensionNumbers(window_dims, tuple(strided), (*strided, *partial)),
        unique_indices=True,
        mode=GatherScatterMode.PROMISE_IN_BOUNDS,
    )
