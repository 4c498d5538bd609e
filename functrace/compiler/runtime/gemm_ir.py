"""Our own matrix products, as LLVM text: for CPUs with 512-bit vectors and middling sizes.

A tile of the result, ``ROWS`` by up to three vectors, stays in registers while ``k`` runs; the
first operand is read through two strides, one element at a time, the second in whole vectors:
either in place, or from a packed copy whose panels, ``PANEL`` wide and ``kc`` long, are contiguous.
Each element of the result is a chain of fused multiply-adds along k, summed over blocks of ``kc``:
tiles, tasks and threads have no part in its bits.
"""

from __future__ import annotations

from functrace.compiler.runtime.wide_ir import LANES, SQUARE, filled, transposed

__all__ = ["PANEL", "ROWS", "pack_text", "product_text"]

#: Columns of a panel: three vectors. Eight rows of them make 24 sums, which
#: with three vectors of the second operand and one element of the first fill 28 of 32 registers.
_VECTORS = 3
PANEL = {letter: _VECTORS * lanes for letter, lanes in LANES.items()}
ROWS = 8
#: Lines of the second operand are fetched so many steps before they are used.
_AHEAD = 16

_PRODUCT_RECORD = (
    "sa oa ba rs cs sb ob bb ldb sc oc bc ldc "
    "m n k kc rows row_tasks cols col_tasks flags step width height"
)
_PACK_RECORD = "sb ob bb ldb sw bw n k kc width panels"

_DECLARATIONS = """
declare $V @llvm.fma.$M($V, $V, $V)
declare $V @llvm.masked.load.$M.p0(ptr, i32, $B, $V)
declare void @llvm.masked.store.$M.p0($V, ptr, i32, $B)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare i64 @llvm.smin.i64(i64, i64)
"""

_PRODUCT = """
define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
$LOADS
  %add64 = and i64 %flags, 1
  %packed64 = and i64 %flags, 2
  %packed = icmp ne i64 %packed64, 0
  %tall64 = and i64 %flags, 4
  %tall = icmp ne i64 %tall64, 0
  %per_p = select i1 %tall, i64 %height, i64 %cs
  %line = select i1 %packed, i64 $N, i64 %ldb
  %per_k = select i1 %packed, i64 %width, i64 %ldb
  %each = mul i64 %row_tasks, %col_tasks
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %task, label %end
task:
  %t = phi i64 [%lo, %entry], [%t1, %task.next]
  %member = sdiv i64 %t, %each
  %within = srem i64 %t, %each
  %row = sdiv i64 %within, %col_tasks
  %col = srem i64 %within, %col_tasks
  %i0 = mul i64 %row, %rows
  %j0 = mul i64 %col, %cols
  %i9 = add i64 %i0, %rows
  %i1 = call i64 @llvm.smin.i64(i64 %i9, i64 %m)
  %j9 = add i64 %j0, %cols
  %j1 = call i64 @llvm.smin.i64(i64 %j9, i64 %n)
  %ma = mul i64 %member, %ba
  %aa = getelementptr $S, ptr %pa, i64 %ma
  %mb = mul i64 %member, %bb
  %bb0 = getelementptr $S, ptr %pb, i64 %mb
  %mc = mul i64 %member, %bc
  %cc = getelementptr $S, ptr %pc, i64 %mc
  br label %block
block:
  %p = phi i64 [0, %task], [%p1, %block.next]
  %adds = phi i64 [%add64, %task], [1, %block.next]
  %add = icmp ne i64 %adds, 0
  %p.left = sub i64 %k, %p
  %depth = call i64 @llvm.smin.i64(i64 %p.left, i64 %kc)
  %p.a = mul i64 %p, %per_p
  %ap = getelementptr $S, ptr %aa, i64 %p.a
  %p.b = mul i64 %p, %per_k
  %bp = getelementptr $S, ptr %bb0, i64 %p.b
  %per_j = select i1 %packed, i64 %depth, i64 1
  br label %panel
panel:
  %j = phi i64 [%j0, %block], [%j2, %panel.next]
  %j.b = mul i64 %j, %per_j
  %bj = getelementptr $S, ptr %bp, i64 %j.b
  %j.left = sub i64 %j1, %j
  %wide = call i64 @llvm.smin.i64(i64 %j.left, i64 %step)
  %wide1 = sub i64 %wide, 1
  %full = sdiv i64 %wide1, $W
  %filled = mul i64 %full, $W
  %lanes64 = sub i64 %wide, %filled
  %lanes = trunc i64 %lanes64 to i32
  %lanes.0 = insertelement <$W x i32> poison, i32 %lanes, i32 0
  %lanes.v = shufflevector <$W x i32> %lanes.0, <$W x i32> poison, <$W x i32> zeroinitializer
  %mask = icmp slt <$W x i32> <$COUNT>, %lanes.v
  br label %tile
tile:
  %i = phi i64 [%i0, %panel], [%i2, %tile.next]
  %i.left = sub i64 %i1, %i
  %high = call i64 @llvm.smin.i64(i64 %i.left, i64 $R)
  %i.within = srem i64 %i, $N
  %i.before = sub i64 %i, %i.within
  %i.panels = mul i64 %i.before, %depth
  %i.tall = add i64 %i.panels, %i.within
  %i.flat = mul i64 %i, %rs
  %i.a = select i1 %tall, i64 %i.tall, i64 %i.flat
  %ai = getelementptr $S, ptr %ap, i64 %i.a
  %i.c = mul i64 %i, %ldc
  %ij = add i64 %i.c, %j
  %cij = getelementptr $S, ptr %cc, i64 %ij
  switch i64 %full, label %tile1 [$CASES]
$TILES
tile.next:
  %i2 = add i64 %i, $R
  %i.more = icmp slt i64 %i2, %i1
  br i1 %i.more, label %tile, label %panel.next
panel.next:
  %j2 = add i64 %j, %step
  %j.more = icmp slt i64 %j2, %j1
  br i1 %j.more, label %panel, label %block.next
block.next:
  %p1 = add i64 %p, %kc
  %p.more = icmp slt i64 %p1, %k
  br i1 %p.more, label %block, label %task.next
task.next:
  %t1 = add i64 %t, 1
  %more = icmp slt i64 %t1, %hi
  br i1 %more, label %task, label %end
end:
  ret i64 0
}
"""

#: Copies one panel after the other; a panel's blocks of ``kc`` lie ``kc * width`` apart.
_PACK = """
define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
$LOADS
  %last = sub i64 %n, 1
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %panel, label %end
panel:
  %t = phi i64 [%lo, %entry], [%t1, %panel.next]
  %member = sdiv i64 %t, %panels
  %which = srem i64 %t, %panels
  %j = mul i64 %which, $N
  %mb = mul i64 %member, %bb
  %from = getelementptr $S, ptr %pb, i64 %mb
  %mw = mul i64 %member, %bw
  %to = getelementptr $S, ptr %pw, i64 %mw
$COLUMNS
  br label %block
block:
  %p = phi i64 [0, %panel], [%p9, %block.next]
  %p.left = sub i64 %k, %p
  %depth = call i64 @llvm.smin.i64(i64 %p.left, i64 %kc)
  %p9 = add i64 %p, %depth
  %p.w = mul i64 %p, %width
  %j.w = mul i64 %j, %depth
  %at = add i64 %p.w, %j.w
  %start = getelementptr $S, ptr %to, i64 %at
$LINES
block.next:
  %p.more = icmp slt i64 %p9, %k
  br i1 %p.more, label %block, label %panel.next
panel.next:
  %t1 = add i64 %t, 1
  %more = icmp slt i64 %t1, %hi
  br i1 %more, label %panel, label %end
end:
  ret i64 0
}
"""

#: From column ``u`` of the panel on: whole squares, then single lines.
_STRIPE = """
  br label %squares
squares:
  %q = phi i64 [0, %stripe], [%q1, %square]
  %q1 = add i64 %q, $K
  %q.fits = icmp sle i64 %q1, %depth
  br i1 %q.fits, label %square, label %rest
square:
  %g.line = mul i64 %q, $N
  %g.at = add i64 %g.line, %u
  %g = getelementptr $S, ptr %start, i64 %g.at"""
_REST = """
rest:
  %w = phi i64 [%q, %squares], [%w1, %rest.line]
  %w.more = icmp slt i64 %w, %depth
  br i1 %w.more, label %rest.line, label %stripe.next
rest.line:
  %w.line = mul i64 %w, $N
  %w.at = add i64 %w.line, %u
  %w.g = getelementptr $S, ptr %start, i64 %w.at
$SINGLES
  %w1 = add i64 %w, 1
  br label %rest
stripe.next:
  %u1 = add i64 %u, $K
  %u.more = icmp slt i64 %u1, $N
  br i1 %u.more, label %stripe, label %block.next"""


def product_text(letter: str) -> str:
    """Return the step function of products of one dtype: ``s`` or ``d``."""
    cases = " ".join(f"i64 {v - 1}, label %tile{v}" for v in range(2, _VECTORS + 1))
    calls = [
        f"tile{v}:\n  call void @ft_tile{v}(ptr %ai, i64 %rs, i64 %cs, i64 %high, ptr %bj, "
        f"i64 %line, i64 %depth, ptr %cij, i64 %ldc, $B %mask, i1 %add)\n  br label %tile.next"
        for v in range(1, _VECTORS + 1)
    ]
    text = _PRODUCT.replace("$CASES", cases).replace("$TILES", "\n".join(calls))
    text = text.replace("$LOADS", _loads(_PRODUCT_RECORD, "abc"))
    tiles = [_tile(letter, v) for v in range(1, _VECTORS + 1)]
    return _filled("\n".join([*tiles, text, _DECLARATIONS]), letter)


def pack_text(letter: str, transposed: bool) -> str:
    """Return the step function that packs second operands, stored as they are or transposed."""
    columns, lines = ("", _turned_lines()) if transposed else _straight_lines(letter)
    text = _PACK.replace("$LOADS", _loads(_PACK_RECORD, "bw"))
    text = text.replace("$COLUMNS", columns).replace("$LINES", lines)
    return _filled(text + _DECLARATIONS, letter)


def _filled(text: str, letter: str) -> str:
    lanes = LANES[letter]
    pieces = {
        "$B": f"<{lanes} x i1>",
        "$K": str(SQUARE),
        "$COUNT": ", ".join(f"i32 {i}" for i in range(lanes)),
        "$N": str(PANEL[letter]),
        "$R": str(ROWS),
    }
    return filled(text, letter, pieces)


def _loads(record: str, arrays: str) -> str:
    """Read the record, and where each array starts."""
    lines = []
    for at, name in enumerate(record.split()):
        lines.append(f"  %r.{name} = getelementptr i64, ptr %record, i64 {at}")
        lines.append(f"  %{name} = load i64, ptr %r.{name}")
    for name in arrays:
        lines.append(f"  %f{name} = getelementptr ptr, ptr %frame, i64 %s{name}")
        lines.append(f"  %base.{name} = load ptr, ptr %f{name}")
        offset = f"%o{name}" if name != "w" else "0"
        lines.append(f"  %p{name} = getelementptr $S, ptr %base.{name}, i64 {offset}")
    return "\n".join(lines)


def _tile(letter: str, vectors: int) -> str:
    """Return the function of a tile; rows past ``high`` repeat the last one and aren't stored."""
    lanes = LANES[letter]
    grid = [(i, v) for i in range(ROWS) for v in range(vectors)]
    head = [
        f"define internal void @ft_tile{vectors}(ptr noalias %a, i64 %rs, i64 %cs, i64 %high, "
        "ptr noalias %b, i64 %line, i64 %depth, ptr noalias %c, i64 %ldc, $B %mask, i1 %add) "
        f"noinline {{\nentry:\n  %last = sub i64 %high, 1\n  %ahead = mul i64 %line, {_AHEAD}",
        "  %adds.0 = insertelement $B poison, i1 %add, i32 0",
        "  %adds = shufflevector $B %adds.0, $B poison, <$W x i32> zeroinitializer",
    ]
    for i in range(ROWS):
        head += [
            f"  %row{i} = call i64 @llvm.smin.i64(i64 {i}, i64 %last)",
            f"  %ao{i} = mul i64 %row{i}, %rs",
            f"  %a{i} = getelementptr $S, ptr %a, i64 %ao{i}",
            f"  %co{i} = mul i64 %row{i}, %ldc",
            f"  %c{i} = getelementptr $S, ptr %c, i64 %co{i}",
        ]
    for i, v in grid:
        head += [
            f"  %c{i}.{v} = getelementptr $S, ptr %c{i}, i64 {v * lanes}",
            f"  call void @llvm.prefetch.p0(ptr %c{i}.{v}, i32 1, i32 3, i32 1)",
        ]
    head += [
        "  br label %loop\nloop:",
        "  %p = phi i64 [0, %entry], [%p1, %loop]",
        "  %x = phi i64 [0, %entry], [%x1, %loop]",
        "  %bp = phi ptr [%b, %entry], [%bp1, %loop]",
    ]
    head += [f"  %s{i}.{v} = phi $V [zeroinitializer, %entry], [%n{i}.{v}, %loop]" for i, v in grid]
    return "\n".join([*head, *_tile_loop(vectors, lanes), *_tile_end(vectors), "}"])


def _tile_loop(vectors: int, lanes: int) -> list[str]:
    """One step along k: the sums ``s`` become ``n``."""
    lines = ["  %soon = getelementptr $S, ptr %bp, i64 %ahead"]
    for v in range(vectors):
        lines.append(f"  %soon{v} = getelementptr $S, ptr %soon, i64 {v * lanes}")
        lines.append(f"  call void @llvm.prefetch.p0(ptr %soon{v}, i32 0, i32 3, i32 1)")
        lines.append(f"  %bq{v} = getelementptr $S, ptr %bp, i64 {v * lanes}")
        lines.append(f"  %b{v} = {_load(f'%bq{v}', '%mask' if v == vectors - 1 else '')}")
    for i in range(ROWS):
        lines += [
            f"  %aq{i} = getelementptr $S, ptr %a{i}, i64 %x",
            f"  %e{i} = load $S, ptr %aq{i}",
            f"  %e{i}.0 = insertelement $V poison, $S %e{i}, i32 0",
            f"  %e{i}.v = shufflevector $V %e{i}.0, $V poison, <$W x i32> zeroinitializer",
        ]
        for v in range(vectors):
            lines.append(f"  %n{i}.{v} = call $V @llvm.fma.$M($V %e{i}.v, $V %b{v}, $V %s{i}.{v})")
    return [
        *lines,
        "  %p1 = add i64 %p, 1",
        "  %x1 = add i64 %x, %cs",
        "  %bp1 = getelementptr $S, ptr %bp, i64 %line",
        "  %more = icmp slt i64 %p1, %depth",
        "  br i1 %more, label %loop, label %out",
    ]


def _tile_end(vectors: int) -> list[str]:
    """Add the sums to what is there, or to 0, and store the rows there are."""
    lines = ["out:"]
    for v in range(vectors):
        mask = "%mask" if v == vectors - 1 else "%adds"
        lines.append(f"  %there{v} = and $B {mask}, %adds")
    lines.append("  br label %store0")
    for i in range(ROWS):
        lines.append(f"store{i}:")
        for v in range(vectors):
            at = f"%c{i}.{v}"
            lines += [
                f"  %old{i}.{v} = {_load(at, f'%there{v}')}",
                f"  %sum{i}.{v} = fadd $V %old{i}.{v}, %n{i}.{v}",
                _store(f"%sum{i}.{v}", at, v == vectors - 1),
            ]
        if i < ROWS - 1:
            lines.append(f"  %more{i} = icmp sgt i64 %high, {i + 1}")
            lines.append(f"  br i1 %more{i}, label %store{i + 1}, label %done")
    return [*lines, "  br label %done", "done:", "  ret void"]


def _load(pointer: str, mask: str) -> str:
    if not mask:
        return f"load $V, ptr {pointer}, align $A"
    return f"call $V @llvm.masked.load.$M.p0(ptr {pointer}, i32 $A, $B {mask}, $V zeroinitializer)"


def _store(value: str, pointer: str, masked: bool) -> str:
    if not masked:
        return f"  store $V {value}, ptr {pointer}, align $A"
    return f"  call void @llvm.masked.store.$M.p0($V {value}, ptr {pointer}, i32 $A, $B %mask)"


def _straight_lines(letter: str) -> tuple[str, str]:
    """Copy a line of the panel at a time; what lies past the last column becomes 0."""
    lanes = LANES[letter]
    before, lines = [], ["  br label %line\nline:"]
    lines += [
        "  %q = phi i64 [0, %block], [%q1, %line]",
        "  %pq = add i64 %p, %q",
        "  %f.line = mul i64 %pq, %ldb",
        "  %f.at = add i64 %f.line, %j",
        "  %f = getelementptr $S, ptr %from, i64 %f.at",
        "  %g.at = mul i64 %q, $N",
        "  %g = getelementptr $S, ptr %start, i64 %g.at",
    ]
    for v in range(_VECTORS):
        before += [
            f"  %j.{v} = add i64 %j, {v * lanes}",
            f"  %left64.{v} = sub i64 %n, %j.{v}",
            f"  %left64c.{v} = call i64 @llvm.smin.i64(i64 %left64.{v}, i64 $W)",
            f"  %left.{v} = trunc i64 %left64c.{v} to i32",
            f"  %l0.{v} = insertelement <$W x i32> poison, i32 %left.{v}, i32 0",
            f"  %lv.{v} = shufflevector <$W x i32> %l0.{v}, <$W x i32> poison, "
            "<$W x i32> zeroinitializer",
            f"  %mask{v} = icmp slt <$W x i32> <$COUNT>, %lv.{v}",
        ]
        lines += [
            f"  %f{v} = getelementptr $S, ptr %f, i64 {v * lanes}",
            f"  %x{v} = call $V @llvm.masked.load.$M.p0(ptr %f{v}, i32 $A, $B %mask{v}, "
            "$V zeroinitializer)",
            f"  %g{v} = getelementptr $S, ptr %g, i64 {v * lanes}",
            f"  store $V %x{v}, ptr %g{v}, align $A",
        ]
    lines += [
        "  %q1 = add i64 %q, 1",
        "  %q.more = icmp slt i64 %q1, %depth",
        "  br i1 %q.more, label %line, label %block.next",
    ]
    return "\n".join(before), "\n".join(lines)


def _turned_lines() -> str:
    """Transpose squares in registers, and gather what is left; past the last column it repeats."""
    lines = [
        "  br label %stripe\nstripe:",
        "  %u = phi i64 [0, %block], [%u1, %stripe.next]",
        "  %ju = add i64 %j, %u",
    ]
    for c in range(SQUARE):
        lines += [
            f"  %jc{c} = add i64 %ju, {c}",
            f"  %jl{c} = call i64 @llvm.smin.i64(i64 %jc{c}, i64 %last)",
            f"  %jo{c} = mul i64 %jl{c}, %ldb",
            f"  %jp{c} = add i64 %jo{c}, %p",
            f"  %col{c} = getelementptr $S, ptr %from, i64 %jp{c}",
        ]
    singles = []
    for c in range(SQUARE):
        before = f"%w.v{c - 1}" if c else "poison"
        singles += [
            f"  %w.f{c} = getelementptr $S, ptr %col{c}, i64 %w",
            f"  %w.x{c} = load $S, ptr %w.f{c}",
            f"  %w.v{c} = insertelement $Q {before}, $S %w.x{c}, i32 {c}",
        ]
    singles.append(f"  store $Q %w.v{SQUARE - 1}, ptr %w.g, align $A")
    return "\n".join([*lines, _STRIPE, *_square(), _REST.replace("$SINGLES", "\n".join(singles))])


def _square() -> list[str]:
    """Transpose ``SQUARE`` columns by as many lines."""
    lines = []
    names = [f"%x{c}" for c in range(SQUARE)]
    for c, name in enumerate(names):
        lines.append(f"  %f{c} = getelementptr $S, ptr %col{c}, i64 %q")
        lines.append(f"  {name} = load $Q, ptr %f{c}, align $A")
    moves, names = transposed(names, "%y", "$Q")
    lines += moves
    for q, name in enumerate(names):
        lines.append(f"  %h{q} = getelementptr [$N x $S], ptr %g, i64 {q}")
        lines.append(f"  store $Q {name}, ptr %h{q}, align $A")
    return [*lines, "  br label %squares"]
