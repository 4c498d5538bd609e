"""Prints a loop whose iterations are each a while loop as SIMD code: as many at once as lanes.

A lane holds one iteration. All lanes make a round of the inner loop together, those that have
ended keep their values. When enough rounds were spent on ended lanes, or all have ended, they hand
in their results and take the next iterations there are. So many loops that end at different times
cost about the sum of their rounds divided by the lanes, and each lane computes what it would alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from functrace.compiler.emit.llvm.lanes import Host, LanePrinter
from functrace.compiler.emit.llvm.ops import llvm_type
from functrace.compiler.emit.llvm.simd import HAS_MASKS, straight
from functrace.compiler.emit.llvm.vectors import vector, vector_literal
from functrace.compiler.ir.kernel import (
    Const,
    For,
    Load,
    Local,
    Region,
    Scalar,
    Store,
    While,
    operands_of,
    regions_of,
)

__all__ = ["LaneLoop", "holds_one_while"]

#: What handing in and taking over costs, in scalar operations, besides those around the loop.
_CHANGE = 64
_MATH_COST = 20


class Printer(Host, Protocol):
    """What prints the kernel around the loop."""

    lines: list[str]
    renamed: dict[int, str]

    def watched(self, loop: While, rounds: str) -> str: ...


def holds_one_while(loop: For) -> bool:
    """Whether `loop` is one over lanes, each a while loop of scalar operations."""
    if loop.lanes < 2 or loop.step != 1 or loop.params or not HAS_MASKS:
        return False
    whiles = [s for s in loop.body.stmts if isinstance(s, While)]
    if len(whiles) != 1 or not _side_by_side(loop.body):
        return False
    around = Region([s for s in loop.body.stmts if not isinstance(s, While)])
    inner = (whiles[0].cond, whiles[0].body)
    return straight(around, loop.lanes) and all(straight(r, loop.lanes, False) for r in inner)


def _side_by_side(body: Region) -> bool:
    """Whether memory is the lanes' own, and no operation traps in a lane that is idle."""
    plain = Region([s for s in body.stmts if not isinstance(s, (Load, Store, While))])
    stored = [s.memory for s in body.stmts if isinstance(s, Store)]
    return straight(plain, 2, False) and not any(isinstance(m, Local) for m in stored)


class LaneLoop:
    """Prints one loop."""

    def __init__(self, host: Printer, loop: For) -> None:
        self.host = host
        self.loop = loop
        self.lanes = loop.lanes
        stmts = loop.body.stmts
        at = next(k for k, s in enumerate(stmts) if isinstance(s, While))
        inner = stmts[at]
        assert isinstance(inner, While)
        self.inner = inner
        self.before, self.after = Region(stmts[:at]), Region(stmts[at + 1 :])
        #: Names of this loop begin so.
        self.name = host.temp()
        self.vectors: set[int] = {loop.index.id}
        #: What a lane keeps of its iteration, each as it was before others were taken.
        self.kept: list[Scalar] = []

    def print(self) -> None:
        """Print the whole loop."""
        host = self.host
        take, start, test, body, finish, done = host.fresh_labels(
            "take", "start", "test", "round", "finish", "done"
        )
        outside, outer = host.block, dict(host.renamed)
        host.emit(f"br label %{take}")
        host.label(take)
        takes = len(host.lines)
        self.take(start, done)
        host.label(start)
        self.begin()
        started = host.block
        host.emit(f"br label %{test}")
        host.label(test)
        tests = len(host.lines)
        rounds = self.rounds()
        self.test(rounds, body, finish)
        host.label(body)
        count = self.round(rounds)
        host.emit(f"br label %{test}")
        rounded = host.block
        host.label(finish)
        self.finish()
        host.emit(f"br label %{take}")
        finished = host.block
        # The later ones first: those before stay where they are.
        host.lines[tests:tests] = self._test_phis(started, rounded, count)
        host.lines[takes:takes] = self._take_phis(outside, finished, bool(count))
        host.renamed.clear()
        host.renamed.update(outer)
        host.label(done)

    # ---- new iterations ------------------------------------------------------------------------

    def take(self, start: str, done: str) -> None:
        """Hand the next iterations to the lanes without one, in order."""
        n, name, flags, wide = self.lanes, self.name, self._flags, vector("i64", self.lanes)
        every, emit = vector_literal("i1", "true", n), self.host.emit
        emit(f"{name}.free = xor {flags} {name}.live, {every}")
        count = self._count(f"{name}.free", "free")
        ranks = self._ranks(f"{name}.free.bits")
        lane = LanePrinter(self.host, n)
        first = lane.splat("i64", f"{name}.next")
        end = lane.splat("i64", self.host.value(self.loop.hi))
        emit(f"{name}.fresh = add {wide} {first}, {ranks}")
        emit(f"{name}.some = icmp slt {wide} {name}.fresh, {end}")
        emit(f"{name}.taken = and {flags} {name}.free, {name}.some")
        emit(f"{name}.after = add i64 {name}.next, {count}")
        self._select(f"{name}.at", f"{name}.taken", wide, f"{name}.fresh", f"{name}.old")
        emit(f"{name}.on = or {flags} {name}.live, {name}.taken")
        emit(f"{name}.on.bits = bitcast {flags} {name}.on to i{n}")
        emit(f"{name}.any = icmp ne i{n} {name}.on.bits, 0")
        emit(f"br i1 {name}.any, label %{start}, label %{done}")

    def _ranks(self, bits: str) -> str:
        """For each lane, how many lanes before it are set in a mask."""
        n, name, emit = self.lanes, self.name, self.host.emit
        short, wide = vector("i32", n), vector("i64", n)
        emit(f"{name}.word = zext i{n} {bits} to i64")
        emit(f"{name}.short = trunc i64 {name}.word to i32")
        words = LanePrinter(self.host, n).splat("i32", f"{name}.short")
        below = ", ".join(f"i32 {(1 << k) - 1}" for k in range(n))
        emit(f"{name}.below = and {short} {words}, <{below}>")
        emit(f"{name}.rank = call {short} @llvm.ctpop.v{n}i32({short} {name}.below)")
        emit(f"{name}.ranks = zext {short} {name}.rank to {wide}")
        return f"{name}.ranks"

    def begin(self) -> None:
        """Compute what the new iterations start with; the others keep what they have."""
        host, name = self.host, self.name
        lane = self._lane(f"{name}.taken")
        host.renamed[self.loop.index.id] = f"{name}.at"
        lane.region(self.before)
        self.vectors |= lane.vectors
        taken, used = f"{name}.taken", _used([self.inner.cond, self.inner.body, self.after])
        made = [s.result for s in self.before.stmts if hasattr(s, "result")]
        made += [r for s in self.before.stmts for r in getattr(s, "results", ())]
        self.kept = [v for v in made if v.id in lane.vectors and v.id in used]
        starts = [(v, lane.use(v)) for v in self.kept]
        firsts = [lane.use(v) for v in self.inner.inits]
        for k, (v, new) in enumerate(starts):
            self._select(f"{name}.k{k}", taken, self._kind(v), new, f"{name}.k{k}.old")
            host.renamed[v.id] = f"{name}.k{k}"
        for k, (v, new) in enumerate(zip(self.inner.params, firsts, strict=True)):
            self._select(f"{name}.p{k}.first", taken, self._kind(v), new, f"{name}.p{k}.old")
            self.vectors.add(v.id)
        host.emit(f"{name}.more = icmp slt i64 {name}.after, {host.value(self.loop.hi)}")
        change = _CHANGE + _operations(self.before) + _operations(self.after)
        limit = max(self.lanes * change // _work(self.inner), self.lanes // 2)
        host.emit(f"{name}.limit = select i1 {name}.more, i64 {limit}, i64 {(1 << 63) - 1}")

    # ---- rounds --------------------------------------------------------------------------------

    def rounds(self) -> LanePrinter:
        """Return the printer of a round, whose lanes are those with an iteration."""
        lane = self._lane("", f"{self.name}.on")
        lane.jumps = True
        return lane

    def test(self, lane: LanePrinter, body: str, finish: str) -> None:
        """Ask every lane whether it goes on, and count the rounds of those that don't."""
        n, name, emit = self.lanes, self.name, self.host.emit
        lane.region(self.inner.cond)
        answer = lane.use(self.inner.cond.yields[0])
        emit(f"{name}.go = and {self._flags} {name}.on, {answer}")
        count = self._count(f"{name}.go", "go")
        emit(f"{name}.idle = sub i64 {n}, {count}")
        emit(f"{name}.spent = add i64 {name}.waste, {name}.idle")
        emit(f"{name}.tired = icmp sge i64 {name}.spent, {name}.limit")
        emit(f"{name}.none = icmp eq i64 {count}, 0")
        emit(f"{name}.stop = or i1 {name}.tired, {name}.none")
        emit(f"br i1 {name}.stop, label %{finish}, label %{body}")

    def round(self, lane: LanePrinter) -> str:
        """Make one round; the name of the count of rounds."""
        name = self.name
        count = self.host.watched(self.inner, f"{name}.rounds")
        lane.mask = f"{name}.go"
        lane.region(self.inner.body)
        pairs = zip(self.inner.params, self.inner.body.yields, strict=True)
        for k, (param, new) in enumerate(pairs):
            kind, old = self._kind(param), f"%v{param.id}"
            self._select(f"{name}.p{k}.next", f"{name}.go", kind, lane.use(new), old)
        return count

    def finish(self) -> None:
        """Hand in the results of the lanes that have ended."""
        name = self.name
        self.host.emit(f"{name}.ended = xor {self._flags} {name}.on, {name}.go")
        for result, param in zip(self.inner.results, self.inner.params, strict=True):
            self.host.renamed[result.id] = f"%v{param.id}"
            self.vectors.add(result.id)
        self._lane(f"{name}.ended").region(self.after)

    # ---- what goes around ----------------------------------------------------------------------

    def _take_phis(self, outside: str, finished: str, counted: bool) -> list[str]:
        name, flags = self.name, self._flags
        zero = "zeroinitializer"
        first = self.host.value(self.loop.lo)
        merged = [
            (f"{name}.next", "i64", first, f"{name}.after"),
            (f"{name}.old", vector("i64", self.lanes), zero, f"{name}.at"),
            (f"{name}.live", flags, zero, f"{name}.go"),
        ]
        for k, v in enumerate(self.kept):
            merged.append((f"{name}.k{k}.old", self._kind(v), zero, f"{name}.k{k}"))
        for k, v in enumerate(self.inner.params):
            merged.append((f"{name}.p{k}.old", self._kind(v), zero, f"%v{v.id}"))
        if counted:
            merged.append((f"{name}.looked", "i64", str(self.inner.period), f"{name}.rounds"))
        return [_phi(r, kind, (a, outside), (b, finished)) for r, kind, a, b in merged]

    def _test_phis(self, started: str, rounded: str, count: str) -> list[str]:
        name = self.name
        merged = [(f"{name}.waste", "i64", "0", f"{name}.spent")]
        for k, v in enumerate(self.inner.params):
            merged.append((f"%v{v.id}", self._kind(v), f"{name}.p{k}.first", f"{name}.p{k}.next"))
        if count:
            merged.append((f"{name}.rounds", "i64", f"{name}.looked", count))
        return [_phi(r, kind, (a, started), (b, rounded)) for r, kind, a, b in merged]

    # ---- pieces --------------------------------------------------------------------------------

    def _lane(self, active: str, mask: str = "") -> LanePrinter:
        lane = LanePrinter(self.host, self.lanes, active)
        lane.mask = mask or lane.mask
        lane.vectors = self.vectors
        return lane

    @property
    def _flags(self) -> str:
        return vector("i1", self.lanes)

    def _kind(self, v: Scalar) -> str:
        return vector(llvm_type(v.dtype), self.lanes)

    def _select(self, result: str, mask: str, kind: str, yes: str, no: str) -> None:
        self.host.emit(f"{result} = select {self._flags} {mask}, {kind} {yes}, {kind} {no}")

    def _count(self, mask: str, word: str) -> str:
        """How many lanes are set in a mask."""
        n, name, emit = self.lanes, self.name, self.host.emit
        emit(f"{mask}.bits = bitcast {self._flags} {mask} to i{n}")
        emit(f"{name}.{word}.n = call i{n} @llvm.ctpop.i{n}(i{n} {mask}.bits)")
        emit(f"{name}.{word}.count = zext i{n} {name}.{word}.n to i64")
        return f"{name}.{word}.count"


def _phi(result: str, kind: str, *incoming: tuple[str, str]) -> str:
    pairs = ", ".join(f"[ {value}, %{block} ]" for value, block in incoming)
    return f"  {result} = phi {kind} {pairs}"


def _used(regions: Iterable[Region]) -> set[int]:
    """The numbers of all scalars that regions read."""
    found: set[int] = set()

    def look(region: Region) -> None:
        found.update(v.id for v in region.yields if not isinstance(v, Const))
        for stmt in region.stmts:
            found.update(v.id for v in operands_of(stmt) if not isinstance(v, Const))
            for inner in regions_of(stmt):
                look(inner)

    for region in regions:
        look(region)
    return found


def _work(loop: While) -> int:
    """About how many scalar operations a round is."""
    return 1 + _operations(loop.cond) + _operations(loop.body)


def _operations(region: Region) -> int:
    total = 0
    for stmt in region.stmts:
        total += _MATH_COST if getattr(stmt, "attr", "") else 1
        total += sum(map(_operations, regions_of(stmt)))
    return total
