"""Which loops over independent rounds are run as SIMD lanes: those of scalars, with or without
loops and branches of their own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from functrace.compiler.emit.llvm.simd import straight
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.plan import Body, Group, Op
from functrace.compiler.sequential.polling import body_work
from functrace.core.lowering import Branches, Elementwise, Scan, While

__all__ = ["lane_width", "round_grain"]

#: Two of the widest registers: while one waits for its results the other computes.
_LANE_BYTES, _MOST_LANES = 128, 32
#: Fewer rounds than this are run one after the other.
_FEW = 4
#: A piece of rounds for one thread is worth about this many scalar operations.
_PIECE = 1 << 16
#: How many times all lanes a thread takes at once, and into how many pieces it cuts at most.
_LEAST_TURNS, _MOST_TURNS, _PIECES = 4, 32, 8


def lane_width(op: Op) -> int:
    """Return how many rounds of a scan are run at once as lanes; 0 if they are not."""
    if not isinstance(_lowering(op), Scan) or op.params["num_carry"] or op.params["length"] < _FEW:
        return 0
    (body,) = op.bodies
    whiles = [g for g in body.groups if isinstance(_only(g), While)]
    if len(whiles) != 1 or not all(_scalar(group) for group in body.groups):
        return 0
    sizes = _sizes(body)
    return min(_LANE_BYTES // max(sizes), _MOST_LANES) if sizes else 0


def round_grain(op: Op) -> int:
    """Return how many rounds a piece has: those of a loop that carries nothing are independent.

    A loop whose rounds are not gives 0, and so does a branch.
    """
    if not isinstance(_lowering(op), Scan) or op.params["num_carry"] or op.params["length"] == 1:
        return 0
    width = lane_width(op)
    if width:
        return _lane_grain(op.params["length"], width)
    return max(1, _PIECE // body_work(op.bodies[0]))


def _lane_grain(n: int, width: int) -> int:
    """Return how many of ``n`` rounds are a piece for one thread."""
    turns = -(-n // (width * _PIECES))
    return width * min(max(turns, _LEAST_TURNS), _MOST_TURNS)


def _scalar(group: Group, inner: bool = False) -> bool:
    """Whether a group is operations on single elements that SIMD instructions do."""
    if group.kind == "sequence":
        (op,) = group.body
        allowed = Branches if inner else (Branches, While)
        return isinstance(_lowering(op), allowed) and all(
            _scalar(part, True) for body in op.bodies for part in body.groups
        )
    arrays = [*(a for op in group.ops for a in op.outs), *(r.array for r in group.loads())]
    return group.kind == "loop" and all(a.size == 1 for a in arrays) and all(map(_plain, group.ops))


def _plain(op: Op) -> bool:
    if not isinstance(op.lowering, Elementwise):
        return False
    params = tuple(sorted(op.params.items()))
    return _vectorises(op.lowering, tuple(x.dtype for x in op.operands), params)


@lru_cache(maxsize=4096)
def _vectorises(rule: Elementwise, dtypes: tuple[Any, ...], params: tuple[Any, ...]) -> bool:
    b = KernelBuilder()
    args = [b.buffer(d, "inout").load(0) for d in dtypes]
    loads = len(b._regions[0].stmts)
    rule.rule(b, *args, **dict(params))
    (body,) = b._regions
    del body.stmts[:loads]
    return straight(body, _MOST_LANES, memory=False)


def _only(group: Group) -> Any:
    return _lowering(group.body[0]) if group.kind == "sequence" else None


def _lowering(op: Op) -> Any:
    return op.eqn.primitive.lowering if op.eqn is not None else None


def _sizes(body: Body) -> list[int]:
    """Return how many bytes the numbers have that are computed with."""
    arrays = [*body.program.inputs, *(a for op in body.program.ops for a in op.outs)]
    sizes = [_real_size(a.dtype) for a in arrays if a.dtype.kind != "b"]
    for group in body.groups:
        for op in group.ops:
            for inner in op.bodies:
                sizes += _sizes(inner)
    return sizes


def _real_size(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize // 2 if dtype.kind == "c" else max(dtype.itemsize, 4)
