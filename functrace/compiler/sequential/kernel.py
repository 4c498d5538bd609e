"""A group that is one loop or branch -> one kernel."""

from __future__ import annotations

from functrace.compiler.codegen.kernels import KernelMaker, StepCode
from functrace.compiler.ir.builder import Index, KernelBuilder
from functrace.compiler.ir.strips import in_strips
from functrace.compiler.plan import Array, Group, Memory, Op
from functrace.compiler.sequential.lanes import lane_grain, lane_width
from functrace.compiler.sequential.loops import Sequencer
from functrace.compiler.sequential.polling import body_work
from functrace.compiler.sequential.scope import Memory as Place
from functrace.compiler.sequential.scope import Scope
from functrace.core.lowering import Scan

__all__ = ["sequential_kernel"]

#: Loops of up to so many rounds are written out.
_UNROLLED = 4
#: A piece of rounds for one thread is worth about this many scalar operations.
_PIECE = 1 << 16


def sequential_kernel(group: Group, memory: Memory) -> StepCode:
    """Return the step of a loop or branch over small values."""
    (op,) = group.body
    maker = KernelMaker(group, memory)
    b = maker.b
    b.unrolled = _UNROLLED
    scope = _Frame(maker, op)
    sequencer = _Outermost(maker)
    grain = _grain(op)
    sequencer.structure(op, scope, (b.lo, b.hi) if grain else None)
    for array in op.outs:
        if array.size == 1:
            maker.buffer(array).store(0, scope.value(array))
    return maker.finish(op.params["length"] if grain else 1, grain, passes=[in_strips])


def _grain(op: Op) -> int:
    """Return how many rounds a piece has: those of a loop that carries nothing are independent."""
    lowering = op.eqn.primitive.lowering if op.eqn is not None else None
    if not isinstance(lowering, Scan) or op.params["num_carry"] or op.params["length"] == 1:
        return 0
    width = lane_width(op)
    if width:
        return lane_grain(op.params["length"], width)
    return max(1, _PIECE // body_work(op.bodies[0]))


class _Frame(Scope):
    """The arrays around the kernel, in the slots of the frame."""

    b: KernelBuilder

    def __init__(self, maker: KernelMaker, op: Op) -> None:
        super().__init__(maker.b, None)
        self.maker = maker
        # Read once, before all loops.
        for read in op.reads:
            if read.array.size == 1:
                self.values[read.array] = maker.buffer(read.array).load(0)

    def given(self, array: Array) -> Place | None:
        return self.maker.buffer(array) if array in self.maker.memory.slots else None


class _Outermost(Sequencer):
    """Lengths of the outermost loop are in the record."""

    def __init__(self, maker: KernelMaker) -> None:
        super().__init__(maker.b, maker.sites)
        self.maker = maker
        self.outermost = True

    def length(self, n: int) -> Index:
        known, self.outermost = not self.outermost, False
        return n if known else self.maker.number(n)
