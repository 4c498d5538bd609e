"""The table of algebraic rewrites: named, each keeps every bit unless its docstring says otherwise.

A rule gets the rewriter, the operands and the parameters of an equation, and returns the atom that
takes the place of its result, or None. Add one with ``@rewrite("primitive", ...)``; the tests hold
every entry of ``REWRITES`` to the law "same value" on the operands in ``tests``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from functrace.core.jaxpr import Atom, Literal

if TYPE_CHECKING:
    from functrace.compiler.rewriting.simplify import Rewriter

__all__ = ["REWRITES", "rewrite"]

Params = dict[str, Any]
Rule = Callable[["Rewriter", list[Atom], Params], Atom | None]

REWRITES: dict[str, list[Rule]] = {}

#: A window may be so many times smaller than the array it is added to.
_MOST_AROUND = 8


def rewrite(*primitives: str) -> Callable[[Rule], Rule]:
    """Enter a rule into the table, for primitives by name."""

    def enter(rule: Rule) -> Rule:
        for name in primitives:
            REWRITES.setdefault(name, []).append(rule)
        return rule

    return enter


def _is(atom: Atom, value: float) -> bool:
    """Whether an atom is this number, the sign of zero included."""
    if not isinstance(atom, Literal):
        return False
    x = np.asarray(atom.val)
    if x.dtype.kind not in "fiu" or x != value:
        return False
    return x.dtype.kind != "f" or bool(np.signbit(x)) == (math.copysign(1, value) < 0)


def _exact_zero(atom: Atom) -> bool:
    """Whether adding an atom changes nothing: 0 of an integer, -0.0 of a float."""
    return _is(atom, -0.0) if atom.aval.dtype.kind == "f" else _is(atom, 0)


def _same(atom: Atom, like: Atom) -> Atom | None:
    """An operand as the result, if it has the result's shape."""
    return atom if atom.aval.shape == like.aval.shape or not like.aval.shape else None


# --- arithmetic --------------------------------------------------------------------------------


@rewrite("add")
def add_zero(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x + 0 = x for integers, x + -0.0 = x for floats."""
    x, y = invars
    if _exact_zero(y):
        return _same(x, y)
    return _same(y, x) if _exact_zero(x) else None


def _negated(r: Rewriter, atom: Atom) -> Atom | None:
    """What an atom is the negative of: of a product, if a factor is and nobody else reads it."""
    eqn = r.made_by(atom, "neg")
    if eqn is not None:
        return eqn.invars[0]
    eqn = r.made_by(atom, "mul")
    if eqn is None or atom.aval.dtype.kind == "c" or not r.used_once(atom):
        return None
    x, y = eqn.invars
    inner = r.made_by(x, "neg")
    if inner is not None:
        return r.apply("mul", inner.invars[0], y)
    inner = r.made_by(y, "neg")
    return None if inner is None else r.apply("mul", x, inner.invars[0])


@rewrite("add")
def add_neg(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x + -y = x - y."""
    x, y = invars
    other = _negated(r, y)
    if other is not None:
        return r.apply("sub", x, other)
    other = _negated(r, x)
    return None if other is None else r.apply("sub", y, other)


@rewrite("sub")
def sub_zero(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x - 0 = x."""
    x, y = invars
    return _same(x, y) if _is(y, 0.0) else None


@rewrite("sub")
def sub_neg(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x - -y = x + y."""
    x, y = invars
    other = _negated(r, y)
    return None if other is None else r.apply("add", x, other)


@rewrite("neg")
def neg_neg(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """--x = x."""
    eqn = r.made_by(invars[0], "neg")
    return None if eqn is None else eqn.invars[0]


@rewrite("mul")
def mul_one(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x * 1 = x."""
    x, y = invars
    if _is(y, 1.0):
        return _same(x, y)
    return _same(y, x) if _is(x, 1.0) else None


@rewrite("mul")
def mul_minus_one(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x * -1 = -x."""
    x, y = invars
    if x.aval.dtype.kind not in "fi":
        return None
    if _is(y, -1.0):
        return r.apply("neg", x)
    return r.apply("neg", y) if _is(x, -1.0) else None


def _both_negated(r: Rewriter, invars: list[Atom]) -> list[Atom] | None:
    eqns = [r.made_by(a, "neg") for a in invars]
    return None if None in eqns else [e.invars[0] for e in eqns if e is not None]


@rewrite("mul")
def mul_neg_neg(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """-x * -y = x * y."""
    inner = _both_negated(r, invars)
    return None if inner is None else r.apply("mul", *inner)


@rewrite("div")
def div_neg_neg(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """-x / -y = x / y."""
    inner = _both_negated(r, invars)
    return None if inner is None else r.apply("div", *inner)


@rewrite("div")
def div_one(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x / 1 = x."""
    x, y = invars
    return _same(x, y) if _is(y, 1.0) else None


@rewrite("div")
def div_power_of_two(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """x / 2**k = x * 2**-k, where both are normal numbers.

    One number is left alone: it may be a mean, whose kernel is the same for all sizes so.
    """
    x, y = invars
    if not isinstance(y, Literal) or y.aval.dtype.kind != "f" or x.aval.size == 1:
        return None
    mantissa, exponent = math.frexp(float(y.val))
    limit = 12 if y.aval.dtype.itemsize == 2 else 120
    if abs(mantissa) != 0.5 or abs(exponent) > limit:
        return None
    return r.apply("mul", x, Literal(y.aval.dtype.type(1 / float(y.val))))


# --- conversion and selection ------------------------------------------------------------------


@rewrite("convert_element_type")
def convert_same(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A conversion to the dtype a value has is nothing."""
    return invars[0] if invars[0].aval.dtype == params["new_dtype"] else None


@rewrite("convert_element_type")
def convert_back(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """Widening without loss and converting on is one conversion, or none."""
    eqn = r.made_by(invars[0], "convert_element_type")
    if eqn is None:
        return None
    x, wide, last = eqn.invars[0], invars[0].aval.dtype, params["new_dtype"]
    return x if x.aval.dtype == last and _holds_all(wide, x.aval.dtype) else None


def _holds_all(wide: np.dtype[Any], narrow: np.dtype[Any]) -> bool:
    """Whether each value of a dtype is one of another (NumPy calls int64 -> float64 safe)."""
    if narrow.kind in "iu" and wide.kind in "fc":
        return 8 * narrow.itemsize <= np.finfo(wide).nmant + 1
    return np.can_cast(narrow, wide, "safe")


@rewrite("copy", "stop_gradient")
def identity(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """What means something to transformations only is nothing."""
    return invars[0]


@rewrite("select_n")
def select_same(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A choice between a value and itself is no choice."""
    which, first, *rest = invars
    if isinstance(first, Literal) or any(case is not first for case in rest):
        return None
    return _same(first, which)


@rewrite("not")
def not_not(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """The negation of a negation is nothing."""
    eqn = r.made_by(invars[0], "not")
    return None if eqn is None else eqn.invars[0]


@rewrite("abs")
def abs_neg(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """|-x| = |x|, except where -x wraps around to what is its own modulus: unsigned."""
    eqn = r.made_by(invars[0], "neg")
    if eqn is None or invars[0].aval.dtype.kind == "u":
        return None
    return r.apply("abs", eqn.invars[0])


@rewrite("real")
def real_of_pair(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """The real part of complex(x, y) is x."""
    eqn = r.made_by(invars[0], "complex")
    return None if eqn is None else _same(eqn.invars[0], invars[0])


@rewrite("imag")
def imag_of_pair(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """The imaginary part of complex(x, y) is y."""
    eqn = r.made_by(invars[0], "complex")
    return None if eqn is None else _same(eqn.invars[1], invars[0])


@rewrite("conj")
def conj_conj(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """The conjugate of a conjugate is nothing."""
    eqn = r.made_by(invars[0], "conj")
    if eqn is None or eqn.invars[0].aval.dtype != invars[0].aval.dtype:
        return None
    return eqn.invars[0]


# --- structure ---------------------------------------------------------------------------------


@rewrite("full")
def full_is_broadcast(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A constant array is a broadcast literal."""
    value = Literal(np.asarray(params["fill_value"]).astype(params["dtype"])[()])
    if not params["shape"]:
        return value
    return r.apply("broadcast_in_dim", value, shape=params["shape"], broadcast_dimensions=())


@rewrite("broadcast_in_dim")
def broadcast_same(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A broadcast to the shape a value has is nothing."""
    return invars[0] if invars[0].aval.shape == params["shape"] else None


@rewrite("broadcast_in_dim")
def broadcast_twice(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A broadcast of a broadcast is one."""
    eqn = r.made_by(invars[0], "broadcast_in_dim")
    if eqn is None:
        return None
    outer, inner = params["broadcast_dimensions"], eqn.params["broadcast_dimensions"]
    dims = tuple(outer[d] for d in inner)
    return r.apply(
        "broadcast_in_dim", eqn.invars[0], shape=params["shape"], broadcast_dimensions=dims
    )


@rewrite("transpose")
def transpose_same(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """The identity permutation is nothing."""
    permutation = params["permutation"]
    return invars[0] if permutation == tuple(range(len(permutation))) else None


@rewrite("transpose")
def transpose_twice(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A transpose of a transpose is one."""
    eqn = r.made_by(invars[0], "transpose")
    if eqn is None:
        return None
    first = eqn.params["permutation"]
    permutation = tuple(first[i] for i in params["permutation"])
    return r.apply("transpose", eqn.invars[0], permutation=permutation)


@rewrite("rev")
def rev_twice(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """Reversing the same axes twice is nothing."""
    eqn = r.made_by(invars[0], "rev")
    if eqn is None or sorted(eqn.params["dimensions"]) != sorted(params["dimensions"]):
        return None
    return eqn.invars[0]


@rewrite("reshape")
def reshape_twice(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A reshape of a reshape is one."""
    eqn = r.made_by(invars[0], "reshape")
    return None if eqn is None else r.apply("reshape", eqn.invars[0], **params)


@rewrite("reshape")
def reshape_same(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A reshape to the shape a value has is nothing."""
    return invars[0] if invars[0].aval.shape == params.get("new_sizes") else None


@rewrite("reduce_sum")
def sum_of_repeats(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """Summing what was repeated n times is multiplying by n: floats round once instead of often."""
    x, axes = invars[0], params["axes"]
    eqn = r.made_by(x, "broadcast_in_dim")
    if eqn is None or x.aval.size == 0 or x.aval.dtype.kind == "c":
        return None
    (narrow,) = eqn.invars
    dims, shape = eqn.params["broadcast_dimensions"], x.aval.shape
    repeated = {d for d in range(len(shape)) if d not in dims}
    if not repeated.issuperset(axes):
        return None
    count = math.prod(shape[a] for a in axes)
    if x.aval.dtype.kind == "f" and count > 1 << 10 * (x.aval.dtype.itemsize // 2):
        return None
    scaled = r.apply("mul", narrow, Literal(np.asarray(count).astype(x.aval.dtype)[()]))
    kept = [d for d in range(len(shape)) if d not in axes]
    place = {d: i for i, d in enumerate(kept)}
    return r.apply(
        "broadcast_in_dim",
        scaled,
        shape=tuple(shape[d] for d in kept),
        broadcast_dimensions=tuple(place[d] for d in dims),
    )


@rewrite("dynamic_update_slice")
def window_sum(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """Adding to a window at a known place is adding zeros around it too, all in one pass."""
    target, update, *starts = invars
    eqn = r.made_by(update, "add", "sub")
    wide, narrow = target.aval.shape, update.aval.shape
    if eqn is None or not r.used_once(update) or target.aval.dtype.kind not in "fiu":
        return None
    if math.prod(narrow) * _MOST_AROUND < math.prod(wide) or not narrow:
        return None
    if not all(isinstance(a, Literal) for a in starts):
        return None
    x, y = eqn.invars
    if eqn.primitive.name == "add" and not _sees(r, x, invars):
        x, y = y, x
    if not _sees(r, x, invars) or y.aval.shape != narrow:
        return None
    firsts = [
        max(0, min(int(np.asarray(a.val)), n - k))  # type: ignore[union-attr]
        for a, n, k in zip(starts, wide, narrow)
    ]
    around = tuple((i, n - k - i, 0) for i, n, k in zip(firsts, wide, narrow))
    # What adding or subtracting leaves every float as it is, minus zero too.
    nothing = -0.0 if eqn.primitive.name == "add" else 0.0
    zero = Literal(np.asarray(nothing).astype(y.aval.dtype)[()])
    return r.apply(eqn.primitive.name, target, r.apply("pad", y, zero, padding_config=around))


def _sees(r: Rewriter, atom: Atom, invars: list[Atom]) -> bool:
    """Whether an atom is the window of the array that is about to be written."""
    return _is_window(r, atom, invars[0], _places(invars[0], atom, invars[2:]))


def _is_window(r: Rewriter, atom: Atom, array: Atom, starts: tuple[int, ...] | None) -> bool:
    """Whether an atom is the window of an array that begins at a place."""
    eqn = r.made_by(atom, "slice")
    if eqn is None or eqn.invars[0] is not array:
        return False
    return tuple(eqn.params["start_indices"]) == starts and set(eqn.params["strides"] or (1,)) == {
        1
    }


def _places(array: Atom, window: Atom, starts: list[Atom]) -> tuple[int, ...] | None:
    """Where a window of an array begins, moved inside, if it is a known place."""
    if not all(isinstance(a, Literal) for a in starts):
        return None
    numbers = [int(np.asarray(a.val)) for a in starts if isinstance(a, Literal)]
    room = [n - k for n, k in zip(array.aval.shape, window.aval.shape)]
    return tuple(max(0, min(i, most)) for i, most in zip(numbers, room))


@rewrite("add")
def sum_of_pads(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """Two arrays padded alike are added before: one pass less over what is around them."""
    pads = [r.made_by(a, "pad") for a in invars]
    if not all(r.used_once(a) for a in invars):
        return None
    (first, second) = pads
    if first is None or second is None or first.params != second.params:
        return None
    (x, around), (y, other) = first.invars, second.invars
    if x.aval.shape != y.aval.shape or not all(isinstance(v, Literal) for v in (around, other)):
        return None
    return r.apply("pad", r.apply("add", x, y), r.apply("add", around, other), **first.params)


@rewrite("dynamic_slice")
def slice_at_known_place(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A window at a known place is a view."""
    array, *starts = invars
    sizes = params["slice_sizes"]
    if not starts or not all(isinstance(a, Literal) for a in starts):
        return None
    numbers = [int(np.asarray(a.val)) for a in starts if isinstance(a, Literal)]
    firsts = [max(0, min(i, n - k)) for i, n, k in zip(numbers, array.aval.shape, sizes)]
    return r.apply(
        "slice",
        array,
        start_indices=tuple(firsts),
        limit_indices=tuple(i + k for i, k in zip(firsts, sizes)),
        strides=(1,) * len(sizes),
    )


@rewrite("add")
def window_back(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """Setting a window to zero and adding what was in it is adding zero there.

    The transpose of ``x.at[window].add(...)`` is such a sum.
    """
    for cut, back in (invars, invars[::-1]):
        written, padded = r.made_by(cut, "dynamic_update_slice"), r.made_by(back, "pad")
        if written is None or padded is None or not _is(padded.invars[1], -0.0):
            continue
        array, zeros, *starts = written.invars
        config = padded.params["padding_config"]
        splat = r.made_by(zeros, "broadcast_in_dim")
        if splat is None or not _is(splat.invars[0], 0.0) or any(c[2] for c in config):
            continue
        place = _places(array, zeros, starts)
        if place == tuple(c[0] for c in config) and _is_window(r, padded.invars[0], array, place):
            return r.apply("add", array, r.apply("pad", zeros, padded.invars[1], **padded.params))
    return None


# --- products ----------------------------------------------------------------------------------


@rewrite("transpose")
def transpose_of_product(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """The transpose of a product is the product of the operands the other way round."""
    eqn = r.made_by(invars[0], "dot_general")
    if eqn is None or not r.used_once(invars[0]):
        return None
    (lc, rc), (lb, rb) = eqn.params["dimension_numbers"]
    x, y = eqn.invars
    batch, ndim = len(lb), invars[0].aval.ndim
    first = batch + x.aval.ndim - len(lb) - len(lc)
    swapped = (*range(batch), *range(first, ndim), *range(batch, first))
    if params["permutation"] != swapped:
        return None
    return r.apply("dot_general", y, x, **{**eqn.params, "dimension_numbers": ((rc, lc), (rb, lb))})


@rewrite("dot_general")
def product_of_scalars(r: Rewriter, invars: list[Atom], params: Params) -> Atom | None:
    """A product that contracts nothing, or axes of size 1, is an element-wise one."""
    (lc, rc), (lb, rb) = params["dimension_numbers"]
    x, y = invars
    dtype = params["preferred_element_type"]
    sums = any(x.aval.shape[d] != 1 for d in lc)
    if sums or x.aval.dtype.kind == "b" or (dtype is not None and dtype != x.aval.dtype):
        return None
    sides = []
    kept = [
        [d for d in range(a.aval.ndim) if d not in gone]
        for a, gone in ((x, (*lb, *lc)), (y, (*rb, *rc)))
    ]
    shape = tuple(x.aval.shape[d] for d in (*lb, *kept[0])) + tuple(
        y.aval.shape[d] for d in kept[1]
    )
    places = len(lb), len(lb) + len(kept[0])
    for atom, batch, rest, ones, first in (
        (x, lb, kept[0], lc, places[0]),
        (y, rb, kept[1], rc, places[1]),
    ):
        order = (*batch, *rest, *ones)
        moved = r.apply("transpose", atom, permutation=order) if order else atom
        if ones:
            ones = tuple(range(len(order) - len(ones), len(order)))
            moved = r.apply("squeeze", moved, dimensions=ones)
        dims = (*range(len(batch)), *range(first, first + len(rest)))
        sides.append(r.apply("broadcast_in_dim", moved, shape=shape, broadcast_dimensions=dims))
    found = r.apply("mul", *sides)
    # A sum begins with +0: of a single term -0 it is +0.
    return r.apply("add", found, Literal(x.aval.dtype.type(0))) if lc else found
