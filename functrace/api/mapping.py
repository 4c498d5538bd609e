"""vmap: map a function over array axes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.api.util import Owner
from functrace.core.arguments import argument_leaf, flat_values, require_callable
from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.errors import ShapeError, compose
from functrace.interpreters.batching import batch_flat, materialize
from functrace.source_info import api_boundary, describe_function

__all__ = ["vmap"]


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
) -> Callable[..., Any]:
    """Return ``fun`` mapped over an axis of its arguments, all lanes computed at once.

    Args:
        fun: a function of arrays.
        in_axes: which axis of each argument to map: an int (may be negative), None for an
            argument shared by all lanes, or a tuple of such (or of trees of such that are
            prefixes of the arguments). Keyword arguments are mapped over axis 0.
        out_axes: where the mapped axis goes in each output, likewise; None promises that an
            output is the same for all lanes.
        axis_name: accepted for JAX's sake; collectives over it are not part of this release.
        axis_size: the size of the mapped axis, needed when nothing is mapped.

    Returns:
        The mapped function; its outputs have one more axis.

    Raises:
        ShapeError: mapped axes differ in size, or an argument lacks the axis.

    Example:
        >>> import numpy as np
        >>> vmap(lambda x, y: x * y, in_axes=(0, None))(np.arange(3.0), 2.0)
        array([0., 2., 4.])
    """
    require_callable(fun, "vmap")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    del axis_name

    @functools.wraps(fun)
    @api_boundary
    def vmap_fun(*args: Any, **kwargs: Any) -> Any:
        name = f"vmap of {describe_function(fun)}"
        flat, treedef = tree.flatten((args, kwargs))
        dims = _input_dims(in_axes, args, kwargs, name)
        values = [
            argument_leaf(v, functools.partial(_place, args, kwargs, i, name)).value
            if d is not None or isinstance(v, (np.ndarray, Tracer))
            else v
            for i, (v, d) in enumerate(zip(flat, dims))
        ]
        dims = [
            _normal_dim(d, v, args, kwargs, i, name) for i, (d, v) in enumerate(zip(dims, values))
        ]
        size = _mapped_size(values, dims, axis_size, args, kwargs, name)
        out_tree: Any = None

        def flat_fun(*leaves: Any) -> list[Any]:
            nonlocal out_tree
            inner_args, inner_kwargs = treedef.unflatten(leaves)
            place = f"an output of {name}"
            outs, out_tree = flat_values(fun(*inner_args, **inner_kwargs), place)
            return outs

        outs, found = batch_flat(flat_fun, size, values, dims, f"vmap({_short(fun)})")
        wanted = tree.prefix_leaves(out_axes, out_tree, f"out_axes={out_axes!r} of {name}")
        owner = Owner(values)
        return out_tree.unflatten(
            [_place_output(size, o, d, w, owner, name) for o, d, w in zip(outs, found, wanted)]
        )

    return vmap_fun


def _short(fun: Any) -> str:
    return str(getattr(fun, "__name__", type(fun).__name__))


def _input_dims(in_axes: Any, args: Any, kwargs: Any, name: str) -> list[int | None]:
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ShapeError(
            compose(
                f"{name}: in_axes={in_axes!r} has {len(in_axes)} entries.",
                f"the call has {len(args)} positional arguments.",
                "one entry per positional argument, or a single int for all.",
            )
        )
    what = f"in_axes={in_axes!r} of {name}"
    dims = tree.prefix_leaves(in_axes, tree.structure(tuple(args)), what)
    dims += [0] * len(tree.leaves(kwargs))
    for d in dims:
        if d is not None and not isinstance(d, (int, np.integer)):
            raise TypeError(f"{what}: entries are ints or None, not {d!r}.")
    return dims


def _place(args: Any, kwargs: Any, index: int, name: str) -> str:
    path = tree.leaves_with_path((args, kwargs))[index][0]
    kind = "argument" if path[0].idx == 0 else "keyword argument"
    rest = path[1:]
    return (
        f"{kind} {getattr(rest[0], 'idx', None)}{tree.keystr(rest[1:])} of {name}"
        if (kind == "argument")
        else f"{kind} {rest[0].key}{tree.keystr(rest[1:])} of {name}"
    )


def _normal_dim(
    dim: int | None, value: Any, args: Any, kwargs: Any, index: int, name: str
) -> int | None:
    if dim is None:
        return None
    ndim = len(shape_of(value))
    if not -ndim <= dim < ndim:
        raise ShapeError(
            compose(
                f"{_place(args, kwargs, index, name)} has shape {shape_of(value)}.",
                f"it is to be mapped over axis {dim}, which it doesn't have.",
                "in_axes=None for arguments that aren't mapped.",
            )
        )
    return int(dim) % ndim


def _mapped_size(
    values: Sequence[Any],
    dims: Sequence[int | None],
    axis_size: int | None,
    args: Any,
    kwargs: Any,
    name: str,
) -> int:
    mapped = [(i, shape_of(v)[d]) for i, (v, d) in enumerate(zip(values, dims)) if d is not None]
    if not mapped and axis_size is None:
        raise ShapeError(
            compose(
                f"{name}: no argument is mapped.",
                "in_axes is None for all of them.",
                "an axis for one of them, or axis_size=...",
            )
        )
    size = mapped[0][1] if axis_size is None else axis_size
    for i, n in mapped:
        if n != size:
            first = (
                f"axis_size={axis_size}"
                if axis_size is not None
                else f"{_place(args, kwargs, mapped[0][0], name)} has size {size}"
            )
            raise ShapeError(
                compose(
                    f"{_place(args, kwargs, i, name)} has size {n} on its mapped axis "
                    f"{dims[i]}, but {first}.",
                    "all mapped axes must agree.",
                    "in_axes=None for arguments that aren't mapped.",
                )
            )
    return size


def _place_output(
    size: int, value: Any, dim: int | None, wanted: int | None, owner: Owner, name: str
) -> Any:
    if wanted is None:
        if dim is not None:
            raise ShapeError(
                compose(
                    f"{name}: an output with out_axes=None differs between the lanes.",
                    then="an axis for it in out_axes.",
                )
            )
        return owner.own_foreign(value)
    ndim = len(shape_of(value)) + (dim is None)
    if not -ndim <= wanted < ndim:
        raise ShapeError(f"{name}: out_axes={wanted} doesn't fit an output with {ndim} axes.")
    return owner.own(materialize(size, value, dim, wanted))
