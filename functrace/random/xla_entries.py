"""Entries of small tables, for functions that look numbers up."""

from __future__ import annotations

from typing import Any

from functrace.core.aval import ShapedArray
from functrace.core.lowering import Indexed
from functrace.core.trace import Primitive

__all__ = ["entry"]

entry_p = Primitive("table_entry", not_differentiable="an entry of a table has no derivative")
entry_p.def_impl(lambda table, place: table[place])
entry_p.def_abstract_eval(lambda table, place: ShapedArray(place.shape, table.dtype))
entry_p.def_lowering(
    Indexed(lambda b, idx, operands, avals_in, aval_out: operands[0]((operands[1](idx),)))
)


@entry_p.def_batching
def _entry_batching(size: int, args: Any, dims: Any) -> Any:
    return entry_p.bind(*args), dims[1]


def entry(table: Any, place: Any) -> Any:
    """The entries of a line of numbers at places that are known to be in it: nothing is checked."""
    return entry_p.bind(table, place)
