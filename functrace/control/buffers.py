"""``jit(f)(*args, out=buffers)``: results written into arrays that the caller gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace import tree
from functrace.core.aval import ShapedArray
from functrace.errors import DTypeError, ShapeError, StructureError, compose

__all__ = ["check_buffers", "copy_into", "leaves_room_for_out", "refuse_traced_call"]

#: How hard to look for a shared element of two buffers whose ranges overlap.
_OVERLAP_WORK = 10_000


def leaves_room_for_out(fun: Callable[..., Any]) -> bool:
    """Whether ``out=`` of the jitted function is jit's: not if ``fun`` itself takes it.

    NumPy's own functions can't use theirs, since nothing traced is written to: there it is jit's.
    """
    if isinstance(fun, np.ufunc) or str(getattr(fun, "__module__", "")).split(".")[0] == "numpy":
        return True
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return True
    return not any(p.kind is p.VAR_KEYWORD or p.name == "out" for p in parameters)


def refuse_traced_call(name: str) -> NoReturn:
    """Raise for a call with ``out=`` inside of a transformation."""
    raise TypeError(
        compose(
            f"{name} was called with out= while it is being transformed.",
            "under grad, vmap and jit results are values to compute with, not memory to write.",
            "the call without out=; or out= on the outermost jitted function.",
        )
    )


def check_buffers(
    out: Any, out_tree: Any, avals: Sequence[ShapedArray], name: str
) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of ``out``, each fit to hold the result at its place.

    Raises:
        StructureError: ``out`` is another tree than the output.
        ShapeError: an array has another shape than its result.
        DTypeError: an array has another dtype than its result.
        TypeError: something in ``out`` is no array.
        ValueError: an array can't be written to, or two of them are the same memory.
    """
    pairs, treedef = tree.flatten_with_path(out)
    if treedef != out_tree:
        raise StructureError(
            compose(
                f"{name}: out has structure {treedef}; the output has structure {out_tree}.",
                "each result is written into the array at its own place.",
                "a tree like the output, of arrays: tree.map(np.empty_like, f(*args)).",
            )
        )
    for (path, leaf), aval in zip(pairs, avals, strict=True):
        _check_buffer(f"{name}: out{tree.keystr(path)}", leaf, aval)
    for k, (path, leaf) in enumerate(pairs):
        for other_path, other in pairs[:k]:
            if _share_elements(leaf, other):
                raise ValueError(
                    compose(
                        f"{name}: out{tree.keystr(other_path)} and out{tree.keystr(path)} share "
                        "memory.",
                        "one result would overwrite the other.",
                        "separate arrays.",
                    )
                )
    return [leaf for _, leaf in pairs]


def _check_buffer(place: str, leaf: Any, aval: ShapedArray) -> None:
    if type(leaf) not in (np.ndarray, np.memmap):
        raise TypeError(
            compose(
                f"{place} is a {type(leaf).__name__}.",
                f"the result there, {aval}, is written into an array.",
                f"np.empty({aval.shape}, np.{aval.dtype.name}).",
            )
        )
    if leaf.shape != aval.shape or leaf.dtype != aval.dtype:
        kind = ShapeError if leaf.shape != aval.shape else DTypeError
        raise kind(
            compose(
                f"{place} has shape {leaf.shape} and dtype {leaf.dtype}; the result there has "
                f"shape {aval.shape} and dtype {aval.dtype}.",
                "results are written as they are, neither broadcast nor cast.",
                f"np.empty({aval.shape}, np.{aval.dtype.name}).",
            )
        )
    if not leaf.flags.writeable:
        raise ValueError(
            compose(
                f"{place}, of shape {leaf.shape} and dtype {leaf.dtype}, is read-only.",
                then="a writable array, or a copy.",
            )
        )


def _share_elements(a: Any, b: Any) -> bool:
    if not np.may_share_memory(a, b):
        return False
    work: Any = _OVERLAP_WORK
    try:
        return bool(np.shares_memory(a, b, max_work=work))
    except np.exceptions.TooHardError:
        return True  # not known to be apart


def copy_into(out: Any, result: Any, name: str) -> None:
    """Write a result that exists already; for calls that run no program."""
    leaves, out_tree = tree.flatten(result)
    arrays = [np.asarray(leaf) for leaf in leaves]
    buffers = check_buffers(out, out_tree, [ShapedArray(a.shape, a.dtype) for a in arrays], name)
    for buffer, array in zip(buffers, arrays):
        np.copyto(buffer, array)
