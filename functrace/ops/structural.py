"""Structure: transpose, reshape, squeeze, rev: other views of the same elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import View
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.broadcasting import broadcast_in_dim

__all__ = ["expand_dims", "lanes_first", "move_axis", "reshape", "rev", "squeeze", "transpose"]

# --- transpose ---------------------------------------------------------------------------------

transpose_p = Primitive("transpose")


@transpose_p.def_impl
def _transpose_impl(x: Any, *, permutation: tuple[int, ...]) -> Any:
    return np.transpose(x, permutation)


@transpose_p.def_abstract_eval
def _transpose_type(x: ShapedArray, *, permutation: tuple[int, ...]) -> ShapedArray:
    if sorted(permutation) != list(range(x.ndim)):
        raise ShapeError(
            compose(
                f"transpose got permutation={permutation} for an operand of type {x}.",
                f"a permutation names each of its {x.ndim} axes once.",
            )
        )
    return ShapedArray(tuple(x.shape[i] for i in permutation), x.dtype)


@transpose_p.def_jvp_each
def _transpose_jvp(t: Any, out: Any, x: Any, *, permutation: tuple[int, ...]) -> Any:
    return transpose(t, permutation)


@transpose_p.def_transpose
def _transpose_transpose(ct: Any, x: Any, *, permutation: tuple[int, ...]) -> Any:
    return [transpose(ct, inverse_permutation(permutation))]


@transpose_p.def_batching
def _transpose_batching(
    size: int, args: Sequence[Any], dims: Sequence[int], *, permutation: tuple[int, ...]
) -> Any:
    dim = dims[0]
    moved = tuple(p + (p >= dim) for p in permutation)
    return transpose(args[0], (dim, *moved)), 0


transpose_p.def_lowering(
    View(
        lambda shape, strides, permutation: (
            tuple(shape[i] for i in permutation),
            tuple(strides[i] for i in permutation),
            0,
        )
    )
)


def transpose(x: Any, permutation: Sequence[int]) -> Any:
    """Permute the axes of ``x``."""
    permutation = tuple(permutation)
    if permutation == tuple(range(len(permutation))):
        return x
    return transpose_p.bind(x, permutation=permutation)


def inverse_permutation(permutation: Sequence[int]) -> tuple[int, ...]:
    """Return the permutation that undoes ``permutation``."""
    inverse = [0] * len(permutation)
    for i, p in enumerate(permutation):
        inverse[p] = i
    return tuple(inverse)


def move_axis(x: Any, source: int, destination: int) -> Any:
    """Move one axis to another place; nothing when it is there."""
    if source == destination:
        return x
    axes = [i for i in range(len(shape_of(x))) if i != source]
    axes.insert(destination, source)
    return transpose(x, axes)


def lanes_first(size: int, x: Any, dim: int | None) -> Any:
    """Return an operand of a batching rule with its lanes along axis 0, repeated if unmapped."""
    if dim is not None:
        return move_axis(x, dim, 0)
    shape = shape_of(x)
    return broadcast_in_dim(x, (size, *shape), range(1, len(shape) + 1))


# --- reshape -----------------------------------------------------------------------------------

reshape_p = Primitive("reshape")


@reshape_p.def_impl
def _reshape_impl(x: Any, *, new_sizes: tuple[int, ...]) -> Any:
    return x.reshape(new_sizes) if new_sizes else x.reshape(())[()]


@reshape_p.def_abstract_eval
def _reshape_type(x: ShapedArray, *, new_sizes: tuple[int, ...]) -> ShapedArray:
    out = ShapedArray(tuple(new_sizes), x.dtype)
    if any(n < 0 for n in new_sizes) or out.size != x.size:
        raise ShapeError(
            compose(
                f"cannot reshape array of size {x.size} into shape {tuple(new_sizes)}",
                f"the operand has type {x}.",
            )
        )
    return out


@reshape_p.def_jvp_each
def _reshape_jvp(t: Any, out: Any, x: Any, *, new_sizes: tuple[int, ...]) -> Any:
    return reshape_p.bind(t, new_sizes=new_sizes)


@reshape_p.def_transpose
def _reshape_transpose(ct: Any, x: Any, *, new_sizes: tuple[int, ...]) -> Any:
    return [reshape(ct, x.shape)]


@reshape_p.def_batching
def _reshape_batching(
    size: int, args: Sequence[Any], dims: Sequence[int], *, new_sizes: tuple[int, ...]
) -> Any:
    return reshape(move_axis(args[0], dims[0], 0), (size, *new_sizes)), 0


def _reshape_view(
    shape: tuple[int, ...], strides: tuple[int, ...], *, new_sizes: tuple[int, ...]
) -> Any:
    # Take the axes in runs of equal size, old against new; a run of old axes that lie behind
    # each other in memory is one axis, which the new ones split.
    old = [(n, s) for n, s in zip(shape, strides) if n != 1]
    if 0 in shape:
        return new_sizes, (0,) * len(new_sizes), 0
    out: list[int] = []
    i = j = 0
    while j < len(new_sizes):
        if new_sizes[j] == 1:
            out.append(0)
            j += 1
            continue
        first, size, new_size, start = i, old[i][0], new_sizes[j], j
        i, j = i + 1, j + 1
        while size != new_size:
            if size < new_size:
                size, i = size * old[i][0], i + 1
            else:
                new_size, j = new_size * new_sizes[j], j + 1
        if any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(first, i - 1)):
            return None
        stride, run = old[i - 1][1], []
        for n in reversed(new_sizes[start:j]):
            run.append(stride)
            stride *= n
        out += reversed(run)
    return new_sizes, tuple(out), 0


reshape_p.def_lowering(View(_reshape_view))


def reshape(x: Any, new_sizes: Sequence[int]) -> Any:
    """Give the elements of ``x``, in C order, another shape."""
    new_sizes = tuple(new_sizes)
    return x if shape_of(x) == new_sizes else reshape_p.bind(x, new_sizes=new_sizes)


# --- squeeze -----------------------------------------------------------------------------------

squeeze_p = Primitive("squeeze")


def _without(items: Sequence[int], dimensions: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(items) if i not in dimensions)


@squeeze_p.def_impl
def _squeeze_impl(x: Any, *, dimensions: tuple[int, ...]) -> Any:
    return np.squeeze(x, dimensions)[()]


@squeeze_p.def_abstract_eval
def _squeeze_type(x: ShapedArray, *, dimensions: tuple[int, ...]) -> ShapedArray:
    fits = len(set(dimensions)) == len(dimensions) and all(
        0 <= d < x.ndim and x.shape[d] == 1 for d in dimensions
    )
    if not fits:
        raise ShapeError(
            compose(
                "cannot select an axis to squeeze out which has size not equal to one",
                f"squeeze got dimensions={tuple(dimensions)} for an operand of type {x}.",
            )
        )
    return ShapedArray(_without(x.shape, dimensions), x.dtype)


@squeeze_p.def_jvp_each
def _squeeze_jvp(t: Any, out: Any, x: Any, *, dimensions: tuple[int, ...]) -> Any:
    return squeeze_p.bind(t, dimensions=dimensions)


@squeeze_p.def_transpose
def _squeeze_transpose(ct: Any, x: Any, *, dimensions: tuple[int, ...]) -> Any:
    return [reshape(ct, x.shape)]


@squeeze_p.def_batching
def _squeeze_batching(
    size: int, args: Sequence[Any], dims: Sequence[int], *, dimensions: tuple[int, ...]
) -> Any:
    dim = dims[0]
    moved = tuple(d + (d >= dim) for d in dimensions)
    return squeeze_p.bind(args[0], dimensions=moved), dim - sum(d < dim for d in moved)


squeeze_p.def_lowering(
    View(
        lambda shape, strides, dimensions: (
            _without(shape, dimensions),
            _without(strides, dimensions),
            0,
        )
    )
)


def squeeze(x: Any, dimensions: Sequence[int]) -> Any:
    """Drop axes of size 1."""
    dimensions = tuple(d % max(len(shape_of(x)), 1) for d in dimensions)
    return squeeze_p.bind(x, dimensions=dimensions) if dimensions else x


def expand_dims(x: Any, dimensions: Sequence[int]) -> Any:
    """Insert axes of size 1 at these places of the result."""
    shape = shape_of(x)
    ndim = len(shape) + len(dimensions)
    new = {d % ndim for d in dimensions}
    kept = [d for d in range(ndim) if d not in new]
    sizes = dict(zip(kept, shape))
    return broadcast_in_dim(x, [sizes.get(d, 1) for d in range(ndim)], kept)


# --- rev ---------------------------------------------------------------------------------------

rev_p = Primitive("rev")


@rev_p.def_impl
def _rev_impl(x: Any, *, dimensions: tuple[int, ...]) -> Any:
    return np.flip(x, dimensions)


@rev_p.def_abstract_eval
def _rev_type(x: ShapedArray, *, dimensions: tuple[int, ...]) -> ShapedArray:
    if len(set(dimensions)) != len(dimensions) or not all(0 <= d < x.ndim for d in dimensions):
        raise ShapeError(f"rev: dimensions {dimensions} don't fit an operand of type {x}.")
    return ShapedArray(x.shape, x.dtype)


@rev_p.def_jvp_each
def _rev_jvp(t: Any, out: Any, x: Any, *, dimensions: tuple[int, ...]) -> Any:
    return rev(t, dimensions)


@rev_p.def_transpose
def _rev_transpose(ct: Any, x: Any, *, dimensions: tuple[int, ...]) -> Any:
    return [rev(ct, dimensions)]


@rev_p.def_batching
def _rev_batching(
    size: int, args: Sequence[Any], dims: Sequence[int], *, dimensions: tuple[int, ...]
) -> Any:
    dim = dims[0]
    return rev(args[0], tuple(d + (d >= dim) for d in dimensions)), dim


def _rev_view(
    shape: tuple[int, ...], strides: tuple[int, ...], *, dimensions: tuple[int, ...]
) -> Any:
    new = tuple(-s if d in dimensions else s for d, s in enumerate(strides))
    offset = sum(max(shape[d] - 1, 0) * strides[d] for d in dimensions)
    return shape, new, offset


rev_p.def_lowering(View(_rev_view))


def rev(x: Any, dimensions: Sequence[int]) -> Any:
    """Reverse the order of the elements along some axes."""
    dimensions = tuple(dimensions)
    return rev_p.bind(x, dimensions=dimensions) if dimensions else x
