"""The steady state of a jitted call: code generated for one tree structure.

A call goes: take the leaves out of the arguments, hand them to the native program (which checks
their types), build the output tree. For the built-in containers this is straight-line Python made
for the structure at hand; other containers go through optree. Anything unexpected is a ``MISS``,
and the caller takes the general path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from functrace import tree
from functrace.control.captured import CapturedArrays
from functrace.control.donation import give_back, written_over
from functrace.control.signature import Exact, Statics, exact
from functrace.core.trace import detours

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled
    from functrace.compiler.runtime.program import Program

__all__ = ["MISS", "FastCall", "make_fast_call", "straight_class"]

MISS = object()
"""What a fast call returns when the call isn't the one it was made for."""

FastCall = Callable[[Sequence[Any], dict[str, Any]], Any]


class _Writer:
    """Collects the lines of the generated function and the values it refers to.

    ``miss`` is its statement for calls that aren't like the one it is made for.
    """

    def __init__(self, miss: str = "return MISS") -> None:
        self.miss = miss
        self.lines: list[str] = []
        self.values: dict[str, Any] = {"MISS": MISS}
        self.leaves: list[str] = []
        self.count = 0

    def name(self, stem: str) -> str:
        """Return a new name."""
        self.count += 1
        return f"{stem}{self.count}"

    def keep(self, value: Any) -> str:
        """Return a name for a value."""
        name = self.name("v")
        self.values[name] = value
        return name

    def miss_unless(self, condition: str) -> None:
        """Give up unless a condition holds."""
        self.lines.append(f"if not ({condition}): {self.miss}")

    def read_positional(self, args: Sequence[Any], statics: Collection[int] = ()) -> None:
        """Take the leaves out of positional arguments like these."""
        # One instruction takes the arguments apart and counts them.
        places = [f"a{i}" for i in range(len(args))]
        self.lines.append(f"[{', '.join(places)}] = args")
        for i, (place, arg) in enumerate(zip(places, args)):
            _read_argument(self, place, arg, i in statics)

    def read(self, place: str, example: Any) -> None:
        """Take the leaves out of the value at ``place``, of the structure of ``example``."""
        kind = type(example)
        if example is None:
            self.miss_unless(f"{place} is None")
        elif kind in (tuple, list):
            self.miss_unless(f"type({place}) is {kind.__name__} and len({place}) == {len(example)}")
            for i, child in enumerate(example):
                self.read_child(f"{place}[{i}]", child)
        elif kind is dict:
            self.miss_unless(f"type({place}) is dict and len({place}) == {len(example)}")
            for key in sorted(example, key=_dict_order(example)):
                self.read_entry(f"{place}[{self.constant(key)}]", example[key])
        elif tree.structure(example) == tree.structure(0):
            self.leaves.append(place)
        else:
            self.read_any(place, example)

    def read_child(self, place: str, example: Any) -> None:
        """Read a child; containers get a name of their own first."""
        if tree.structure(example) == tree.structure(0):
            self.leaves.append(place)
            return
        self.read_entry(place, example)

    def read_entry(self, place: str, example: Any) -> None:
        """Read a value that may be missing from a dict: even a leaf gets a name here."""
        name = self.name("t")
        self.lines.append(f"{name} = {place}")
        self.read(name, example)

    def read_any(self, place: str, example: Any) -> None:
        """Read a container of another class through optree."""
        flat, treedef = tree.flatten(example)
        name = self.name("t")
        flatten, wanted = self.keep(tree.flatten), self.keep(treedef)
        self.lines.append(f"{name}, d = {flatten}({place})")
        self.miss_unless(f"d == {wanted}")
        self.leaves += [f"{name}[{i}]" for i in range(len(flat))]

    def constant(self, value: Any) -> str:
        """Return the text of a dict key."""
        return repr(value) if type(value) in (str, int, bool) else self.keep(value)

    def build(self, example: Any) -> str:
        """Return the expression of an output tree, whose example's leaves are positions."""
        kind = type(example)
        if kind is int:
            return f"out[{example}]"
        if example is None:
            return "None"
        if kind is tuple:
            return f"({''.join(self.build(c) + ', ' for c in example)})"
        if kind is list:
            return f"[{', '.join(self.build(c) for c in example)}]"
        if kind is dict:
            items = (f"{self.constant(k)}: {self.build(c)}" for k, c in example.items())
            return f"{{{', '.join(items)}}}"
        flat, treedef = tree.flatten(example)
        return f"{self.keep(treedef.unflatten)}([{', '.join(f'out[{i}]' for i in flat)}])"


def _dict_order(example: dict[Any, Any]) -> Callable[[Any], int]:
    """Return optree's order of the keys of a dict."""
    positions = tree.unflatten(
        tree.structure(example, is_leaf=lambda x: x is not example),
        range(len(example)),
    )
    return lambda key: int(positions[key])


def make_fast_call(
    statics: Statics,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    out_tree: Any,
    program: Compiled,
    captured: CapturedArrays,
    donations: Sequence[tuple[int, int]] = (),
    out: Any = None,
) -> FastCall:
    """Return the fast path for calls like this one.

    Args:
        statics: which arguments are static.
        args: the positional arguments of the call.
        kwargs: its keyword arguments.
        out_tree: the structure of the output.
        program: the compiled program; its native call checks the leaves.
        captured: arrays to compare before each call.
        donations: which leaves' arrays are given back as which results.
        out: the tree of arrays that the results were written to, for calls with ``out=``.
    """
    writer = _Writer()
    count = len(kwargs) + (out is not None)
    writer.miss_unless(f"len(kwargs) == {count}" if count else "not kwargs")
    writer.read_positional(args, statics.argnums)
    for i, key in enumerate(sorted(kwargs)):
        writer.lines.append(f"k{i} = kwargs[{key!r}]")
        _read_argument(writer, f"k{i}", kwargs[key], key in statics.argnames)
    if out is not None:
        writer.lines.append("buffers = kwargs['out']")
        _read_argument(writer, "buffers", out, False)
    run = [f"{writer.keep(captured.check)}()"] if captured.some else []
    if out is not None:
        into = writer.keep(program.program.into)
        run += [
            f"if {into}({', '.join(writer.leaves)}) is None: return MISS",
            "return buffers",
        ]
    else:
        over = written_over(program.program, donations)
        run += [
            *_call_lines(writer, program.program, over),
            "if out is None: return MISS",
            *_donation_lines(writer, [(leaf, k) for leaf, k in donations if k not in over]),
            f"return {writer.build(out_tree.unflatten(range(out_tree.num_leaves)))}",
        ]
    # Only a look at the arguments may miss: an error of the run is the user's.
    read, call_and_build = "\n        ".join(writer.lines), "\n    ".join(run)
    source = (
        "def fast_call(args, kwargs):\n"
        f"    try:\n        {read}\n"
        "    except (KeyError, ValueError):\n        return MISS\n"
        f"    {call_and_build}\n"
    )
    namespace = dict(writer.values)
    exec(_code(source), namespace)
    return namespace["fast_call"]  # type: ignore[no-any-return]


def straight_class(base: type[Any], args: Sequence[Any], out_tree: Any) -> type[Any] | None:
    """Return a kind of ``base`` whose instances call their ``_program`` at once, or None.

    It is for arguments like these, of which only the structure of built-in containers is to be
    looked at; all other calls go to ``_call_otherwise``. Python looks for ``__call__`` in the class
    only, and functions of one structure share it, so what it refers to is in the instance. Of an
    output that is one leaf, ``_program`` returns that itself.
    """
    otherwise = "return self._call_otherwise(args, kwargs)"
    writer = _Writer(otherwise)
    writer.read_positional(args)
    built = writer.build(out_tree.unflatten(range(out_tree.num_leaves)))
    built = "out" if built == "out[0]" else built
    if len(writer.values) > 1:
        return None
    read = "\n            ".join(writer.lines)
    source = (
        "def __call__(self, *args, **kwargs):\n"
        "    if not detours and not kwargs:\n"
        f"        try:\n            {read}\n"
        f"        except (KeyError, ValueError):\n            {otherwise}\n"
        f"        out = self._program({', '.join(writer.leaves)})\n"
        f"        if out is not None:\n            return {built}\n"
        f"    {otherwise}\n"
    )
    return _class_of(base, source)  # type: ignore[arg-type]  # classes can be hashed


@lru_cache(maxsize=256)
def _class_of(base: type[Any], source: str) -> type[Any]:
    """Return the class with this call."""
    namespace: dict[str, Any] = {"detours": detours}
    exec(_code(source), namespace)
    names = {"__slots__": (), "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), {"__call__": namespace["__call__"], **names})


@lru_cache(maxsize=256)
def _code(source: str) -> CodeType:
    """Return the code of a fast path; those for other shapes read the same."""
    return compile(source, "<functrace fast call>", "exec")


def _call_lines(writer: _Writer, program: Program, over: dict[int, int]) -> list[str]:
    """Return what runs the program; results are written ``over`` leaves where there are any."""
    if not over:
        return [f"out = {writer.keep(program.call)}({', '.join(writer.leaves)})"]
    empty, lines, outs, results = writer.keep(np.empty), [], [], []
    for k, spec in enumerate(program.outputs):
        name = writer.leaves[over[k]] if k in over else f"o{k}"
        if k not in over:
            dtype = writer.keep(spec.dtype)
            lines.append(f"{name} = {empty}({spec.shape}, {dtype})")
        outs.append(name)
        results.append(name if spec.shape else f"{name}[()]")
    given = set(over.values())
    leaves = [leaf for i, leaf in enumerate(writer.leaves) if i not in given]
    into = writer.keep(program.into)
    run = f"out = {into}({', '.join([*leaves, *outs])}) and [{', '.join(results)}]"
    return [*lines, run]


def _donation_lines(writer: _Writer, donations: Sequence[tuple[int, int]]) -> list[str]:
    """Return what copies results into the other donated arrays."""
    if not donations:
        return []
    pairs = "".join(f"({writer.leaves[leaf]}, {out}), " for leaf, out in donations)
    return [f"{writer.keep(give_back)}(({pairs}), out)"]


def _read_argument(writer: _Writer, place: str, arg: Any, static: bool) -> None:
    if static:
        kind, value, given = writer.keep(type(arg)), writer.keep(exact(arg)), place
        if isinstance(exact(arg), Exact):
            given = f"{writer.keep(exact)}({place})"
        writer.miss_unless(f"type({place}) is {kind} and {given} == {value}")
    else:
        example, treedef = tree.flatten(arg)
        writer.read(place, treedef.unflatten([0] * len(example)))
