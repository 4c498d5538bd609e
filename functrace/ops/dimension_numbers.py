"""How gather and scatter say which axis is which, and what they do with indices out of bounds.

The form is XLA's general one. The index array has the index vectors along its last axis; its
other axes are the *batch* axes. Each vector is the start of a *window* in the operand.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from functrace.core.aval import ShapedArray
from functrace.errors import DTypeError, ShapeError, compose

__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "Windows",
    "default_fill",
]

Dims = tuple[int, ...]


class GatherScatterMode(enum.Enum):
    """What happens to windows that don't lie inside the operand.

    Attributes:
        RAISE: NumPy's indexing, the default of ``functrace.numpy``: a negative index counts from
            the end, any other out of bounds is an ``IndexError``, compiled or not.
        CLIP: the window is moved inside.
        FILL_OR_DROP: reads give the fill value, writes are dropped; the default of ``lax.scatter``.
        PROMISE_IN_BOUNDS: the caller promises; a broken promise is treated as ``CLIP``. The
            default of ``lax.gather``.
    """

    RAISE = "raise"
    CLIP = "clip"
    FILL_OR_DROP = "fill"
    PROMISE_IN_BOUNDS = "promise_in_bounds"

    @staticmethod
    def from_any(mode: str | GatherScatterMode | None) -> GatherScatterMode:
        """Return the mode that a name stands for; None is fill or drop, as in JAX."""
        if isinstance(mode, GatherScatterMode):
            return mode
        if mode is None or mode == "drop":
            return GatherScatterMode.FILL_OR_DROP
        try:
            return GatherScatterMode(mode)
        except ValueError:
            names = ", ".join(repr(m.value) for m in GatherScatterMode)
            raise ValueError(
                compose(f"{mode!r} is not a mode of indexing.", "", f"one of {names}, 'drop'.")
            ) from None

    def __repr__(self) -> str:
        return f"GatherScatterMode.{self.name}"


class GatherDimensionNumbers(NamedTuple):
    """Which axis is which in a gather.

    Attributes:
        offset_dims: the axes of the result that run over the window.
        collapsed_slice_dims: operand axes, of window size 1, that the result doesn't have.
        start_index_map: the operand axis that each component of an index vector is for.
        operand_batching_dims: operand axes that are walked together with ...
        start_indices_batching_dims: ... these axes of the indices.
    """

    offset_dims: Dims
    collapsed_slice_dims: Dims
    start_index_map: Dims
    operand_batching_dims: Dims = ()
    start_indices_batching_dims: Dims = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which axis is which in a scatter; see ``GatherDimensionNumbers``, its mirror image.

    Attributes:
        update_window_dims: the axes of the updates that run over the window.
        inserted_window_dims: operand axes, of window size 1, that the updates don't have.
        scatter_dims_to_operand_dims: the operand axis of each component of an index vector.
        operand_batching_dims: operand axes that are walked together with ...
        scatter_indices_batching_dims: ... these axes of the indices.
    """

    update_window_dims: Dims
    inserted_window_dims: Dims
    scatter_dims_to_operand_dims: Dims
    operand_batching_dims: Dims = ()
    scatter_indices_batching_dims: Dims = ()


def default_fill(dtype: np.dtype[Any]) -> Any:
    """Return what reads out of bounds give: NaN, the least int, the greatest uint, True."""
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    if dtype.kind == "b":
        return np.bool_(True)
    info = np.iinfo(dtype)
    return dtype.type(info.min if dtype.kind == "i" else info.max)


class Windows(NamedTuple):
    """Where windows lie, for gather (``spread`` is the result) and scatter (the updates) alike.

    Attributes:
        offset_dims: axes of the spread array that run over the window.
        collapsed: operand axes the spread array doesn't have.
        index_map: operand axis of each component of an index vector.
        operand_batch, indices_batch: axes walked together.
        sizes: the window's size along every operand axis.
    """

    offset_dims: Dims
    collapsed: Dims
    index_map: Dims
    operand_batch: Dims
    indices_batch: Dims
    sizes: Dims

    @staticmethod
    def of_gather(dnums: GatherDimensionNumbers, slice_sizes: Dims) -> Windows:
        """Return the windows of a gather."""
        return Windows(*dnums, slice_sizes)

    @staticmethod
    def of_scatter(dnums: ScatterDimensionNumbers, ndim: int, update_shape: Dims) -> Windows:
        """Return the windows of a scatter into an operand of ``ndim`` axes."""
        left_out = {*dnums.inserted_window_dims, *dnums.operand_batching_dims}
        sizes = iter(update_shape[d] for d in dnums.update_window_dims)
        return Windows(*dnums, tuple(1 if d in left_out else next(sizes, 1) for d in range(ndim)))

    @property
    def window_dims(self) -> Dims:
        """The operand axes that the spread array runs over, in order."""
        left_out = {*self.collapsed, *self.operand_batch}
        return tuple(d for d in range(len(self.sizes)) if d not in left_out)

    def batch_dims(self, ndim: int) -> Dims:
        """Return the axes of the spread array, of ``ndim`` axes, that are batch axes."""
        return tuple(d for d in range(ndim) if d not in self.offset_dims)

    def spread_shape(self, indices_shape: Dims) -> Dims:
        """Return the shape of the result of a gather, or of the updates of a scatter."""
        batch = iter(indices_shape[:-1])
        window = iter(self.sizes[d] for d in self.window_dims)
        ndim = len(indices_shape) - 1 + len(self.offset_dims)
        return tuple(next(window if d in self.offset_dims else batch) for d in range(ndim))

    def check(
        self, name: str, operand: ShapedArray, indices: ShapedArray, mode: GatherScatterMode
    ) -> None:
        """Raise, naming the primitive, unless everything fits together."""
        # No index fits an empty axis; all are treated alike, except by moving them inside.
        checked = mode in (GatherScatterMode.RAISE, GatherScatterMode.FILL_OR_DROP)
        problem = self._problem(operand, indices, checked or 0 in indices.shape)
        if problem:
            self.complain(name, operand, indices, problem)

    def complain(
        self, name: str, operand: ShapedArray, indices: ShapedArray, problem: str
    ) -> NoReturn:
        """Raise the error for operands that don't fit."""
        raise ShapeError(
            compose(
                f"{name} got an operand of type {operand}, indices of type {indices} and {self!r}.",
                problem,
            )
        )

    def _problem(self, operand: ShapedArray, indices: ShapedArray, empty_axes: bool) -> str:
        axes = range(operand.ndim)
        named = (*self.collapsed, *self.operand_batch)
        if indices.dtype.kind not in "iu":
            return "indices are integers."
        if indices.ndim == 0 or indices.shape[-1] != len(self.index_map):
            return f"the last axis of the indices has size {len(self.index_map)}: one per axis."
        if len(self.sizes) != operand.ndim:
            return "there is one window size per operand axis."
        fits = (
            0 <= s <= n
            or (s == 1 and (d in self.operand_batch or (d in self.collapsed and empty_axes)))
            for d, (s, n) in enumerate(zip(self.sizes, operand.shape))
        )
        if not all(fits):
            return f"window sizes {self.sizes} lie between 0 and the operand's."
        if len(set(named)) != len(named) or not {*named, *self.index_map} <= set(axes):
            return "axes are named once and exist."
        if any(self.sizes[d] > 1 for d in named):
            return "collapsed and batching axes have window size 1."
        if len(set(self.index_map)) != len(self.index_map):
            return "an index vector has one component per axis."
        if len(self.offset_dims) != len(self.window_dims):
            return f"the window runs over operand axes {self.window_dims}: as many as named."
        if list(self.offset_dims) != sorted(set(self.offset_dims)):
            return "window axes of the result are named in order."
        if len(self.operand_batch) != len(self.indices_batch) or any(
            operand.shape[d] != indices.shape[e]
            for d, e in zip(self.operand_batch, self.indices_batch)
        ):
            return "batching axes of operand and indices agree in size."
        return ""


def check_same_dtype(name: str, operand: ShapedArray, updates: ShapedArray) -> None:
    """Raise unless the updates have the operand's dtype."""
    if operand.dtype != updates.dtype:
        raise DTypeError(
            compose(
                f"{name} got an operand of type {operand} and updates of type {updates}.",
                "their dtypes agree.",
                "convert the updates with .astype(...).",
            )
        )


def shifted(dims: Sequence[int]) -> Dims:
    """Return the numbers of axes after a new one was put in front."""
    return tuple(d + 1 for d in dims)
