"""Products leave loops: many small ones become one large one before or after the loop.

A product of a matrix that never changes with a slice of each round is one product of all slices,
in front of the loop; a sum of products that a loop collects is one product after it.

A gradient with respect to a matrix that is used in each round is a sum of outer products. Adding
one to a large accumulator in each round moves far more memory than keeping the two factors; over
all rounds they are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from functrace.core.jaxpr import Atom, JaxprEqn, Var

__all__ = ["Product", "all_rows", "of_rows", "taken_out"]

#: Smaller accumulators stay in the cache or in registers.
_LEAST_ELEMENTS = 256
#: Products of fewer multiplications are as fast in the loop.
_LEAST_PRODUCTS = 256
#: The factors of all rounds may take so much memory.
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Product:
    """A product of each round that is added to the accumulator ``carry``."""

    carry: int
    eqn: JaxprEqn

    def params(self) -> dict[str, Any]:
        """Return the parameters of the product of the stacked factors, which sums the rounds."""
        (left, right), (left_batch, right_batch) = self.eqn.params["dimension_numbers"]
        moved = [tuple(d + 1 for d in axes) for axes in (left, right, left_batch, right_batch)]
        dims = (((0, *moved[0]), (0, *moved[1])), (moved[2], moved[3]))
        return self.eqn.params | {"dimension_numbers": dims}


def taken_out(
    eqns: list[JaxprEqn], carry: Sequence[Var], outs: list[Atom], length: int, fixed: set[Var]
) -> list[Product]:
    """Take products out of the accumulators of a loop's body; ``outs`` and ``eqns`` change.

    Args:
        eqns: the body.
        carry: its carried inputs.
        outs: its results, those that are carried first.
        length: how many rounds there are.
        fixed: variables that are the same in each round.
    """
    maker = {v: eqn for eqn in eqns for v in eqn.outvars}
    uses: dict[Atom, int] = {}
    for atom in (*outs, *(a for eqn in eqns for a in eqn.invars)):
        if isinstance(atom, Var):
            uses[atom] = uses.get(atom, 0) + 1
    found: list[Product] = []
    left = _MOST_BYTES
    for k, start in enumerate(carry):
        terms = _terms(start, outs[k], maker, uses)
        products = [eqn for term in terms or () if (eqn := _product(term, maker, uses, fixed))]
        cost = sum(length * _nbytes(a) for eqn in products for a in eqn.invars)
        if not products or cost > left or math.prod(start.aval.shape) < _LEAST_ELEMENTS:
            continue
        left -= cost
        found += [Product(k, eqn) for eqn in products]
        outs[k] = _without(start, outs[k], maker, {eqn.outvars[0] for eqn in products})
    return found


def _terms(
    start: Var, out: Atom, maker: dict[Var, JaxprEqn], uses: dict[Atom, int]
) -> list[Atom] | None:
    """Return what is added to a carry to make its next value, if that is all that happens."""
    terms: list[Atom] = []
    while out is not start:
        eqn = maker.get(out) if isinstance(out, Var) else None
        if eqn is None or eqn.primitive.name != "add" or uses[out] != 1:
            return None
        x, y = eqn.invars
        on_left = _leads_to(x, start, maker)
        terms.append(y if on_left else x)
        out = x if on_left else y
    return terms if uses[start] == 1 else None


def _leads_to(atom: Atom, start: Var, maker: dict[Var, JaxprEqn]) -> bool:
    """Whether an atom is the carry, or sums with it along first or second operands."""
    todo = [atom]
    while todo:
        atom = todo.pop()
        if atom is start:
            return True
        eqn = maker.get(atom) if isinstance(atom, Var) else None
        if eqn is not None and eqn.primitive.name == "add":
            todo += eqn.invars
    return False


def _product(
    term: Atom, maker: dict[Var, JaxprEqn], uses: dict[Atom, int], fixed: set[Var]
) -> JaxprEqn | None:
    eqn = maker.get(term) if isinstance(term, Var) else None
    if eqn is None or eqn.primitive.name != "dot_general" or uses[term] != 1:
        return None
    factors = [a for a in eqn.invars if isinstance(a, Var) and a not in fixed]
    smaller = sum(math.prod(a.aval.shape) for a in factors) < math.prod(term.aval.shape)
    return eqn if len(factors) == 2 and smaller else None


def _without(start: Var, out: Atom, maker: dict[Var, JaxprEqn], gone: set[Var]) -> Atom:
    """Return the sum without some of its terms; equations that lose one are skipped."""
    if out is start or not isinstance(out, Var):
        return out
    eqn = maker[out]
    if eqn.primitive.name != "add":
        return out
    x, y = eqn.invars
    for term, rest in ((x, y), (y, x)):
        if term in gone:
            return _without(start, rest, maker, gone)
    eqn.invars = [_without(start, a, maker, gone) for a in (x, y)]
    return out


def _nbytes(atom: Atom) -> int:
    return math.prod(atom.aval.shape) * atom.aval.dtype.itemsize


def of_rows(
    eqns: Sequence[JaxprEqn], rows: set[Var], fixed: set[Var], length: int
) -> list[tuple[JaxprEqn, bool]]:
    """Return the products of slices with constants, and whether the slice is the first factor."""
    found = []
    left = _MOST_BYTES
    for eqn in eqns:
        if eqn.primitive.name != "dot_general" or not _is_large(eqn):
            continue
        x, y = eqn.invars
        cost = length * _nbytes(eqn.outvars[0])
        by_rows = x in rows and y in fixed, y in rows and x in fixed
        (_, contracted), (batch, _) = eqn.params["dimension_numbers"]
        # The constant's axes come first: a slice second in order has none left to keep.
        alone = len(contracted) == y.aval.ndim
        if not batch and cost <= left and (by_rows[0] or (by_rows[1] and alone)):
            left -= cost
            found.append((eqn, by_rows[0]))
    return found


def all_rows(eqn: JaxprEqn, row_first: bool) -> dict[str, Any]:
    """Return the parameters of the product of all slices, which come first, with the constant."""
    (left, right), _ = eqn.params["dimension_numbers"]
    of_row, of_constant = (left, right) if row_first else (right, left)
    dims = ((tuple(d + 1 for d in of_row), tuple(of_constant)), ((), ()))
    return eqn.params | {"dimension_numbers": dims}


def _is_large(eqn: JaxprEqn) -> bool:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    products = math.prod(eqn.outvars[0].aval.shape) * math.prod(shape[d] for d in contracted)
    return bool(contracted) and products >= _LEAST_PRODUCTS
