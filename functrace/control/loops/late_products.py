"""Products summed over a loop, computed after it: one large product instead of many small ones.

The cotangent of a matrix that each step multiplies by is a sum of outer products. The loop stacks
their factors, and one matrix product over all steps at once adds them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace.control.loops.residuals import needed_eqns, same_every_step
from functrace.core.jaxpr import Atom, Jaxpr, JaxprEqn, Var
from functrace.core.trace import Primitive
from functrace.ops.arithmetic import add_p, neg_p
from functrace.ops.contraction import dot_general_p
from functrace.ops.structural import reshape_p, squeeze_p, transpose_p

__all__ = ["LateProduct", "WithoutProducts", "without_products"]

WORTH = 256
"""Sums with fewer elements stay in the loop, where they may be scalars of one kernel."""

_COMMUTES = (transpose_p, reshape_p, squeeze_p, neg_p)


class LateProduct(NamedTuple):
    """A product that is summed over the steps, by the numbers of its stacked factors.

    Attributes:
        left: the number of the first factor's stack.
        right: that of the second.
        params: the parameters of ``dot_general`` in one step.
        after: what is applied to the sum.
    """

    left: int
    right: int
    params: dict[str, Any]
    after: tuple[tuple[Primitive, dict[str, Any]], ...]

    def total(self, stacks: Sequence[Any]) -> Any:
        """Return the sum over all steps."""
        (cx, cy), (bx, by) = self.params["dimension_numbers"]
        dims = ((_behind(cx, True), _behind(cy, True)), (_behind(bx), _behind(by)))
        params = {**self.params, "dimension_numbers": dims}
        out = dot_general_p.bind(stacks[self.left], stacks[self.right], **params)
        for primitive, more in self.after:
            out = primitive.bind(out, **more)
        return out


def _behind(axes: Sequence[int], steps: bool = False) -> tuple[int, ...]:
    """Return axes of one step's array as those of the stack, and the axis of the steps."""
    return (*((0,) if steps else ()), *(a + 1 for a in axes))


class WithoutProducts(NamedTuple):
    """A body without the sums of products.

    Attributes:
        jaxpr: its outputs are the sums that are left, what it had beside them, and factors.
        left: which sums are left.
        products: what is to be added to each sum.
        n_factors: how many outputs at the end are to be stacked for that.
    """

    jaxpr: Jaxpr
    left: tuple[bool, ...]
    products: tuple[tuple[LateProduct, ...], ...]
    n_factors: int


def without_products(
    jaxpr: Jaxpr, n_sums: int, n_consts: int, n_carry: int, n_ys: int
) -> WithoutProducts:
    """Take the products out of the sums of a transposed body.

    Args:
        jaxpr: of constants, known slices, cotangents of the carry and of ys; its first ``n_sums``
            outputs are summed over the steps.
        n_sums: how many.
        n_consts: how many constants.
        n_carry: how many cotangents of the carry.
        n_ys: how many cotangents of ys.
    """
    last = len(jaxpr.invars) - n_ys
    slices = [*jaxpr.invars[n_consts : last - n_carry], *jaxpr.invars[last:]]
    taker = _Taker(jaxpr, jaxpr.invars[:n_consts], slices)
    sums = [taker.split(term) for term in jaxpr.outvars[:n_sums]]
    outs = [a for a, _ in sums if a is not None]
    outs += [*jaxpr.outvars[n_sums:], *taker.factors[len(slices) :]]
    eqns = needed_eqns([*jaxpr.eqns, *taker.adds], outs)
    return WithoutProducts(
        Jaxpr(jaxpr.constvars, jaxpr.invars, outs, eqns),
        tuple(a is not None for a, _ in sums),
        tuple(products for _, products in sums),
        len(taker.factors) - len(slices),
    )


class _Taker:
    """Takes products out of sums; ``factors`` are the slices there are, then those to stack."""

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Var], slices: Sequence[Var]) -> None:
        self.made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
        self.same = same_every_step(jaxpr.eqns, consts)
        self.factors: list[Any] = list(slices)
        self.adds: list[JaxprEqn] = []

    def split(self, term: Atom) -> tuple[Atom | None, tuple[LateProduct, ...]]:
        """Return what stays of a sum, if anything, and the products in it."""
        if term.aval.size < WORTH:
            return term, ()
        staying: list[Atom] = []
        products = []
        for part in self.parts(term):
            product = self.product(part)
            if product is None:
                staying.append(part)
            else:
                products.append(product)
        if not products:
            return term, ()
        return (self.sum(staying) if staying else None), tuple(products)

    def parts(self, term: Atom) -> list[Atom]:
        eqn = self.made.get(term) if isinstance(term, Var) else None
        if eqn is None or eqn.primitive is not add_p:
            return [term]
        if any(a.aval.shape != term.aval.shape for a in eqn.invars):
            return [term]
        return [part for a in eqn.invars for part in self.parts(a)]

    def sum(self, terms: Sequence[Atom]) -> Atom:
        total = terms[0]
        for term in terms[1:]:
            out = Var(total.aval.strong())
            self.adds.append(JaxprEqn(add_p, [total, term], [out], {}))
            total = out
        return total

    def product(self, term: Atom) -> LateProduct | None:
        """Return a term as a product, if it is one of factors that change from step to step."""
        after = []
        eqn = self.made.get(term) if isinstance(term, Var) else None
        while eqn is not None and eqn.primitive in _COMMUTES:
            after.append((eqn.primitive, eqn.params))
            term = eqn.invars[0]
            eqn = self.made.get(term) if isinstance(term, Var) else None
        if eqn is None or eqn.primitive is not dot_general_p:
            return None
        if any(not isinstance(a, Var) or a in self.same for a in eqn.invars):
            return None
        left, right = (self.number(a) for a in eqn.invars)
        return LateProduct(left, right, eqn.params, tuple(after[::-1]))

    def number(self, factor: Atom) -> int:
        if factor not in self.factors:
            self.factors.append(factor)
        return self.factors.index(factor)
