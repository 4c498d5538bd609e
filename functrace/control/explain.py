"""Why a jitted function was traced again, and how much it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace import tree
from functrace.control.signature import CallSignature
from functrace.core.aval import ShapedArray
from functrace.source_info import describe_function

__all__ = ["JitCacheInfo", "explain_miss", "leaf_names"]


class JitCacheInfo(NamedTuple):
    """What a jitted function did and keeps.

    Attributes:
        misses: how many calls had to be traced.
        traces: how many signatures it knows.
        programs: how many of those are compiled.
    """

    misses: int
    traces: int
    programs: int


def explain_miss(fun: Any, key: CallSignature, known: Sequence[CallSignature], misses: int) -> str:
    """Say what of a call is unlike the most similar call that was traced before."""
    name = describe_function(fun)
    if not known:
        if misses:
            return (
                f"functrace traces {name} again: its trace isn't kept, because it captures a "
                "value that an outer transformation is tracing."
            )
        return f"functrace traces {name} for the first time."
    if key in known:
        return f"functrace traces {name} again: it captures a value being traced."
    # Of equally similar ones the latest.
    nearest = min(reversed(known), key=lambda old: _distance(old, key))
    changes = _changes(nearest, key)
    lines = "\n".join(f"  {change}" for change in changes)
    return f"functrace traces {name} again; unlike the most similar of {len(known)}:\n{lines}"


def _distance(old: CallSignature, new: CallSignature) -> tuple[bool, int]:
    """Order signatures by how unlike another they are: structure first, then each property."""
    pairs = [pair for a, b in zip(old.types, new.types) for pair in zip(a, b)]
    other = sum(a != b for a, b in pairs) + len(_static_changes(old.statics, new.statics))
    return old.treedef != new.treedef, other


def _changes(old: CallSignature, new: CallSignature) -> list[str]:
    found = _static_changes(old.statics, new.statics)
    if old.treedef != new.treedef:
        names = (set(leaf_names(s.treedef)) for s in (old, new))
        gone, come = (sorted(a - b) for a, b in _both_ways(*names))
        found += [f"{leaf} is not given any more" for leaf in gone]
        found += [f"{leaf} is new" for leaf in come]
        if not gone and not come:
            found.append(f"the structure was {old.treedef} and is {new.treedef}")
        return found
    for leaf, before, now in zip(leaf_names(new.treedef), old.types, new.types):
        if before != now:
            found.append(f"{leaf} was {_typed(before)} and is {_typed(now)}")
    return found


def _both_ways(a: Any, b: Any) -> list[tuple[Any, Any]]:
    return [(a, b), (b, a)]


def _static_changes(old: Sequence[Any], new: Sequence[Any]) -> list[str]:
    before, now = ({name: value for name, _, value in part} for part in (old, new))
    kinds = ({name: kind for name, kind, _ in part} for part in (old, new))
    kind_before, kind_now = kinds
    return [
        f"static argument {name!r} was {before.get(name, 'absent')!r} "
        f"and is {now.get(name, 'absent')!r}"
        for name in {**before, **now}
        if (before.get(name), kind_before.get(name)) != (now.get(name), kind_now.get(name))
    ]


def _typed(kind: tuple[Any, ...]) -> str:
    shape, dtype, weak = kind
    return f"{ShapedArray(shape, dtype, weak)}{' (a Python number)' if weak else ''}"


def leaf_names(treedef: Any) -> list[str]:
    """Return what to call each leaf of ``(args, kwargs)``.

    >>> leaf_names(tree.structure(([0, {"w": 0}], {"k": 0})))
    ['argument 0', "argument 1['w']", "argument 'k'"]
    """
    paths = tree.leaves_with_path(treedef.unflatten(range(treedef.num_leaves)))
    return [
        f"argument {path[1].idx if path[0].idx == 0 else repr(path[1].key)}{tree.keystr(path[2:])}"
        for path, _ in paths
    ]
