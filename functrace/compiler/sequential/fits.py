"""Decides which loops and branches become one kernel: those whose values are all small."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from functrace.compiler.structured import holds_jaxprs, inner_jaxprs
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, JaxprEqn
from functrace.core.lowering import (
    Barrier,
    Elementwise,
    Indexed,
    Library,
    Nest,
    Reduction,
    Routines,
    View,
)

__all__ = ["fits_one_kernel"]

#: An array made inside may be so large, and all of them together.
ARRAY_BYTES, ALL_BYTES = 4096, 1 << 17
#: Larger products are faster as a call of BLAS.
MOST_PRODUCTS = 1 << 14
#: More equations than this take LLVM too long.
MOST_EQUATIONS = 2000

_ALWAYS = (Barrier, Elementwise, Indexed, Reduction, View)


def fits_one_kernel(eqn: JaxprEqn) -> bool:
    """Whether a loop or branch can be one kernel, whose arrays all live on the stack."""
    count = _Count()
    return all(count.jaxpr(closed) for closed in inner_jaxprs(eqn.primitive, eqn.params))


class _Count:
    def __init__(self) -> None:
        self.nbytes = 0
        self.equations = 0

    def jaxpr(self, closed: ClosedJaxpr) -> bool:
        return all(map(self.equation, closed.eqns))

    def equation(self, eqn: JaxprEqn) -> bool:
        self.equations += 1
        lowering = eqn.primitive.lowering
        avals = [v.aval for v in eqn.outvars]
        if isinstance(lowering, Nest) and lowering.scratch is not None:
            ins = [a.aval for a in eqn.invars]
            avals += [ShapedArray(s, np.dtype(d)) for s, d in lowering.scratch(ins, **eqn.params)]
        if not isinstance(lowering, (Barrier, View)) and not self.small(avals):
            return False
        if self.equations > MOST_EQUATIONS or self.nbytes > ALL_BYTES:
            return False
        if holds_jaxprs(eqn.primitive):
            return all(map(self.jaxpr, inner_jaxprs(eqn.primitive, eqn.params)))
        if isinstance(lowering, Library):
            return _products(eqn, lowering) <= MOST_PRODUCTS
        if isinstance(lowering, Routines):
            return self.routine(eqn, lowering)
        return isinstance(lowering, (*_ALWAYS, Nest))

    def small(self, avals: Sequence[ShapedArray]) -> bool:
        sizes = [math.prod(a.shape) * a.dtype.itemsize for a in avals]
        self.nbytes += sum(sizes)
        return max(sizes, default=0) <= ARRAY_BYTES

    def routine(self, eqn: JaxprEqn, lowering: Routines) -> bool:
        """Whether a factorisation is written out, without a call of LAPACK."""
        ins, outs = [a.aval for a in eqn.invars], [v.aval for v in eqn.outvars]
        scratch, stages = lowering.plan(ins, outs, np.dtype(np.int64), **eqn.params)
        return not scratch and all(map(callable, stages))


def _products(eqn: JaxprEqn, lowering: Library) -> int:
    """Return how many multiplications a matrix product of BLAS is."""
    avals = [a.aval for a in eqn.invars]
    product = lowering.rule(avals, **eqn.params)
    if product is None:
        return 0
    out = math.prod(eqn.outvars[0].aval.shape)
    return out * math.prod(avals[0].shape[d] for d in product.lhs_contracted)
