"""Jacobians and Hessians: forward and reverse mode, mapped over a basis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.api.mapping import vmap
from functrace.api.pullback import vjp
from functrace.api.pushforward import linearize
from functrace.api.util import Owner, normalize_argnums
from functrace.core.arguments import require_callable
from functrace.core.aval import ShapedArray, typeof
from functrace.dtypes import float0, is_inexact
from functrace.errors import DTypeError, compose
from functrace.source_info import api_boundary, describe_function

__all__ = ["hessian", "jacfwd", "jacrev"]


def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of ``fun`` column by column, forward.

    Best when outputs outnumber inputs.

    Args:
        fun: a function of arrays.
        argnums: which positional arguments to differentiate.
        has_aux: whether ``fun`` returns ``(output, aux)``.
        holomorphic: promise that ``fun`` is holomorphic, for complex arguments.

    Returns:
        A function returning, for each leaf of the output, a tree like the argument(s) whose
        leaves have the output leaf's shape followed by the argument leaf's.

    Example:
        >>> import numpy as np
        >>> jacfwd(lambda x: x ** 2)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """
    require_callable(fun, "jacfwd")

    @functools.wraps(fun)
    @api_boundary
    def jacfwd_fun(*args: Any, **kwargs: Any) -> Any:
        moving, partial = _split_arguments(fun, argnums, args, kwargs, "jacfwd", holomorphic)
        out, f_jvp, *aux = linearize(partial, *moving, has_aux=has_aux)
        avals = [typeof(v).strong() for v in tree.leaves(moving)]
        treedef = tree.structure(moving)
        basis = treedef.unflatten(_basis(avals))
        columns = vmap(f_jvp, out_axes=-1)(*basis)
        owner = Owner()

        def split(column: Any, value: Any) -> Any:
            shape = typeof(value).shape
            flat = [owner.own(p.reshape((*shape, *a.shape))) for p, a in _pieces(column, avals, -1)]
            return _pick(treedef.unflatten(flat), argnums)

        jacobian = tree.map(split, columns, out)
        return (jacobian, aux[0]) if has_aux else jacobian

    return jacfwd_fun


def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of ``fun`` row by row, in reverse.

    Best when inputs outnumber outputs. The layout is ``jacfwd``'s.

    Args:
        fun: a function of arrays.
        argnums: which positional arguments to differentiate.
        has_aux: whether ``fun`` returns ``(output, aux)``.
        holomorphic: promise that ``fun`` is holomorphic, for complex arguments.
        allow_int: accept integer leaves; their entries have dtype ``float0``.

    Returns:
        A function returning the Jacobian; see ``jacfwd``.

    Example:
        >>> import numpy as np
        >>> jacrev(lambda x: np.sum(x ** 2))(np.array([1.0, 2.0]))
        array([2., 4.])
    """
    require_callable(fun, "jacrev")

    @functools.wraps(fun)
    @api_boundary
    def jacrev_fun(*args: Any, **kwargs: Any) -> Any:
        moving, partial = _split_arguments(
            fun, argnums, args, kwargs, "jacrev", holomorphic, allow_int
        )
        out, pullback, *aux = vjp(partial, *moving, has_aux=has_aux)
        out_leaves, out_tree = tree.flatten(out)
        avals = [typeof(v).strong() for v in out_leaves]
        for aval in avals:
            _check_output(aval, fun, holomorphic)
        basis = out_tree.unflatten(_basis(avals))
        in_leaves, treedef = tree.flatten(moving)
        moves = [is_inexact(typeof(v).dtype) for v in in_leaves]
        # Integers' cotangents (float0) can't be mapped; there is nothing in them either.
        rows = iter(
            vmap(lambda ct: [g for g, m in zip(tree.leaves(pullback(ct)), moves) if m])(basis)
        )
        total = sum(a.size for a in avals)
        owner = Owner()
        split = [
            [owner.own(p.reshape((*a.shape, *p.shape[1:]))) for p, a in _pieces(leaf, avals, 0)]
            for leaf in (
                next(rows) if m else np.zeros((total, *typeof(v).shape), float0)
                for v, m in zip(in_leaves, moves)
            )
        ]
        per_output = [
            _pick(treedef.unflatten([s[i] for s in split]), argnums) for i in range(len(avals))
        ]
        jacobian = out_tree.unflatten(per_output)
        return (jacobian, aux[0]) if has_aux else jacobian

    return jacrev_fun


def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Return a function that computes the Hessian of ``fun``: forward over reverse.

    Args:
        fun: a function of arrays, usually with one output.
        argnums: which positional arguments to differentiate, twice.
        has_aux: whether ``fun`` returns ``(output, aux)``.
        holomorphic: promise that ``fun`` is holomorphic, for complex arguments.

    Returns:
        A function returning a tree of trees like the argument(s).

    Example:
        >>> import numpy as np
        >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
        array([[10.,  6.],
               [ 6.,  0.]])
    """
    inner = jacrev(fun, argnums, has_aux=has_aux, holomorphic=holomorphic)
    return jacfwd(inner, argnums, has_aux=has_aux, holomorphic=holomorphic)


def _split_arguments(
    fun: Any,
    argnums: int | Sequence[int],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    what: str,
    holomorphic: bool,
    allow_int: bool = False,
) -> tuple[tuple[Any, ...], Callable[..., Any]]:
    """Return the differentiated arguments, and ``fun`` as a function of them alone."""
    positions = normalize_argnums(argnums, len(args), what, fun)
    moving = tuple(args[p] for p in positions)
    for position, arg in zip(positions, moving):
        for path, leaf in tree.leaves_with_path(arg):
            kind = typeof(leaf).dtype.kind
            if (kind in "biu" and not allow_int) or (holomorphic and kind != "c"):
                raise DTypeError(
                    compose(
                        f"{what} of {describe_function(fun)}: argument {position}"
                        f"{tree.keystr(path)} has dtype {typeof(leaf).dtype}.",
                        "holomorphic=True wants complex arguments."
                        if holomorphic
                        else "integers and booleans have no derivative.",
                        "a float (x.astype(float)), or another argnums.",
                    )
                )

    @functools.wraps(fun)
    def partial(*values: Any) -> Any:
        full = list(args)
        for position, value in zip(positions, values):
            full[position] = value
        return fun(*full, **kwargs)

    return moving, partial


def _check_output(aval: ShapedArray, fun: Any, holomorphic: bool) -> None:
    if aval.dtype.kind == "c" and not holomorphic:
        raise DTypeError(
            compose(
                f"jacrev of {describe_function(fun)}: the output has dtype {aval.dtype}.",
                then="holomorphic=True if the function is; or its real and imaginary parts.",
            )
        )


def _basis(avals: Sequence[ShapedArray]) -> list[Any]:
    """Return the standard basis of the space of these leaves, stacked along axis 0."""
    total = sum(a.size for a in avals)
    basis, offset = [], 0
    for aval in avals:
        if aval.dtype.kind not in "fc":
            basis.append(np.zeros((total, *aval.shape), aval.dtype))
        else:
            rows = np.zeros((total, aval.size), aval.dtype)
            rows[offset + np.arange(aval.size), np.arange(aval.size)] = 1
            basis.append(rows.reshape((total, *aval.shape)))
        offset += aval.size
    return basis


def _pieces(value: Any, avals: Sequence[ShapedArray], axis: int) -> list[tuple[Any, ShapedArray]]:
    """Split the mapped axis back into one piece per leaf of the basis."""
    pieces, offset = [], 0
    for aval in avals:
        index = slice(offset, offset + aval.size)
        pieces.append((value[..., index] if axis == -1 else value[index], aval))
        offset += aval.size
    return pieces


def _pick(trees: Any, argnums: int | Sequence[int]) -> Any:
    return trees[0] if isinstance(argnums, (int, np.integer)) else trees
