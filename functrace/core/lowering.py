"""What a primitive may become in machine code; fusion decides by these kinds alone.

Rules receive a kernel builder ``b`` (``compiler.kernel``), duck-typed here so that primitives
need not know the compiler. ``b``'s scalars carry their dtype and follow NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "LINALG_MESSAGES",
    "Barrier",
    "Branches",
    "Call",
    "Composite",
    "Elementwise",
    "Host",
    "Indexed",
    "Library",
    "Lowering",
    "Nest",
    "Nested",
    "Part",
    "Place",
    "Reduction",
    "Routines",
    "RowRoutine",
    "Scan",
    "View",
    "While",
]


@dataclass(frozen=True)
class Elementwise:
    """One scalar of the result from one scalar of each operand: ``rule(b, *scalars, **params)``."""

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Reduction:
    """A fold over ``params["axes"]``.

    ``combine(b, acc, x, **params)`` adds one element; ``identity(dtype, **params)`` is the exact
    start value. With several operands, ``element(b, *xs)`` is what is added for one of each.
    """

    combine: Callable[..., Any]
    identity: Callable[..., Any]
    element: Callable[..., Any] | None = None


@dataclass(frozen=True)
class View:
    """The same elements at other places.

    ``rule(shape, strides, **params) -> (shape, strides, offset)`` in elements, or None where
    strides can't express it.
    """

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Indexed:
    """Each element of the result computed from its index.

    ``pull(b, idx, operands, avals_in, aval_out, **params)``; ``operands[k](idx)`` reads.
    ``update(b, ins, outs, avals_in, **params)`` is for a result that differs from the first operand
    in a few places: it writes these, where ``outs[0]`` holds the operand's elements already.
    """

    pull: Callable[..., Any]
    update: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Nest:
    """An explicit loop nest: ``rule(b, ins, outs, scratch, avals_in, avals_out, **params)``.

    ``scratch(avals_in, **params)`` lists the ``(shape, dtype)`` of the temporaries it wants.
    ``update`` is as of ``Indexed``.
    ``split(avals_in, avals_out, **params) -> (units, work)`` says of how many independent units it
    consists, and about how many scalar operations each of them is: threads share them. Its rule
    runs those units that ``b.part(units)`` gives it.
    With ``rows``, operands come with neighbours on the last axis side by side.
    """

    rule: Callable[..., Any]
    scratch: Callable[..., Any] | None = None
    update: Callable[..., Any] | None = None
    split: Callable[..., tuple[int, int]] | None = None
    rows: bool = False


@dataclass(frozen=True)
class Library:
    """A matrix product by BLAS: ``rule(avals_in, **params)`` describes it, or is None.

    ``otherwise`` lowers the cases the library doesn't have.
    """

    rule: Callable[..., Any]
    otherwise: Nest | Indexed


LINALG_MESSAGES = (
    "Matrix is not positive definite",
    "Singular matrix",
    "Eigenvalues did not converge",
    "SVD did not converge",
)
"""What NumPy says when a factorisation fails."""


@dataclass(frozen=True)
class Place:
    """A matrix as an argument of a routine: that of the ``index``-th operand, result or scratch.

    ``kind`` is ``"in"``, ``"out"`` or ``"scratch"``. A batch has one matrix after the other; work
    space (``shared``) is used by many in turn: its first axis counts how many at once. ``step``
    is the distance, in elements, from a block of right sides to the next, ``offset`` where the
    first begins.
    """

    kind: str
    index: int
    shared: bool = False
    step: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Part:
    """An integer argument: how many of ``total`` right sides a block of ``size`` has."""

    total: int
    size: int


@dataclass(frozen=True)
class Call:
    """A LAPACK routine, called for each matrix of a batch, or for each block of right sides.

    Attributes:
        routine: its name, with the letter of the dtype.
        arguments: in Fortran's order: a ``Place``; an int or a ``Part``; a letter (``"U"``);
            ``"one"`` and ``"minus"``, the numbers 1 and -1; ``"info"``, where it tells how it went.
        batch: how many matrices.
        failure: which of ``LINALG_MESSAGES`` an ``info`` other than 0 is, or None: it is no error.
        work: about how many multiplications one call is; threads share what is large.
        blocks: how many calls a matrix takes; a function of sizes alone.
    """

    routine: str
    arguments: tuple[Any, ...]
    batch: int
    failure: int | None = None
    work: int = 1
    blocks: int = 1


@dataclass(frozen=True)
class RowRoutine:
    """NumPy's own loop, for each row of an array: it uses the CPU's widest vectors.

    Attributes:
        name: ``sort``, ``argmax`` or ``argmin``.
        source, target: what is read and written; rows are sorted where they are, if it is one.
        rows: how many rows there are.
        length: how long they are.
        otherwise: the loop nest for where NumPy's function can't be called.
    """

    name: str
    source: Place
    target: Place
    rows: int
    length: int
    otherwise: Callable[..., None]


@dataclass(frozen=True)
class Routines:
    """Calls of LAPACK or NumPy with loop nests around them, which run one after the other.

    ``plan(avals_in, avals_out, integer, **params) -> (scratch, stages)``: ``scratch`` lists the
    ``(shape, dtype)`` of temporaries; a stage is a ``Call``, a ``RowRoutine``, or
    ``rule(b, ins, outs, scratch)``.
    Operands are contiguous. ``integer`` is the dtype of the library's integers.
    """

    plan: Callable[..., Any]


@dataclass(frozen=True)
class Nested:
    """A primitive that holds a jaxpr, in the parameter ``jaxpr``; it is inlined."""

    jaxpr: str = "jaxpr"


@dataclass(frozen=True)
class Branches:
    """One of several jaxprs, by the first operand, an int32: ``branches``, all of one type.

    Parameter: ``branches``. The other operands go to the jaxpr that runs.
    """


@dataclass(frozen=True)
class While:
    """A jaxpr again and again for as long as another says so.

    Parameters: ``cond_jaxpr``, ``body_jaxpr``, ``cond_nconsts``, ``body_nconsts``; the operands are
    the condition's constants, the body's, and the carry.
    """


@dataclass(frozen=True)
class Scan:
    """A jaxpr for each of so many slices, with a carry.

    Parameters: ``jaxpr``, ``length``, ``reverse``, ``num_consts``, ``num_carry``, ``unroll``; the
    operands are constants, carry and the arrays to slice; the results carry and stacked slices.
    """


@dataclass(frozen=True)
class Barrier:
    """The operands themselves: no kernel has operations of both sides of it."""


@dataclass(frozen=True)
class Composite:
    """Other primitives put together: ``rule(*operands, **params)`` returns the list of outputs."""

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Host:
    """A call back into Python; for the user's own callbacks only."""

    reason: str


Lowering = (
    Elementwise
    | Reduction
    | View
    | Indexed
    | Nest
    | Library
    | Routines
    | Nested
    | Branches
    | While
    | Scan
    | Barrier
    | Composite
    | Host
)
