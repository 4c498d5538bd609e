"""What a loop carries: typed by fixpoint, and compared leaf by leaf with what the body returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace import tree
from functrace.control.loops.bodies import Body
from functrace.core.arguments import argument_leaf
from functrace.core.aval import ShapedArray, typeof
from functrace.dtypes import promote
from functrace.errors import DTypeError, ShapeError, StructureError, compose
from functrace.ops.creation import convert_element_type
from functrace.source_info import describe_function

__all__ = ["Carry", "gives_way", "settle"]

_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def gives_way(aval: ShapedArray, dtype: np.dtype[Any]) -> bool:
    """Tell whether a value came from Python numbers, and fits ``dtype`` without losing its kind."""
    return aval.weak_type and _RANK[aval.dtype.kind] <= _RANK[dtype.kind]


class Carry:
    """The carry of one loop: its structure, and the types its leaves have so far.

    ``counted`` loops carry a pair of a counter and the user's value; messages tell of the value.
    """

    def __init__(
        self, what: str, fun: Any, treedef: Any, avals: Sequence[ShapedArray], counted: bool = False
    ) -> None:
        self.what = what
        self.fun = fun
        self.treedef = treedef
        self.avals = list(avals)
        self.counted = counted

    def check_structure(self, treedef: Any) -> None:
        """Raise unless the body returned a carry of the structure it was given."""
        if treedef != self.treedef:
            raise StructureError(
                compose(
                    f"{self.what} of {describe_function(self.fun)}: the body returned a carry of "
                    f"structure {self._shown(treedef)}.",
                    f"it was given one of structure {self._shown(self.treedef)}.",
                    "return the same containers, keys and lengths as the initial value.",
                )
            )

    def take(self, value: Any) -> list[Any]:
        """Return the leaves of what the body returned as carry.

        Those that came from Python numbers take the dtype the carry has there.
        """
        leaves, treedef = tree.flatten(value)
        self.check_structure(treedef)
        return [self._cast(leaf, i) for i, leaf in enumerate(leaves)]

    def _cast(self, value: Any, i: int) -> Any:
        leaf = argument_leaf(value, lambda: f"{self._place(i)} returned by the body of {self.what}")
        dtype = self.avals[i].dtype
        got = typeof(leaf.value).update(weak_type=leaf.weak)
        if got.dtype != dtype and gives_way(got, dtype):
            return convert_element_type(leaf.value, dtype)
        return value

    def widen(self, outs: Sequence[ShapedArray]) -> bool:
        """Let leaves that are Python numbers so far take the type the body returned."""
        before = list(self.avals)
        for i, (mine, out) in enumerate(zip(before, outs)):
            if not mine.weak_type or mine.shape != out.shape:
                continue
            dtype, weak = promote((mine.dtype, True), (out.dtype, out.weak_type))
            self.avals[i] = ShapedArray(mine.shape, dtype, weak)
        return self.avals != before

    def check_types(self, outs: Sequence[ShapedArray]) -> None:
        """Raise, naming the first leaf, unless the types returned are those taken."""
        for i, (mine, out) in enumerate(zip(self.avals, outs)):
            if not mine.same_type(out):
                self._refuse(i, mine, out)

    def _refuse(self, i: int, mine: ShapedArray, out: ShapedArray) -> NoReturn:
        leaf = self._place(i)
        error: type[Exception] = ShapeError
        if mine.shape != out.shape:
            then = f"start from an array of shape {out.shape}, or return one of shape {mine.shape}."
        else:
            error = DTypeError
            then = (
                f"return {leaf}.astype({_name(mine.dtype)}), or start from a value of dtype "
                f"{out.dtype}: initial.astype({_name(out.dtype)})."
            )
        raise error(
            compose(
                f"{self.what} of {describe_function(self.fun)}: {leaf} is {mine} where the body "
                f"takes it and {out} where the body returns it.",
                "each step's carry is the next one's input, so its type must stay the same.",
                then,
            )
        )

    def _place(self, i: int) -> str:
        example = tree.unflatten(self.treedef, range(self.treedef.num_leaves))
        path = tree.leaves_with_path(example)[i][0]
        return f"carry{tree.keystr(path[1:] if self.counted else path)}"

    def _shown(self, treedef: Any) -> Any:
        return treedef.children()[1] if self.counted else treedef


def _name(dtype: np.dtype[Any]) -> str:
    return f"np.{dtype.name}" if dtype.kind != "b" else "np.bool_"


def settle(carry: Carry, trace: Callable[[], Body]) -> Body:
    """Trace a body until the types of the carry it returns are those it takes.

    Leaves that were given as Python numbers take the type that comes back; others stay, and must
    come back as they went in.

    Args:
        carry: the carry; its types are settled here.
        trace: traces the body with the carry's present types; its first outputs are the carry.
    """
    while True:
        body = trace()
        outs = body.out_avals[: len(carry.avals)]
        if not carry.widen(outs):
            carry.check_types(outs)
            return body
