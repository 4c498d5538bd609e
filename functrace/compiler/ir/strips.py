"""What a loop computes on the side is done for some rounds at once, after these rounds.

A recurrence is as fast as its chain of operations: round after round waits for the one before it.
A logarithm in each round that only goes into a result competes with that chain for registers and
units. For the rounds of a strip it is one vector operation, which the processor runs while the
chain of the next strip goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder, MemoryRef
from functrace.compiler.ir.kernel import (
    I64,
    Buffer,
    Const,
    For,
    Load,
    Local,
    Op,
    Region,
    Scalar,
    Stmt,
    Store,
    Turn,
    Value,
    operands_of,
    regions_of,
    results_of,
)

__all__ = ["in_strips"]

#: Bytes that a value of all rounds of a strip takes, and those of its vectors. While wider ones are
#: under way, CPUs that have them run the operations of the chain on fewer units.
_STRIP, _VECTOR = 64, 32
#: What operations cost, in scalar operations; a value kept for later and an element stored apart
#: from others are as dear as a division.
_CALL, _DIVISION = 20, 4


@dataclass(slots=True)
class _Parts:
    """A loop in two: ``later`` can wait for ``chain``, and needs its values ``kept``.

    ``again`` has the statements of the chain that are as cheap as a value that is kept; ``size`` is
    that of the widest numbers of ``later``.
    """

    loop: For
    chain: list[Stmt]
    later: list[Stmt]
    kept: list[Scalar]
    again: dict[int, Op | Load]
    size: int

    @property
    def rounds(self) -> int:
        """How many rounds a strip has."""
        return _STRIP // self.size


def in_strips(b: Builder, region: Region) -> None:
    """Divide loops that compute expensive results on the side into strips of rounds."""
    found: list[Stmt] = []
    for stmt in region.stmts:
        for inner in regions_of(stmt):
            in_strips(b, inner)
        parts = _split(stmt) if isinstance(stmt, For) and _is_chain(stmt) else None
        if parts is None and isinstance(stmt, For) and _is_chain(stmt):
            _sink(stmt)
        found.append(stmt if parts is None else _strips(b, parts))
    region.stmts = found


def _is_chain(loop: For) -> bool:
    """Whether rounds may wait for each other, and are many."""
    if loop.lanes or loop.step != 1:
        return False
    if isinstance(loop.lo, Const) and isinstance(loop.hi, Const):
        return int(loop.hi.value) - int(loop.lo.value) >= _STRIP // 4
    return True


# --- what is on the side -------------------------------------------------------------------------


def _split(loop: For) -> _Parts | None:
    """Return the parts of a loop, or None if it is better left alone."""
    if not any(map(_cost, loop.body.stmts)):
        return None
    later = _costly(loop, _waiting(loop))
    if not later:
        return None
    chain = [s for s in loop.body.stmts if s not in later]
    if not loop.params and all(isinstance(s, (Op, Load)) for s in chain):
        return None
    again = _again(loop, chain)
    made = {v.id for v in loop.params} | {v.id for s in chain for v in results_of(s)}
    read = [v for s in later for v in operands_of(s) if not isinstance(v, Const)]
    kept = {v.id: v for v in read if v.id in made and v.id not in again}
    apart = _Affine(loop).scattered([s for s in later if isinstance(s, Store)])
    cheap = sum(map(_cost, later)) < _DIVISION * (len(kept) + apart)
    if cheap or not all(map(_is_plain, kept.values())):
        return None
    ordered = [s for s in loop.body.stmts if s in later]
    sizes = [v.dtype.itemsize for s in later for v in results_of(s) if v.dtype.kind == "f"]
    parts = _Parts(loop, chain, ordered, [*kept.values()], again, max(sizes))
    return parts if _turns_fit(parts) else None


def _turns_fit(parts: _Parts) -> bool:
    """Whether accumulators that take turns are the ones of a strip, in the same order."""
    accesses = [s for s in parts.later if isinstance(s, (Load, Store))]
    own = [s for s in accesses if isinstance(s.memory, Local)]
    if len(own) != 2 * len({s.memory for s in own}):
        return False
    indices = {s.index.id for s in own}
    if not indices:
        return True
    start = parts.loop.lo
    turns = [s for s in parts.loop.body.stmts if isinstance(s, Op) and s.result.id in indices]
    lasts = {int(s.args[1].value) for s in turns if isinstance(s.args[1], Const)}
    return isinstance(start, Const) and int(start.value) == 0 and lasts == {parts.rounds - 1}


def _is_plain(v: Scalar | Buffer | Local) -> bool:
    return v.dtype.kind in "fi" and v.dtype.itemsize >= 4


def _waiting(loop: For) -> list[Stmt]:
    """Return the statements that nothing in the loop waits for, last one first."""
    movable = _alone(loop) | _in_turn(loop)
    needed = {v.id for v in loop.body.yields}
    found: list[Stmt] = []
    for stmt in reversed(loop.body.stmts):
        waits = isinstance(stmt, Op) or _of_input(stmt) or stmt in movable
        if isinstance(stmt, Store):
            waits = stmt in movable
        if waits and needed.isdisjoint(v.id for v in results_of(stmt)):
            found.append(stmt)
        else:
            needed |= _reads(stmt)
    return found


def _sink(loop: For) -> None:
    """Put what the next round doesn't wait for behind what it waits for."""
    if any(map(_cost, loop.body.stmts)):
        waiting = _waiting(loop)
        behind = {*waiting}
        loop.body.stmts = [s for s in loop.body.stmts if s not in behind] + waiting[::-1]


def _of_input(stmt: Stmt) -> bool:
    """Whether a statement reads what isn't written while the kernel runs."""
    if not isinstance(stmt, Load) or not isinstance(stmt.memory, Buffer):
        return False
    return stmt.memory.access == "in" and _is_plain(stmt.memory)


def _alone(loop: For) -> set[Stmt]:
    """Return the stores of each round to a place of its own, which nothing else in it touches.

    All accesses to their buffer step by the same number of elements, in which they all lie.
    """
    own = set(loop.body.stmts)
    accesses: dict[int, list[Load | Store]] = {}
    refused: set[int] = set()
    for stmt in _all_statements(loop.body):
        if isinstance(stmt, (Load, Store)):
            if isinstance(stmt.memory, Buffer):
                accesses.setdefault(stmt.memory.group, []).append(stmt)
                refused.update([] if stmt in own else [stmt.memory.group])
        elif not regions_of(stmt):
            refused.update(m.group for m in _other_buffers(stmt))
    moves, found = _Affine(loop), set[Stmt]()
    for group, of_group in accesses.items():
        stores = [s for s in of_group if isinstance(s, Store) and _is_plain(s.memory)]
        if stores and group not in refused:
            alone = moves.alone([s.index for s in of_group])
            found.update(s for s, is_alone in zip(of_group, alone) if is_alone and s in stores)
    return found


def _in_turn(loop: For) -> set[Stmt]:
    """Return the accesses to accumulators that take turns: one is read and written in a round."""
    turns = {v.id for s in loop.body.stmts if _is_turn(loop, s) for v in results_of(s)}
    accesses: dict[int, list[Stmt]] = {}
    for stmt in _all_statements(loop.body):
        if isinstance(stmt, (Load, Store)):
            if isinstance(stmt.memory, Local):
                accesses.setdefault(stmt.memory.index, []).append(stmt)
        elif isinstance(stmt, Turn):
            return set()
    found: set[Stmt] = set()
    for pair in accesses.values():
        kinds = [type(s) for s in pair]
        if kinds == [Load, Store] and all(operands_of(s)[0].id in turns for s in pair):
            found.update(pair)
    return found


def _is_turn(loop: For, stmt: Stmt) -> bool:
    """Whether a statement tells whose turn it is in a round."""
    if not isinstance(stmt, Op) or stmt.name != "and":
        return False
    x, y = stmt.args
    return x is loop.index and isinstance(y, Const)


def _other_buffers(stmt: Stmt) -> list[Buffer]:
    memories = [getattr(stmt, "target", None), getattr(stmt, "source", None)]
    return [m for m in memories if isinstance(m, Buffer)]


def _all_statements(region: Region) -> list[Stmt]:
    found: list[Stmt] = []
    for stmt in region.stmts:
        found.append(stmt)
        for inner in regions_of(stmt):
            found += _all_statements(inner)
    return found


class _Affine:
    """Indices as multiples of a loop's index plus a constant."""

    def __init__(self, loop: For) -> None:
        self.known: dict[int, tuple[int, int]] = {loop.index.id: (1, 0)}
        for stmt in loop.body.stmts:
            if isinstance(stmt, Op) and stmt.result.dtype == I64 and len(stmt.args) == 2:
                form = self._combined(stmt.name, *map(self.of, stmt.args))
                if form is not None:
                    self.known[stmt.result.id] = form

    def of(self, v: Scalar) -> tuple[int, int] | None:
        return (0, int(v.value)) if isinstance(v, Const) else self.known.get(v.id)

    def _combined(
        self, name: str, x: tuple[int, int] | None, y: tuple[int, int] | None
    ) -> tuple[int, int] | None:
        if x is None or y is None:
            return None
        if name == "add":
            return x[0] + y[0], x[1] + y[1]
        if name == "sub":
            return x[0] - y[0], x[1] - y[1]
        if name == "mul" and not (x[0] and y[0]):
            return x[0] * y[1] + x[1] * y[0], x[1] * y[1]
        return None

    def scattered(self, stores: Sequence[Store]) -> int:
        """Return how many stores of one round after the other aren't to neighbouring places."""
        in_buffers = [s for s in stores if isinstance(s.memory, Buffer)]
        return sum((self.of(s.index) or (0, 0))[0] != 1 for s in in_buffers)

    def alone(self, indices: Sequence[Scalar]) -> list[bool]:
        """Whether each of these indices is never equal to another one of any round."""
        forms = [self.of(v) or (0, 0) for v in indices]
        step = forms[0][0]
        if not step or any(form[0] != step for form in forms):
            return [False] * len(forms)
        places = [place % step for _, place in forms]
        return [places.count(place) == 1 for place in places]


def _reads(stmt: Stmt) -> set[int]:
    """Return the numbers of all values that a statement reads, its regions included."""
    read = {v.id for v in operands_of(stmt)}
    for region in regions_of(stmt):
        read |= {v.id for v in region.yields}
        for inner in region.stmts:
            read |= _reads(inner)
    return read


def _costly(loop: For, waiting: Sequence[Stmt]) -> set[Stmt]:
    """Return those of the waiting statements that make something expensive, or make use of it."""
    behind: set[int] = set()
    for stmt in reversed(waiting):
        if _cost(stmt) or not behind.isdisjoint(v.id for v in operands_of(stmt)):
            behind.update(v.id for v in results_of(stmt))
    found: set[Stmt] = set()
    wanted: set[int] = set()
    for stmt in waiting:
        stored = isinstance(stmt, Store) and stmt.value.id in behind
        if stored or not wanted.isdisjoint(v.id for v in results_of(stmt)):
            found.add(stmt)
            wanted |= _reads(stmt)
    needed = {v.id for v in loop.body.yields}
    for stmt in reversed(loop.body.stmts):
        if stmt not in found or not needed.isdisjoint(v.id for v in results_of(stmt)):
            found.discard(stmt)
            needed |= _reads(stmt)
    return found


def _cost(stmt: Stmt) -> int:
    if not isinstance(stmt, Op):
        return 0
    if stmt.attr:
        return _CALL if stmt.name == "math" else 0
    return _DIVISION if stmt.name in ("div", "sqrt") and stmt.result.dtype.kind == "f" else 0


def _again(loop: For, chain: Sequence[Stmt]) -> dict[int, Op | Load]:
    """Return the statements that make indices, and read inputs there, by their results."""
    found: dict[int, Op | Load] = {}
    made = {v.id for v in loop.params} | {v.id for s in chain for v in results_of(s)}
    for stmt in chain:
        is_index = isinstance(stmt, Op) and stmt.result.dtype == I64 and not stmt.attr
        if not (is_index or _of_input(stmt)):
            continue
        if all(v.id in found or v.id not in made for v in operands_of(stmt)):
            assert isinstance(stmt, (Op, Load))
            found[stmt.result.id] = stmt
    return found


# --- the strips ----------------------------------------------------------------------------------


def _strips(b: Builder, parts: _Parts) -> For:
    """Return the loop over strips."""
    loop, rounds, lanes = parts.loop, parts.rounds, _VECTOR // parts.size
    memories = {v.id: b.alloca(v.dtype, rounds) for v in parts.kept}
    at, params = b._fresh(I64), tuple(b._fresh(v.dtype) for v in loop.params)
    results = tuple(b._fresh(v.dtype) for v in loop.params)
    strip = b._open()
    end = b.minimum(b.add(at, b.const(rounds, I64)), loop.hi)
    assert isinstance(end, Scalar)
    chain = b._open()
    chain.stmts = list(parts.chain)
    for v in parts.kept:
        memories[v.id].store(b.sub(loop.index, at), v)
    b._close()
    chain.yields = loop.body.yields
    b._append(For(at, end, 1, loop.index, loop.params, params, chain, results))
    b.lanes(at, end, lanes, lambda i: _Later(b, parts, memories, at, i).run())
    b._close()
    strip.yields = results
    return For(loop.lo, loop.hi, rounds, at, params, loop.inits, strip, loop.results)


class _Later:
    """Emits what can wait for one round, with the values that were kept of it."""

    def __init__(
        self, b: Builder, parts: _Parts, memories: dict[int, MemoryRef], at: Scalar, i: Value
    ) -> None:
        assert isinstance(i, Scalar)
        self.b = b
        self.parts = parts
        self.memories = memories
        place = b.sub(i, at)
        assert isinstance(place, Scalar)
        self.place = place
        self.known: dict[int, Scalar] = {parts.loop.index.id: i}

    def run(self) -> None:
        for stmt in self.parts.later:
            if isinstance(stmt, Store):
                index, value = self.of(stmt.index), self.of(stmt.value)
                self.b._append(Store(stmt.memory, index, value, stmt.part))
            else:
                assert isinstance(stmt, (Op, Load))
                self.emit(stmt)

    def emit(self, stmt: Op | Load) -> Scalar:
        """Emit a statement with operands and results of its own."""
        if _is_turn(self.parts.loop, stmt):
            self.known[stmt.result.id] = self.place
            return self.place
        args = [self.of(v) for v in operands_of(stmt)]
        result = self.b._fresh(stmt.result.dtype)
        if isinstance(stmt, Op):
            self.b._append(Op(result, stmt.name, tuple(args), stmt.attr))
        else:
            self.b._append(Load(result, stmt.memory, args[0], stmt.part))
        self.known[stmt.result.id] = result
        return result

    def of(self, v: Scalar) -> Scalar:
        """Return what a value of the round is here."""
        if isinstance(v, Const):
            return v
        if v.id in self.known:
            return self.known[v.id]
        if v.id in self.memories:
            loaded = self.memories[v.id].load(self.place)
            assert isinstance(loaded, Scalar)
            self.known[v.id] = loaded
            return loaded
        made = self.parts.again.get(v.id)
        return v if made is None else self.emit(made)
