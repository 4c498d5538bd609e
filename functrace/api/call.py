"""One call of a user's function of trees, run as a function of flat leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.api.util import Owner, leaf_place, transformation_name
from functrace.core.arguments import argument_leaf
from functrace.core.trace import Tracer
from functrace.dtypes import is_inexact
from functrace.errors import compose
from functrace.interpreters.linearize import linearize_flat
from functrace.source_info import describe_function

__all__ = ["Aux", "Call", "linearize_call"]

_FLOAT64 = np.dtype(np.float64)


class Call:
    """One call of a user's function, with some positional arguments as flat leaves.

    After ``run`` the structure of the output, and the auxiliary output, are kept here.
    """

    __slots__ = ("args", "aux", "fun", "has_aux", "kwargs", "out_tree", "positions", "treedefs")

    def __init__(
        self, fun: Any, args: Sequence[Any], kwargs: dict[str, Any], has_aux: bool
    ) -> None:
        self.fun = fun
        self.args = list(args)
        self.kwargs = kwargs
        self.has_aux = has_aux
        self.positions: Sequence[int] = ()
        self.treedefs: list[Any] = []
        self.aux: Any = None
        self.out_tree: Any = None

    def take_leaves(self, positions: Sequence[int], what: str) -> tuple[list[Any], list[bool]]:
        """Flatten the arguments at ``positions``; return their leaves, and which are weak."""
        values: list[Any] = []
        weak: list[bool] = []
        self.positions = positions
        for position in positions:
            arg = self.args[position]
            if type(arg) is np.ndarray or isinstance(arg, Tracer):
                flat, treedef = [arg], None
            else:
                flat, treedef = tree.flatten(arg)
            self.treedefs.append(treedef)
            for value in flat:
                if type(value) is np.ndarray and value.ndim and value.dtype is _FLOAT64:
                    values.append(value)
                    weak.append(False)
                else:
                    leaf = argument_leaf(value, lambda: self.place(what, len(values)))
                    values.append(leaf.value)
                    weak.append(leaf.weak)
        return values, weak

    def place(self, what: str, index: int) -> str:
        """Return how a message names the leaf number ``index``."""
        for position in self.positions:
            paths = tree.leaves_with_path(self.args[position])
            if index < len(paths):
                name = describe_function(self.fun)
                return f"{leaf_place(position, paths[index][0])} of {name} in {what}"
            index -= len(paths)
        raise AssertionError("no such leaf")

    def run(self, *leaves: Any) -> list[Any]:
        """Call the function with these leaves; return the leaves of its output."""
        args = list(self.args)
        self.put_leaves(args, leaves)
        out = self.fun(*args, **self.kwargs)
        if self.has_aux:
            out, self.aux = _split_aux(out, self.fun)
        if isinstance(out, (Tracer, np.generic)):
            self.out_tree = None
            return [out]
        flat, self.out_tree = tree.flatten(out)
        return flat

    def put_leaves(self, args: list[Any], leaves: Sequence[Any]) -> None:
        """Rebuild the trees of leaves at their positions of ``args``."""
        i = 0
        for position, treedef in zip(self.positions, self.treedefs):
            if treedef is None:
                args[position] = leaves[i]
                i += 1
            else:
                n = treedef.num_leaves
                args[position] = treedef.unflatten(leaves[i : i + n])
                i += n

    def trees_of(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """Return leaves as trees like the arguments they belong to."""
        args: list[Any] = [None] * len(self.args)
        self.put_leaves(args, leaves)
        return tuple(args[p] for p in self.positions)

    def output(self, leaves: Sequence[Any]) -> Any:
        """Return leaves as a tree like the output."""
        return leaves[0] if self.out_tree is None else self.out_tree.unflatten(leaves)


def _split_aux(out: Any, fun: Any) -> tuple[Any, Any]:
    if isinstance(out, (tuple, list)) and len(out) == 2:
        return out[0], out[1]
    raise TypeError(
        compose(
            f"{describe_function(fun)} returned {type(out).__name__}, not a pair.",
            "with has_aux=True a function returns (output, auxiliary data).",
        )
    )


class Aux:
    """Carries auxiliary leaves through a transformation beside the output's."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.count = 0
        self.treedef: Any = None
        self.kept: list[Any] = []

    def run(self, *leaves: Any) -> list[Any]:
        """Run the call; append the auxiliary leaves that are traced to its outputs."""
        outs = self.call.run(*leaves)
        self.count = len(outs)
        if not self.call.has_aux:
            return outs
        aux, self.treedef = tree.flatten(self.call.aux)
        self.kept = [None if isinstance(a, Tracer) else a for a in aux]
        return outs + [a for a in aux if isinstance(a, Tracer)]

    def split(self, outs: list[Any], owner: Owner) -> tuple[list[Any], Any]:
        """Return the outputs, which are the caller's own already, and the auxiliary tree."""
        if self.treedef is None:
            return outs, None
        traced = iter(outs[self.count :])
        aux = [
            owner.own_foreign(a) if type(a) is np.ndarray else a if a is not None else next(traced)
            for a in self.kept
        ]
        return outs[: self.count], self.treedef.unflatten(aux)


def linearize_call(call: Call, what: str) -> Any:
    """Run and record a call with private copies of its arguments; shared by vjp and linearize."""
    given, weak = call.take_leaves(range(len(call.args)), what)
    values = [v.copy() if type(v) is np.ndarray else v for v in given]
    moves = [is_inexact(v.dtype) for v in values]
    aux = Aux(call)
    outs, program = linearize_flat(
        aux.run, values, moves, transformation_name(what, call.fun), weak
    )
    owner = Owner()
    # An output may also be a residual, so it is always copied.
    owned = [owner.own_foreign(out) for out in outs]
    owned, aux_value = aux.split(owned, owner)
    program.outputs = program.outputs[: aux.count]
    call.args = [None] * len(call.args)  # the caller's arrays may go
    return owned, values, moves, program, aux_value
