"""LU factors of row-major matrices, as LLVM text: what is done to a panel of columns.

LAPACK's own factors of a panel take one column after the other through memory. Here a panel is
copied into panes: as many columns as a vector has lanes, a vector a row. A pane fits the first
cache while its columns are eliminated one by one, rows are exchanged by whole vectors, and what the
pane does to the panes beside it is done with all of its rows of U in registers. Each element is
computed in one order, whatever the batch or the threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from functrace.compiler.runtime.routine_ir import column_mask, routine_text, splat
from functrace.compiler.runtime.wide_ir import LANES

__all__ = ["panel_text"]

#: Rows of other panes that are updated at once; the panes' rows are filled up to a multiple.
_ROWS = 8
#: Factors of a panel: its arguments are rows, columns, the panel, its leading dimension, where its
#: pivots go, the number of its first row, space for the panes, and what LAPACK calls ``info``.
_PANEL = """
define internal void @ft_$Npanel(ptr %p.m, ptr %p.n, ptr %a, ptr %p.lda, ptr %pivots,
    ptr %p.first, ptr %w, ptr %info) {
entry:
$INTS
  %places = alloca $X, align 64
  %up = add i64 %m, 7
  %height = and i64 %up, -8
  %pane = mul i64 %height, $W
  br label %pack
pack:
  %k.c = phi i64 [0, %entry], [%k.c1, %pack.next]
  %k.at = mul i64 %k.c, %height
  %k.w = getelementptr $S, ptr %w, i64 %k.at
  %k.left = sub i64 %n, %k.c
$PACKMASK
  br label %pack.row
pack.row:
  %k.i = phi i64 [0, %pack], [%k.i1, %pack.row]
  %k.real = icmp slt i64 %k.i, %m
  %k.r0 = insertelement $B poison, i1 %k.real, i32 0
  %k.rv = shufflevector $B %k.r0, $B poison, <$W x i32> zeroinitializer
  %k.mask = and $B %k.rv, %k.lanes
  %k.line = mul i64 %k.i, %lda
  %k.from = add i64 %k.line, %k.c
  %k.a = getelementptr $S, ptr %a, i64 %k.from
  %k.v = call $V @llvm.masked.load.$M.p0(ptr %k.a, i32 $A, $B %k.mask, $V zeroinitializer)
  %k.to = getelementptr $V, ptr %k.w, i64 %k.i
  store $V %k.v, ptr %k.to
  %k.i1 = add i64 %k.i, 1
  %k.rows = icmp slt i64 %k.i1, %height
  br i1 %k.rows, label %pack.row, label %pack.next
pack.next:
  %k.c1 = add i64 %k.c, $W
  %k.more = icmp slt i64 %k.c1, %n
  br i1 %k.more, label %pack, label %factor

factor:
  %c = phi i64 [0, %pack.next], [%c1, %factor.next]
  %own.at = mul i64 %c, %height
  %own = getelementptr $S, ptr %w, i64 %own.at
  %left = sub i64 %n, %c
  %cols = call i64 @llvm.smin.i64(i64 %left, i64 $W)
  %stop = add i64 %c, %cols
$FIRST
  br label %column
column:
  %r = phi i64 [%c, %search.done], [%r1, %column.next]
  %j = sub i64 %r, %c
  %r1 = add i64 %r, 1
  %p.at = getelementptr $Z, ptr %places, i64 %j
  %p.small = load $Z, ptr %p.at
  %p = $GROW
  %p.all = add i64 %p, %first
  %p.i32 = trunc i64 %p.all to i32
  %p.to = getelementptr i32, ptr %pivots, i64 %r
  store i32 %p.i32, ptr %p.to
  %moves = icmp ne i64 %p, %r
  br i1 %moves, label %exchange, label %pivot
exchange:
  %x.c = phi i64 [0, %column], [%x.c1, %exchange]
  %x.at = mul i64 %x.c, %height
  %x.w = getelementptr $S, ptr %w, i64 %x.at
  %x.one = getelementptr $V, ptr %x.w, i64 %r
  %x.two = getelementptr $V, ptr %x.w, i64 %p
  %x.a = load $V, ptr %x.one
  %x.b = load $V, ptr %x.two
  store $V %x.b, ptr %x.one
  store $V %x.a, ptr %x.two
  %x.c1 = add i64 %x.c, $W
  %x.more = icmp slt i64 %x.c1, %n
  br i1 %x.more, label %exchange, label %pivot
pivot:
  %u.at = getelementptr $V, ptr %own, i64 %r
  %u.all = load $V, ptr %u.at
  %d.at = getelementptr $S, ptr %u.at, i64 %j
  %d = load $S, ptr %d.at
  %none = fcmp oeq $S %d, 0.0
  br i1 %none, label %singular, label %scale
singular:
  %how = load $I, ptr %info
  %first.one = icmp eq $I %how, 0
  %which64 = add i64 %first, %r1
  %which = $NARROW %which64$NTO
  %told = select i1 %first.one, $I %which, $I %how
  store $I %told, ptr %info
  br label %scale
scale:
  ; The inverse of a tiny pivot would be infinite.
  %d.size = call $S @llvm.fabs.$E($S %d)
  %tiny = fcmp olt $S %d.size, $TINY
  %up.by = select i1 %tiny, $S $HUGE, $S 1.0
  %d.up = fmul $S %d, %up.by
  %d.inv = fdiv $S 1.0, %d.up
  %inv = select i1 %none, $S 0.0, $S %d.inv
$SCALARS
  %later = icmp sgt <$W x i32> <$COUNT>, %j.v
  %here = icmp eq <$W x i32> <$COUNT>, %j.v
  %u = select $B %later, $V %u.all, $V zeroinitializer
  %count = sub i64 %height, %r1
  %odd = and i64 %count, 1
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %below, label %column.next
below:
$BELOW
  br label %column.next
column.next:
  %columns = icmp slt i64 %r1, %stop
  br i1 %columns, label %column, label %beside

beside:
  %t = phi i64 [%stop, %column.next], [%t1, %beside.next]
  %t.some = icmp slt i64 %t, %n
  br i1 %t.some, label %solve, label %factor.next
solve:
  %t.at = mul i64 %t, %height
  %t.w = getelementptr $S, ptr %w, i64 %t.at
  %u.first = getelementptr $V, ptr %t.w, i64 %c
  br label %solve.row
solve.row:
  %s = phi i64 [1, %solve], [%s1, %solve.next]
  %s.row = add i64 %c, %s
  %s.l = getelementptr $V, ptr %own, i64 %s.row
  %s.x = getelementptr $V, ptr %u.first, i64 %s
  %s.v = load $V, ptr %s.x
  br label %solve.before
solve.before:
  %q = phi i64 [0, %solve.row], [%q1, %solve.before]
  %q.sum = phi $V [%s.v, %solve.row], [%q.new, %solve.before]
  %q.u = getelementptr $V, ptr %u.first, i64 %q
  %q.x = load $V, ptr %q.u
  %q.at = getelementptr $S, ptr %s.l, i64 %q
  %q.e = load $S, ptr %q.at
  %q.minus = fneg $S %q.e
$SOLVE
  %q.new = call $V @llvm.fma.$M($V %q.l, $V %q.x, $V %q.sum)
  %q1 = add i64 %q, 1
  %q.more = icmp slt i64 %q1, %s
  br i1 %q.more, label %solve.before, label %solve.next
solve.next:
  store $V %q.new, ptr %s.x
  %s1 = add i64 %s, 1
  %s.more = icmp slt i64 %s1, $W
  br i1 %s.more, label %solve.row, label %solve.done
solve.done:
  %tall = icmp slt i64 %stop, %height
  br i1 %tall, label %update, label %beside.next
update:
  %i = phi i64 [%stop, %solve.done], [%i1, %update.next]
$ROWS
  br label %update.one
update.one:
  %g = phi i64 [0, %update], [%g1, %update.one]
$UPDATE
  %g1 = add i64 %g, 1
  %g.more = icmp slt i64 %g1, $W
  br i1 %g.more, label %update.one, label %update.next
update.next:
$STORES
  %i1 = add i64 %i, $R
  %i.more = icmp slt i64 %i1, %height
  br i1 %i.more, label %update, label %beside.next
beside.next:
  %t1 = add i64 %t, $W
  br label %beside
factor.next:
  %c1 = add i64 %c, $W
  %more = icmp slt i64 %c1, %n
  br i1 %more, label %factor, label %unpack

unpack:
  %o.c = phi i64 [0, %factor.next], [%o.c1, %unpack.next]
  %o.at = mul i64 %o.c, %height
  %o.w = getelementptr $S, ptr %w, i64 %o.at
  %o.left = sub i64 %n, %o.c
$UNPACKMASK
  br label %unpack.row
unpack.row:
  %o.i = phi i64 [0, %unpack], [%o.i1, %unpack.row]
  %o.line = mul i64 %o.i, %lda
  %o.from = add i64 %o.line, %o.c
  %o.a = getelementptr $S, ptr %a, i64 %o.from
  %o.to = getelementptr $V, ptr %o.w, i64 %o.i
  %o.v = load $V, ptr %o.to
  call void @llvm.masked.store.$M.p0($V %o.v, ptr %o.a, i32 $A, $B %o.lanes)
  %o.i1 = add i64 %o.i, 1
  %o.rows = icmp slt i64 %o.i1, %m
  br i1 %o.rows, label %unpack.row, label %unpack.next
unpack.next:
  %o.c1 = add i64 %o.c, $W
  %o.more = icmp slt i64 %o.c1, %n
  br i1 %o.more, label %unpack, label %done
done:
  ret void
}
"""


def panel_text(letter: str, integer: str) -> str:
    """Return the factors of a panel for one dtype, with a library's integers passed by address."""
    lanes, single = LANES[letter], letter == "s"
    pieces = {
        "$PACKMASK": "\n".join(column_mask("k", lanes)),
        "$UNPACKMASK": "\n".join(column_mask("o", lanes)),
        "$FIRST": "\n".join(_first_search()),
        "$SCALARS": "\n".join(_scalars()),
        "$BELOW": "\n".join(_below()),
        "$SOLVE": "\n".join(splat("%q.l", "%q.minus")),
        "$UPDATE": "\n".join(_update()),
        "$ROWS": "\n".join(_rows()),
        "$STORES": "\n".join(f"  store $V %gn{h}, ptr %gt{h}" for h in range(_ROWS)),
        "$GROW": "sext i32 %p.small to i64" if single else "add i64 %p.small, 0",
        "$TRIMTO": " to i32" if single else "",
        "$TRIM": "trunc i64" if single else "add i64 0,",
        "$TINY": "0x3870000000000000" if single else "0x0170000000000000",
        "$HUGE": "0x43F0000000000000",
        "$R": str(_ROWS),
    }
    return routine_text(_PANEL, letter, integer, ("m", "n", "lda", "first"), pieces)


def _scalars() -> list[str]:
    return [
        *splat("%up.v", "%up.by"),
        *splat("%inv.v", "%inv"),
        "  %j.i32 = trunc i64 %j to i32",
        *splat("%j.v", "%j.i32", "i32", "<$W x i32>"),
    ]


def _row_number(name: str, value: str) -> list[str]:
    """Return a row's number in all lanes, as wide as the matrix's elements."""
    return [f"  {name}.z = $TRIM {value}$TRIMTO", *splat(name, f"{name}.z", "$Z", "$X")]


def _search(block: str, start: str, odd: str, body: Sequence[str]) -> list[str]:
    """Run over the rows of a pane, and find the largest element of each column.

    Rows go two at a time, the first one twice if their number is odd: the sizes so far are ``s``,
    found in the rows ``z``; then they are ``n`` and ``y``. ``body`` makes ``w`` of the rows ``v``.
    """
    lines = [
        *_row_number(f"%{block}.start", start),
        f"  br label %{block}.rows",
        f"{block}.rows:",
        f"  %{block}.i0 = phi i64 [{start}, %{block}], [%{block}.after, %{block}.rows]",
        f"  %{block}.odd = phi i64 [{odd}, %{block}], [0, %{block}.rows]",
    ]
    for h in (0, 1):
        lines += [
            f"  %{block}.s{h} = phi $V [zeroinitializer, %{block}], [%{block}.n{h}, %{block}.rows]",
            f"  %{block}.z{h} = phi $X [%{block}.start, %{block}], [%{block}.y{h}, %{block}.rows]",
        ]
    lines += [
        f"  %{block}.next = add i64 %{block}.i0, 1",
        f"  %{block}.i1 = sub i64 %{block}.next, %{block}.odd",
    ]
    for h in (0, 1):
        lines += [
            f"  %{block}.at{h} = getelementptr $V, ptr %own, i64 %{block}.i{h}",
            f"  %{block}.v{h} = load $V, ptr %{block}.at{h}",
        ]
    lines += body
    value = "w" if body else "v"
    for h in (0, 1):
        lines += [
            f"  %{block}.f{h} = call $V @llvm.fabs.$M($V %{block}.{value}{h})",
            f"  %{block}.g{h} = fcmp ogt $V %{block}.f{h}, %{block}.s{h}",
            f"  %{block}.n{h} = select $B %{block}.g{h}, $V %{block}.f{h}, $V %{block}.s{h}",
            *_row_number(f"%{block}.p{h}", f"%{block}.i{h}"),
            f"  %{block}.y{h} = select $B %{block}.g{h}, $X %{block}.p{h}, $X %{block}.z{h}",
        ]
    return [
        *lines,
        f"  %{block}.after = add i64 %{block}.i1, 1",
        f"  %{block}.more = icmp slt i64 %{block}.after, %height",
        f"  br i1 %{block}.more, label %{block}.rows, label %{block}.done",
        f"{block}.done:",
        *_best(block),
        f"  store $X %{block}.best, ptr %places",
    ]


def _best(block: str) -> list[str]:
    """Of the two rows that were found, take that of the larger element, or the first."""
    n0, n1, y0, y1 = (f"%{block}.{name}" for name in ("n0", "n1", "y0", "y1"))
    return [
        f"  %{block}.larger = fcmp ogt $V {n1}, {n0}",
        f"  %{block}.equal = fcmp oeq $V {n1}, {n0}",
        f"  %{block}.before = icmp slt $X {y1}, {y0}",
        f"  %{block}.tie = and $B %{block}.equal, %{block}.before",
        f"  %{block}.take = or $B %{block}.larger, %{block}.tie",
        f"  %{block}.best = select $B %{block}.take, $X {y1}, $X {y0}",
    ]


def _first_search() -> list[str]:
    """Find the largest elements of all columns of a pane."""
    return [
        "  %all = sub i64 %height, %c",
        "  %all.odd = and i64 %all, 1",
        "  br label %search",
        "search:",
        *_search("search", "%c", "%all.odd", ()),
    ]


def _below() -> list[str]:
    """Take a pivot's row out of those below, whose elements of its column become L's."""
    loads, rest = [], []
    for h in (0, 1):
        loads += [
            f"  %l{h}.at = getelementptr $S, ptr %below.at{h}, i64 %j",
            f"  %l{h}.e = load $S, ptr %l{h}.at",
        ]
        rest += [
            *splat(f"%l{h}.v", f"%l{h}.e"),
            f"  %l{h}.up = fmul $V %l{h}.v, %up.v",
            f"  %l{h} = fmul $V %l{h}.up, %inv.v",
            f"  %l{h}.minus = fneg $V %l{h}",
            f"  %l{h}.less = call $V @llvm.fma.$M($V %l{h}.minus, $V %u, $V %below.v{h})",
            f"  %below.w{h} = select $B %here, $V %l{h}, $V %l{h}.less",
            f"  store $V %below.w{h}, ptr %below.at{h}",
        ]
    return _search("below", "%r1", "%odd", [*loads, *rest])


def _rows() -> list[str]:
    """Load rows of another pane, and find those of L beside them."""
    lines = []
    for h in range(_ROWS):
        lines += [
            f"  %gi{h} = add i64 %i, {h}",
            f"  %gl{h} = getelementptr $V, ptr %own, i64 %gi{h}",
            f"  %gt{h} = getelementptr $V, ptr %t.w, i64 %gi{h}",
            f"  %gv{h} = load $V, ptr %gt{h}",
        ]
    return lines


def _update() -> list[str]:
    """Take a row of U out of rows of another pane."""
    sums = [f"  %gp{h} = phi $V [%gv{h}, %update], [%gn{h}, %update.one]" for h in range(_ROWS)]
    lines = [
        *sums,
        "  %g.u = getelementptr $V, ptr %u.first, i64 %g",
        "  %g.x = load $V, ptr %g.u",
        "  %g.minus = fneg $V %g.x",
    ]
    for h in range(_ROWS):
        lines += [
            f"  %ga{h} = getelementptr $S, ptr %gl{h}, i64 %g",
            f"  %ge{h} = load $S, ptr %ga{h}",
            *splat(f"%gs{h}", f"%ge{h}"),
            f"  %gn{h} = call $V @llvm.fma.$M($V %gs{h}, $V %g.minus, $V %gp{h})",
        ]
    return lines
