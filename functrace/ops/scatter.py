"""scatter (overwrite), scatter_mul, scatter_min and scatter_max."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import dtype_of, shape_of
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.errors import MissingRuleError, compose
from functrace.ops.arithmetic import add, div, mul
from functrace.ops.bitwise import bitwise_or
from functrace.ops.creation import convert_element_type, full, iota
from functrace.ops.dimension_numbers import GatherScatterMode, ScatterDimensionNumbers
from functrace.ops.families import ANY, NUMERIC, ORDERED
from functrace.ops.indexing import bind_scatter, gather_like, scatter_add_p, scatter_primitive
from functrace.ops.logical import eq, is_nan, select
from functrace.ops.structural import reshape

__all__ = ["scatter", "scatter_max", "scatter_min", "scatter_mul"]

Mode = str | GatherScatterMode | None

# --- scatter -----------------------------------------------------------------------------------

scatter_p = scatter_primitive("scatter", ANY, None, lambda b, old, new: new)


@scatter_p.def_jvp
def _scatter_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    # Writes happen in order and the last one stays, for tangents as for values.
    x, indices, updates = primals
    t_x, t_updates = (
        full(shape_of(p), 0, dtype_of(p)) if t is None else t
        for p, t in ((x, tangents[0]), (updates, tangents[2]))
    )
    out = scatter_p.bind(x, indices, updates, **params)
    return out, scatter_p.bind(t_x, indices, t_updates, **params)


@scatter_p.def_transpose
def _scatter_transpose(
    ct: Any,
    x: Any,
    indices: Any,
    updates: Any,
    *,
    dimension_numbers: ScatterDimensionNumbers,
    **params: Any,
) -> Any:
    ct_x = ct_updates = None
    if is_linear(x):
        zeros = full(updates.shape, 0, ct.dtype)
        ct_x = scatter_p.bind(ct, indices, zeros, dimension_numbers=dimension_numbers, **params)
    if is_linear(updates):
        ct_updates = gather_like(ct, indices, updates, dimension_numbers, **params)
        if not params["unique_indices"]:
            stayed = _stayed(ct.shape, indices, updates, dimension_numbers, **params)
            ct_updates = select(stayed, ct_updates, ct.dtype.type(0))
    return [ct_x, None, ct_updates]


def _stayed(
    shape: tuple[int, ...],
    indices: Any,
    updates: Any,
    dnums: ScatterDimensionNumbers,
    **params: Any,
) -> Any:
    """Tell which elements of the updates weren't written over: number them, write, read back."""
    size = int(np.prod(updates.shape, dtype=np.int64))
    ids = reshape(add(iota(np.int64, size), np.int64(1)), updates.shape)
    zeros = full(shape, 0, np.int64)
    written = scatter_p.bind(zeros, indices, ids, dimension_numbers=dnums, **params)
    return eq(gather_like(written, indices, ids, dnums, **params), ids)


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
    """Write each window of ``updates`` into a copy of ``operand``; later ones win."""
    return bind_scatter(
        scatter_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


# --- scatter_mul -------------------------------------------------------------------------------

scatter_mul_p = scatter_primitive("scatter_mul", NUMERIC, np.multiply, lambda b, x, y: b.mul(x, y))


@scatter_mul_p.def_jvp
def _scatter_mul_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, indices, updates = primals
    t_x, _, t_updates = tangents
    out = scatter_mul_p.bind(x, indices, updates, **params)
    tangent = None if t_x is None else scatter_mul_p.bind(t_x, indices, updates, **params)
    if t_updates is None:
        return out, tangent
    if not params["unique_indices"]:
        raise MissingRuleError(
            compose(
                "scatter_mul was differentiated with respect to its updates.",
                "several updates of one element would each need the product of the others.",
                "unique_indices=True, when the indices are unique.",
            )
        )
    dnums = params["dimension_numbers"]
    others = {k: v for k, v in params.items() if k != "dimension_numbers"}
    term = mul(t_updates, gather_like(x, indices, updates, dnums, **others))
    zeros = full(shape_of(x), 0, dtype_of(x))
    term = scatter_add_p.bind(zeros, indices, term, **params)
    return out, term if tangent is None else add(tangent, term)


@scatter_mul_p.def_transpose
def _scatter_mul_transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Any:
    return [scatter_mul_p.bind(ct, indices, updates, **params), None, None]


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
    """Multiply windows of ``operand`` by ``updates``."""
    return bind_scatter(
        scatter_mul_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


# --- scatter_min, scatter_max ------------------------------------------------------------------

PIECEWISE = "its tangent is a sum over the chosen elements"

scatter_min_p = scatter_primitive(
    "scatter_min", ORDERED, np.minimum, lambda b, x, y: b.minimum(x, y), PIECEWISE
)
scatter_max_p = scatter_primitive(
    "scatter_max", ORDERED, np.maximum, lambda b, x, y: b.maximum(x, y), PIECEWISE
)


def _extreme_jvp(primitive: Primitive) -> Any:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        # As in reduce_max: the mean of the tangents of the elements that equal the result.
        x, indices, updates = primals
        out = primitive.bind(x, indices, updates, **params)
        dnums = params["dimension_numbers"]
        others = {k: v for k, v in params.items() if k != "dimension_numbers"}
        target = gather_like(out, indices, updates, dnums, **others)
        chosen_x = _weights(x, out)
        chosen_updates = _weights(updates, target)
        count = scatter_add_p.bind(chosen_x, indices, chosen_updates, **params)
        t_x, _, t_updates = tangents
        total = full(out.shape, 0, out.dtype) if t_x is None else mul(t_x, chosen_x)
        if t_updates is not None:
            term = mul(t_updates, chosen_updates)
            total = scatter_add_p.bind(total, indices, term, **params)
        return out, div(total, count)

    return jvp


def _weights(values: Any, chosen: Any) -> Any:
    return convert_element_type(bitwise_or(eq(values, chosen), is_nan(values)), chosen.dtype)


scatter_min_p.def_jvp(_extreme_jvp(scatter_min_p))
scatter_max_p.def_jvp(_extreme_jvp(scatter_max_p))


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
    """Minimum of the windows of ``operand`` and ``updates``."""
    return bind_scatter(
        scatter_min_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
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
    """Maximum of the windows of ``operand`` and ``updates``."""
    return bind_scatter(
        scatter_max_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )
