"""What is given to control flow: trees of arrays as leaves with their types."""

from __future__ import annotations

from typing import Any, NamedTuple

from functrace import tree
from functrace.core.arguments import argument_leaf
from functrace.core.aval import ShapedArray, typeof

__all__ = ["Leaves", "read_leaves"]


class Leaves(NamedTuple):
    """A tree taken apart: arrays, NumPy scalars and tracers, with their types and its structure."""

    values: list[Any]
    avals: list[ShapedArray]
    treedef: Any


def read_leaves(value: Any, where: str) -> Leaves:
    """Take a tree apart.

    Args:
        value: the tree.
        where: what to call it in messages.

    Raises:
        DTypeError: a leaf is no array; the message has its path.
    """
    flat, treedef = tree.flatten(value)

    def place(i: int) -> str:
        return where + tree.keystr(tree.leaves_with_path(value)[i][0])

    leaves = [argument_leaf(v, lambda i=i: place(i)) for i, v in enumerate(flat)]  # type: ignore[misc]
    avals = [typeof(leaf.value).update(weak_type=leaf.weak) for leaf in leaves]
    return Leaves([leaf.value for leaf in leaves], avals, treedef)
