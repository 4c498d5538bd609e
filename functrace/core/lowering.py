"""What a primitive may become in machine code; fusion decides by these kinds alone.

Rules receive a kernel builder ``b`` (``compiler.kernel``), duck-typed here so that primitives
need not know the compiler. ``b``'s scalars carry their dtype and follow NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Composite",
    "Elementwise",
    "Host",
    "Indexed",
    "Library",
    "Lowering",
    "Nest",
    "Nested",
    "Reduction",
    "View",
]


@dataclass(frozen=True)
class Elementwise:
    """One scalar of the result from one scalar of each operand: ``rule(b, *scalars, **params)``."""

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Reduction:
    """A fold over ``params["axes"]``.

    ``combine(b, acc, x, **params)`` adds one element; ``identity(dtype, **params)`` is the exact
    start value.
    """

    combine: Callable[..., Any]
    identity: Callable[..., Any]


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
    """

    pull: Callable[..., Any]


@dataclass(frozen=True)
class Nest:
    """An explicit loop nest: ``rule(b, ins, outs, scratch, avals_in, avals_out, **params)``.

    ``scratch(avals_in, **params)`` lists the ``(shape, dtype)`` of the temporaries it wants.
    """

    rule: Callable[..., Any]
    scratch: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Library:
    """A call of BLAS or LAPACK: ``rule(avals_in, **params)`` describes it, or is None.

    ``otherwise`` lowers the cases the library doesn't have.
    """

    rule: Callable[..., Any]
    otherwise: Nest | Indexed


@dataclass(frozen=True)
class Nested:
    """A primitive that holds a jaxpr, in the parameter ``jaxpr``; it is inlined."""

    jaxpr: str = "jaxpr"


@dataclass(frozen=True)
class Composite:
    """Other primitives put together: ``rule(*operands, **params)`` returns the list of outputs."""

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Host:
    """A call back into Python; for the user's own callbacks only."""

    reason: str


Lowering = (
    Elementwise | Reduction | View | Indexed | Nest | Library | Nested | Composite | Host
)
