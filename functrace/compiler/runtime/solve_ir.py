"""Forward substitution for many rows at once, as LLVM text: what BLAS's solver is slow at.

``x @ l.T = b`` for each row of ``b``: as many rows as a vector has lanes are transposed into a tile
on the stack, solved eight columns at a time, and transposed back. BLAS's ``trsm`` takes time in
proportion to the triangle's side, not its square, so a small one costs it several times as much.
"""

from __future__ import annotations

from functrace.compiler.runtime.wide_ir import LANES, SQUARE, filled, transposed

__all__ = ["MOST_COLUMNS", "row_solver_text"]

#: The side of the triangle is a multiple of eight, and no larger.
MOST_COLUMNS = 64

_TEXT = """
declare $V @llvm.fma.$M($V, $V, $V)

define internal void @ft_$Nrows(ptr %p.n, ptr %p.m, ptr %l, ptr %p.ldl, ptr %x, ptr %p.ldx) {
entry:
  %n.i = load $I, ptr %p.n
  %n = $WIDEN %n.i$TO
  %m.i = load $I, ptr %p.m
  %m = $WIDEN %m.i$TO
  %ldl.i = load $I, ptr %p.ldl
  %ldl = $WIDEN %ldl.i$TO
  %ldx.i = load $I, ptr %p.ldx
  %ldx = $WIDEN %ldx.i$TO
  %tile = alloca [$MOST x $V], align 64
  %inverses = alloca [$MOST x $S], align 64
  %last = sub i64 %m, 1
  %diagonal = add i64 %ldl, 1
  %any = icmp sgt i64 %m, 0
  br i1 %any, label %invert, label %done
invert:
  %d = phi i64 [0, %entry], [%d1, %invert]
  %d.at = mul i64 %d, %diagonal
  %d.l = getelementptr $S, ptr %l, i64 %d.at
  %d.v = load $S, ptr %d.l
  %d.r = fdiv $S 1.0, %d.v
  %d.to = getelementptr $S, ptr %inverses, i64 %d
  store $S %d.r, ptr %d.to
  %d1 = add i64 %d, 1
  %d.more = icmp slt i64 %d1, %n
  br i1 %d.more, label %invert, label %rows
rows:
  %r = phi i64 [0, %invert], [%r1, %rows.next]
$ROWS
  br label %into
into:
  %q = phi i64 [0, %rows], [%q1, %into]
$INTO
  %q1 = add i64 %q, 8
  %q.more = icmp slt i64 %q1, %n
  br i1 %q.more, label %into, label %columns
columns:
  %j = phi i64 [0, %into], [%j1, %solve]
$LINES
  %some = icmp sgt i64 %j, 0
  br i1 %some, label %before, label %solve
before:
  %i = phi i64 [0, %columns], [%i1, %before]
$SUMS
  %i1 = add i64 %i, 1
  %i.more = icmp slt i64 %i1, %j
  br i1 %i.more, label %before, label %solve
solve:
$SOLVE
  %j1 = add i64 %j, 8
  %j.more = icmp slt i64 %j1, %n
  br i1 %j.more, label %columns, label %back
back:
  %u = phi i64 [0, %solve], [%u1, %back]
$BACK
  %u1 = add i64 %u, 8
  %u.more = icmp slt i64 %u1, %n
  br i1 %u.more, label %back, label %rows.next
rows.next:
  %r1 = add i64 %r, $W
  %more = icmp slt i64 %r1, %m
  br i1 %more, label %rows, label %done
done:
  ret void
}
"""


def row_solver_text(letter: str, integer: str) -> str:
    """Return the function for one dtype, with a library's integers passed by address.

    Its arguments: n, how many rows, l, its leading dimension, the rows, theirs; all row-major.
    """
    lanes = LANES[letter]
    pieces = {
        "$ROWS": "\n".join(_row_pointers(lanes)),
        "$INTO": "\n".join(_moved(lanes, "q", into=True)),
        "$BACK": "\n".join(_moved(lanes, "u", into=False)),
        "$LINES": "\n".join(_lines()),
        "$SUMS": "\n".join(_sums()),
        "$SOLVE": "\n".join(_solved()),
        "$MOST": str(MOST_COLUMNS),
        "$WIDEN": "sext i32" if integer == "i32" else "add i64 0,",
        "$TO": " to i64" if integer == "i32" else "",
        "$I": integer,
        "$N": letter,
    }
    return filled(_TEXT, letter, pieces)


def _row_pointers(lanes: int) -> list[str]:
    """Rows past the last one repeat it: what is solved and stored is then the same."""
    lines = []
    for c in range(lanes):
        lines += [
            f"  %w{c} = add i64 %r, {c}",
            f"  %w{c}.past = icmp sgt i64 %w{c}, %last",
            f"  %w{c}.in = select i1 %w{c}.past, i64 %last, i64 %w{c}",
            f"  %w{c}.at = mul i64 %w{c}.in, %ldx",
            f"  %row{c} = getelementptr $S, ptr %x, i64 %w{c}.at",
        ]
    return lines


def _moved(lanes: int, at: str, *, into: bool) -> list[str]:
    """Transpose eight columns of the rows into the tile, or back."""
    lines = []
    for h in range(0, lanes, SQUARE):
        ours, tiles = [], []
        for c in range(SQUARE):
            ours.append(f"%{at}.row{h}.{c}")
            lines.append(f"  {ours[c]} = getelementptr $S, ptr %row{h + c}, i64 %{at}")
            tiles.append(f"%{at}.tile{h}.{c}")
            lines += [
                f"  %{at}.line{h}.{c} = add i64 %{at}, {c}",
                f"  %{at}.place{h}.{c} = getelementptr $V, ptr %tile, i64 %{at}.line{h}.{c}",
                f"  {tiles[c]} = getelementptr $S, ptr %{at}.place{h}.{c}, i64 {h}",
            ]
        sources, targets = (ours, tiles) if into else (tiles, ours)
        names = [f"%{at}.v{h}.{c}" for c in range(SQUARE)]
        loads = zip(names, sources)
        lines += [f"  {name} = load $Q, ptr {source}, align $A" for name, source in loads]
        moves, names = transposed(names, f"%{at}.t{h}.", "$Q")
        stores = zip(names, targets)
        lines += [*moves, *(f"  store $Q {x}, ptr {target}, align $A" for x, target in stores)]
    return lines


def _lines() -> list[str]:
    """Eight columns as they are, and where the rows of the triangle start that belong to them."""
    lines = []
    for c in range(SQUARE):
        lines += [
            f"  %col{c} = add i64 %j, {c}",
            f"  %t{c} = getelementptr $V, ptr %tile, i64 %col{c}",
            f"  %b{c} = load $V, ptr %t{c}",
            f"  %l{c}.at = mul i64 %col{c}, %ldl",
            f"  %l{c} = getelementptr $S, ptr %l, i64 %l{c}.at",
        ]
    return lines


def _sums() -> list[str]:
    """Take what an earlier column contributes out of the eight."""
    phis = [f"  %s{c} = phi $V [%b{c}, %columns], [%n{c}, %before]" for c in range(SQUARE)]
    lines = [
        *phis,
        "  %i.t = getelementptr $V, ptr %tile, i64 %i",
        "  %i.v = load $V, ptr %i.t",
        "  %i.minus = fneg $V %i.v",
    ]
    for c in range(SQUARE):
        lines += [
            f"  %e{c}.at = getelementptr $S, ptr %l{c}, i64 %i",
            *_spread(f"%e{c}", f"%e{c}.at"),
            f"  %n{c} = call $V @llvm.fma.$M($V %e{c}, $V %i.minus, $V %s{c})",
        ]
    return lines


def _solved() -> list[str]:
    """Solve the eight columns among themselves."""
    names = [f"%z{c}" for c in range(SQUARE)]
    lines = [f"  {z} = phi $V [%b{c}, %columns], [%n{c}, %before]" for c, z in enumerate(names)]
    for c in range(SQUARE):
        lines += [
            f"  %r{c}.i = getelementptr $S, ptr %inverses, i64 %col{c}",
            *_spread(f"%inv{c}", f"%r{c}.i"),
            f"  %y{c} = fmul $V {names[c]}, %inv{c}",
            f"  store $V %y{c}, ptr %t{c}",
            f"  %y{c}.minus = fneg $V %y{c}",
        ]
        for later in range(c + 1, SQUARE):
            lines += [
                f"  %k{c}.{later}.at = getelementptr $S, ptr %l{later}, i64 %col{c}",
                *_spread(f"%k{c}.{later}", f"%k{c}.{later}.at"),
                f"  %z{later}.{c} = call $V @llvm.fma.$M($V %k{c}.{later}, $V %y{c}.minus, "
                f"$V {names[later]})",
            ]
            names[later] = f"%z{later}.{c}"
    return lines


def _spread(name: str, pointer: str) -> list[str]:
    """Load a number into all lanes."""
    return [
        f"  {name}.one = load $S, ptr {pointer}",
        f"  {name}.lane = insertelement $V poison, $S {name}.one, i32 0",
        f"  {name} = shufflevector $V {name}.lane, $V poison, <$W x i32> zeroinitializer",
    ]
