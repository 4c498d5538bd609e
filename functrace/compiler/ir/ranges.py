"""What is known of int64 scalars while a kernel is built, so that comparisons may be decided.

A loop over an array that is put together of parts asks for each element which part it is in. Cut
where the answers change, each piece of the loop knows them: the branches are gone, and with them
what keeps a loop from running in SIMD lanes. The numbers come from the program at hand; a kernel
with the same text is right for every other program that leads to it.
"""

from __future__ import annotations

import numpy as np

from functrace.compiler.ir.kernel import BOOL, I64, Const, Scalar

__all__ = ["Ranges"]

Interval = tuple[int, int]
_DECIDED = {"lt": "lt", "ge": "lt", "le": "le", "gt": "le"}


class Ranges:
    """Bounds of scalars, and where comparisons with loop indices change.

    Attributes:
        cuts: for each loop, the indices from which on some comparison has another result.
    """

    def __init__(self) -> None:
        self._bounds: dict[int, Interval] = {}
        self._forms: dict[int, tuple[int, int]] = {}
        self.cuts: dict[int, set[int]] = {}

    def index(self, v: Scalar, loop: int, lo: int, hi: int) -> None:
        """Note that a scalar is the index of a loop, from ``lo`` to below ``hi``."""
        if not isinstance(v, Const):
            self._bounds[v.id] = lo, hi - 1
            self._forms[v.id] = loop, 0

    def bound(self, v: Scalar, lo: int, hi: int) -> None:
        """Note that a scalar is from ``lo`` to below ``hi``."""
        if not isinstance(v, Const):
            self._bounds[v.id] = lo, hi - 1

    def number(self, v: Scalar, value: int) -> None:
        """Note the value of a scalar."""
        if not isinstance(v, Const):
            self._bounds[v.id] = value, value

    def note(self, name: str, args: tuple[Scalar, ...], result: Scalar) -> None:
        """Note what follows for the result of an operation."""
        if result.dtype != I64 or name not in ("add", "sub", "mul"):
            return
        a, b = (self._of(x) for x in args)
        if a is None or b is None:
            return
        if name == "add":
            self._bounds[result.id] = a[0] + b[0], a[1] + b[1]
        elif name == "sub":
            self._bounds[result.id] = a[0] - b[1], a[1] - b[0]
        else:
            ends = [x * y for x in a for y in b]
            self._bounds[result.id] = min(ends), max(ends)
            return
        form = self._form(args[0])
        if form is not None and b[0] == b[1]:
            self._forms[result.id] = form[0], form[1] + (b[0] if name == "add" else -b[0])
        elif name == "add" and a[0] == a[1] and (form := self._form(args[1])) is not None:
            self._forms[result.id] = form[0], form[1] + a[0]

    def decide(self, name: str, args: tuple[Scalar, ...]) -> Const | None:
        """Return the result of a comparison if it is known, else note where it changes."""
        kind = _DECIDED.get(name)
        if kind is None or args[0].dtype != I64:
            return None
        x, y = args
        a, b = self._of(x), self._of(y)
        if a is None or b is None:
            return None
        # x < y, or x <= y, which is x < y + 1.
        more = int(kind == "le")
        if a[1] < b[0] + more:
            return _truth(name in ("lt", "le"))
        if a[0] >= b[1] + more:
            return _truth(name in ("gt", "ge"))
        form, other = self._form(x), self._form(y)
        if form is not None and b[0] == b[1]:
            self.cuts.setdefault(form[0], set()).add(b[0] + more - form[1])
        elif other is not None and a[0] == a[1]:
            self.cuts.setdefault(other[0], set()).add(a[0] - more + 1 - other[1])
        return None

    def _of(self, v: Scalar) -> Interval | None:
        if isinstance(v, Const):
            return int(v.value), int(v.value)
        return self._bounds.get(v.id)

    def _form(self, v: Scalar) -> tuple[int, int] | None:
        return None if isinstance(v, Const) else self._forms.get(v.id)


def _truth(value: bool) -> Const:
    return Const(BOOL, np.bool_(value))
