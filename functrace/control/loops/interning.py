"""One object for equal jaxprs: a loop body traced again is found with all that was made of it.

Programs, derivatives and batched forms of a jaxpr are kept in its memo. A body without constants is
known by its text, so that a lambda made anew for each call costs its tracing, no compilation.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, Literal, Var

__all__ = ["clear_interned", "intern_jaxpr"]

LIMIT = 1024
"""How many bodies are kept; the ones used longest ago go first."""

_known: OrderedDict[Any, ClosedJaxpr] = OrderedDict()
_lock = threading.Lock()


def intern_jaxpr(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return the first jaxpr that was equal to this one, which has no constants."""
    assert not closed.consts, "constants are operands here"
    key = _text(closed.jaxpr)
    with _lock:
        known = _known.setdefault(key, closed)
        _known.move_to_end(key)
        if len(_known) > LIMIT:
            _known.popitem(last=False)
    return known


def clear_interned() -> None:
    """Forget all of them."""
    with _lock:
        _known.clear()


def _text(jaxpr: Jaxpr) -> Any:
    """Return what identifies a jaxpr: equations, types and the user's lines, by hashable values."""
    numbers: dict[Var, int] = {}

    def number(var: Var) -> int:
        return numbers.setdefault(var, len(numbers))

    def atom(a: Atom) -> Any:
        if isinstance(a, Literal):
            value = np.asarray(a.val)
            return value.dtype.char, value.tobytes()
        return number(a)

    inputs = tuple((number(v), v.aval) for v in jaxpr.invars)
    eqns = tuple(
        (
            eqn.primitive,
            tuple(map(atom, eqn.invars)),
            tuple(number(v) for v in eqn.outvars),
            tuple(eqn.params.items()),
            eqn.source,
        )
        for eqn in jaxpr.eqns
    )
    return inputs, eqns, tuple(map(atom, jaxpr.outvars))
