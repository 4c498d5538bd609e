"""What an LU panel does to the columns beside it, as LLVM text: rows exchanged, and rows of U."""

from __future__ import annotations

from functrace.compiler.runtime.routine_ir import column_mask, routine_text, splat
from functrace.compiler.runtime.wide_ir import LANES

__all__ = ["left_text", "strip_text"]

#: Rows, and vectors of columns, that are solved for at once.
_ROWS, _BESIDE = 8, 3

#: Exchanges the rows of columns beside a panel, and solves for their rows of U: arguments are the
#: panel's columns, how many columns, the pivots, the number of the panel's first row, L, the
#: columns, and the leading dimension of both.
_STRIP = """
define internal void @ft_$Nstrip(ptr %p.k, ptr %p.n, ptr %pivots, ptr %p.first, ptr %l, ptr %x,
    ptr %p.ld) {
entry:
$INTS
  br label %row
row:
  %r = phi i64 [0, %entry], [%r1, %row.next]
  %r1 = add i64 %r, 1
  %p.at = getelementptr i32, ptr %pivots, i64 %r
  %p.i32 = load i32, ptr %p.at
  %p.all = sext i32 %p.i32 to i64
  %p = sub i64 %p.all, %first
  %one.at = mul i64 %r, %ld
  %one = getelementptr $S, ptr %x, i64 %one.at
  %two.at = mul i64 %p, %ld
  %two = getelementptr $S, ptr %x, i64 %two.at
  %moves = icmp ne i64 %p, %r
  br i1 %moves, label %exchange, label %row.next
exchange:
  %e.c = phi i64 [0, %row], [%e.c1, %exchange]
  %e.left = sub i64 %n, %e.c
$EXCHANGEMASK
  %e.one = getelementptr $S, ptr %one, i64 %e.c
  %e.two = getelementptr $S, ptr %two, i64 %e.c
  %e.a = call $V @llvm.masked.load.$M.p0(ptr %e.one, i32 $A, $B %e.lanes, $V zeroinitializer)
  %e.b = call $V @llvm.masked.load.$M.p0(ptr %e.two, i32 $A, $B %e.lanes, $V zeroinitializer)
  call void @llvm.masked.store.$M.p0($V %e.b, ptr %e.one, i32 $A, $B %e.lanes)
  call void @llvm.masked.store.$M.p0($V %e.a, ptr %e.two, i32 $A, $B %e.lanes)
  %e.c1 = add i64 %e.c, $W
  %e.more = icmp slt i64 %e.c1, %n
  br i1 %e.more, label %exchange, label %row.next
row.next:
  %rows = icmp slt i64 %r1, %k
  br i1 %rows, label %row, label %columns

columns:
  %c = phi i64 [0, %row.next], [%c1, %columns.next]
  %xc = getelementptr $S, ptr %x, i64 %c
$MASKS
  br label %choose
choose:
  %b = phi i64 [0, %columns], [%b.eight, %eight.done], [%b.one, %lone.done]
  %b.eight = add i64 %b, 8
  %b.one = add i64 %b, 1
  %fits = icmp sle i64 %b.eight, %k
  br i1 %fits, label %eight, label %rest
rest:
  %single = icmp slt i64 %b, %k
  br i1 %single, label %lone, label %columns.next
$BLOCKS
columns.next:
  %c1 = add i64 %c, $BESIDE
  %more = icmp slt i64 %c1, %n
  br i1 %more, label %columns, label %done
done:
  ret void
}
"""

#: Exchanges the rows of L that later panels exchanged: arguments are how many pivots, the columns
#: of a panel, the matrix, its leading dimension, and the pivots.
_LEFT = """
define internal void @ft_$Nleft(ptr %p.k, ptr %p.wide, ptr %a, ptr %p.lda, ptr %pivots) {
entry:
$INTS
  br label %panel
panel:
  %c = phi i64 [0, %entry], [%c1, %row.next]
  %c1 = add i64 %c, %wide
  %some = icmp slt i64 %c1, %k
  br i1 %some, label %row, label %done
row:
  %r = phi i64 [%c1, %panel], [%r1, %row.next]
  %r1 = add i64 %r, 1
  %p.at = getelementptr i32, ptr %pivots, i64 %r
  %p.i32 = load i32, ptr %p.at
  %p = sext i32 %p.i32 to i64
  %one.at = mul i64 %r, %lda
  %one = getelementptr $S, ptr %a, i64 %one.at
  %two.at = mul i64 %p, %lda
  %two = getelementptr $S, ptr %a, i64 %two.at
  %moves = icmp ne i64 %p, %r
  br i1 %moves, label %exchange, label %row.next
exchange:
  %e.c = phi i64 [%c, %row], [%e.c1, %exchange]
  %e.one = getelementptr $S, ptr %one, i64 %e.c
  %e.two = getelementptr $S, ptr %two, i64 %e.c
  %e.a = load $V, ptr %e.one, align $A
  %e.b = load $V, ptr %e.two, align $A
  store $V %e.b, ptr %e.one, align $A
  store $V %e.a, ptr %e.two, align $A
  %e.c1 = add i64 %e.c, $W
  %e.more = icmp slt i64 %e.c1, %c1
  br i1 %e.more, label %exchange, label %row.next
row.next:
  %rows = icmp slt i64 %r1, %k
  br i1 %rows, label %row, label %panel
done:
  ret void
}
"""


def strip_text(letter: str, integer: str) -> str:
    """Return the routine for columns to the right of a panel."""
    lanes = LANES[letter]
    blocks = [*_solved_rows(_ROWS, "eight", lanes), *_solved_rows(1, "lone", lanes)]
    pieces = {
        "$EXCHANGEMASK": "\n".join(column_mask("e", lanes)),
        "$MASKS": "\n".join(_masks(lanes)),
        "$BLOCKS": "\n".join(blocks),
        "$BESIDE": str(_BESIDE * lanes),
    }
    return routine_text(_STRIP, letter, integer, ("k", "n", "first", "ld"), pieces)


def left_text(letter: str, integer: str) -> str:
    """Return the routine for columns to the left of panels."""
    return routine_text(_LEFT, letter, integer, ("k", "wide", "lda"), {})


def _masks(lanes: int) -> list[str]:
    """Return the masks of the columns of a strip that are solved for at once."""
    lines = []
    for v in range(_BESIDE):
        lines.append(f"  %c.{v} = add i64 %c, {v * lanes}")
        lines.append(f"  %mask{v}.left = sub i64 %n, %c.{v}")
        lines += column_mask(f"mask{v}", lanes)
    return lines


def _solved_rows(rows: int, name: str, lanes: int) -> list[str]:
    """Take earlier rows of a strip out of ``rows`` more, and solve these among themselves."""
    grid = [(h, v) for h in range(rows) for v in range(_BESIDE)]
    lines = [f"{name}:"]
    for h in range(rows):
        lines += [
            f"  %{name}.r{h} = add i64 %b, {h}",
            f"  %{name}.line{h} = mul i64 %{name}.r{h}, %ld",
            f"  %{name}.l{h} = getelementptr $S, ptr %l, i64 %{name}.line{h}",
        ]
        for v in range(_BESIDE):
            lines += [
                f"  %{name}.p{h}.{v} = add i64 %{name}.line{h}, {v * lanes}",
                f"  %{name}.x{h}.{v} = getelementptr $S, ptr %xc, i64 %{name}.p{h}.{v}",
                *_loaded(f"%{name}.a{h}.{v}", f"%{name}.x{h}.{v}", v),
            ]
    lines += [
        f"  %{name}.some = icmp sgt i64 %b, 0",
        f"  br i1 %{name}.some, label %{name}.before, label %{name}.inner",
        f"{name}.before:",
        f"  %{name}.q = phi i64 [0, %{name}], [%{name}.q1, %{name}.before]",
        *(
            f"  %{name}.s{h}.{v} = phi $V [%{name}.a{h}.{v}, %{name}], "
            f"[%{name}.n{h}.{v}, %{name}.before]"
            for h, v in grid
        ),
        f"  %{name}.qx = mul i64 %{name}.q, %ld",
    ]
    for v in range(_BESIDE):
        lines += [
            f"  %{name}.qp{v} = add i64 %{name}.qx, {v * lanes}",
            f"  %{name}.qa{v} = getelementptr $S, ptr %xc, i64 %{name}.qp{v}",
            *_loaded(f"%{name}.qv{v}", f"%{name}.qa{v}", v),
            f"  %{name}.qm{v} = fneg $V %{name}.qv{v}",
        ]
    for h in range(rows):
        lines += [
            f"  %{name}.ea{h} = getelementptr $S, ptr %{name}.l{h}, i64 %{name}.q",
            f"  %{name}.es{h} = load $S, ptr %{name}.ea{h}",
            *splat(f"%{name}.e{h}", f"%{name}.es{h}"),
        ]
        for v in range(_BESIDE):
            lines.append(
                f"  %{name}.n{h}.{v} = call $V @llvm.fma.$M($V %{name}.e{h}, $V %{name}.qm{v}, "
                f"$V %{name}.s{h}.{v})"
            )
    return [
        *lines,
        f"  %{name}.q1 = add i64 %{name}.q, 1",
        f"  %{name}.more = icmp slt i64 %{name}.q1, %b",
        f"  br i1 %{name}.more, label %{name}.before, label %{name}.inner",
        *_among_themselves(rows, name),
        f"  br label %{name}.done",
        f"{name}.done:",
        "  br label %choose",
    ]


def _among_themselves(rows: int, name: str) -> list[str]:
    lines, found = [f"{name}.inner:"], {}
    for h in range(rows):
        for v in range(_BESIDE):
            found[h, v] = f"%{name}.z{h}.{v}"
            lines.append(
                f"  {found[h, v]} = phi $V [%{name}.a{h}.{v}, %{name}], "
                f"[%{name}.n{h}.{v}, %{name}.before]"
            )
    for h in range(rows):
        for v in range(_BESIDE):
            lines.append(f"  %{name}.y{h}.{v} = fneg $V {found[h, v]}")
            lines.append(
                f"  call void @llvm.masked.store.$M.p0($V {found[h, v]}, "
                f"ptr %{name}.x{h}.{v}, i32 $A, $B %mask{v}.lanes)"
            )
        for g in range(h + 1, rows):
            lines += [
                f"  %{name}.d{g}.{h}.at = getelementptr $S, ptr %{name}.l{g}, i64 %{name}.r{h}",
                f"  %{name}.d{g}.{h}.e = load $S, ptr %{name}.d{g}.{h}.at",
                *splat(f"%{name}.d{g}.{h}", f"%{name}.d{g}.{h}.e"),
            ]
            for v in range(_BESIDE):
                lines.append(
                    f"  %{name}.t{g}.{h}.{v} = call $V @llvm.fma.$M($V %{name}.d{g}.{h}, "
                    f"$V %{name}.y{h}.{v}, $V {found[g, v]})"
                )
                found[g, v] = f"%{name}.t{g}.{h}.{v}"
    return lines


def _loaded(name: str, pointer: str, v: int) -> list[str]:
    return [
        f"  {name} = call $V @llvm.masked.load.$M.p0(ptr {pointer}, i32 $A, "
        f"$B %mask{v}.lanes, $V zeroinitializer)"
    ]
