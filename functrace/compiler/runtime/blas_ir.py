"""The step functions that call BLAS, as LLVM text.

The outer range counts blocks: member ``t // blocks`` of the batch, block ``t % blocks`` of its
result: rows and columns of a matrix, or pieces of a vector. BLAS is column-major, so a row-major
``c = a @ b`` is asked for as ``c.T = b.T @ a.T``.
"""

from __future__ import annotations

__all__ = ["MATRIX", "VECTOR", "product_text"]

MATRIX, VECTOR = "gemm", "gemv"

_TYPES = {"s": ("float", 1), "d": ("double", 1), "c": ("float", 2), "z": ("double", 2)}
#: What the positions of each record hold, in order.
_MATRIX_RECORD = "sa oa ba lda sb ob bb ldb sc oc bc ldc m n k flags rows cols col_blocks blocks"
_VECTOR_RECORD = "sa oa ba lda sb ob bb ldb sc oc bc ldc m k flags block blocks"

_HEAD = """
@one = internal constant [2 x $S] [$S 1.0, $S 0.0]
@zero = internal constant [2 x $S] zeroinitializer
@plain = internal constant i8 78
@transpose = internal constant i8 84
declare i64 @llvm.smin.i64(i64, i64)

define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
$ALLOCAS
$LOADS
  %fa = getelementptr ptr, ptr %frame, i64 %sa
  %a = load ptr, ptr %fa
  %fb = getelementptr ptr, ptr %frame, i64 %sb
  %b = load ptr, ptr %fb
  %fc = getelementptr ptr, ptr %frame, i64 %sc
  %c = load ptr, ptr %fc
  %ta64 = and i64 %flags, 1
  %ta = icmp ne i64 %ta64, 0
  %tb64 = and i64 %flags, 2
  %tb = icmp ne i64 %tb64, 0
  %add64 = and i64 %flags, 4
  %add = icmp ne i64 %add64, 0
  %beta = select i1 %add, ptr @one, ptr @zero
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %loop, label %done
loop:
  %t = phi i64 [%lo, %entry], [%t1, %next]
  %member = sdiv i64 %t, %blocks
  %piece = srem i64 %t, %blocks
"""

_MATRIX_BODY = """
  %row = sdiv i64 %piece, %col_blocks
  %col = srem i64 %piece, %col_blocks
  %i = mul i64 %row, %rows
  %j = mul i64 %col, %cols
  %below = sub i64 %m, %i
  %beside = sub i64 %n, %j
  %mm = call i64 @llvm.smin.i64(i64 %below, i64 %rows)
  %nn = call i64 @llvm.smin.i64(i64 %beside, i64 %cols)
  %sia = select i1 %ta, i64 1, i64 %lda
  %sjb = select i1 %tb, i64 %ldb, i64 1
  %a1 = mul i64 %i, %sia
  %b1 = mul i64 %j, %sjb
  %c1 = mul i64 %i, %ldc
  %c2 = add i64 %c1, %j
$PLACES
  %opa = select i1 %ta, ptr @transpose, ptr @plain
  %opb = select i1 %tb, ptr @transpose, ptr @plain
$STORES
  call void @ft_$Lgemm(ptr %opb, ptr %opa, ptr %p.nn, ptr %p.mm, ptr %p.k, ptr @one,
      ptr %pb, ptr %p.ldb, ptr %pa, ptr %p.lda, ptr %beta, ptr %pc, ptr %p.ldc)
"""

_VECTOR_BODY = """
  %first = mul i64 %piece, %block
  %left = sub i64 %m, %first
  %mm = call i64 @llvm.smin.i64(i64 %left, i64 %block)
  %sia = select i1 %ta, i64 1, i64 %lda
  %a1 = mul i64 %first, %sia
  %b1 = add i64 0, 0
  %c2 = mul i64 %first, %ldc
$PLACES
  %op = select i1 %ta, ptr @plain, ptr @transpose
  %x = select i1 %ta, i64 %mm, i64 %k
  %y = select i1 %ta, i64 %k, i64 %mm
$STORES
  call void @ft_$Lgemv(ptr %op, ptr %p.x, ptr %p.y, ptr @one, ptr %pa, ptr %p.lda,
      ptr %pb, ptr %p.ldb, ptr %beta, ptr %pc, ptr %p.ldc)
"""

_TAIL = """
  br label %next
next:
  %t1 = add i64 %t, 1
  %more = icmp slt i64 %t1, %hi
  br i1 %more, label %loop, label %done
done:
  ret i64 0
}
"""


def product_text(letter: str, kind: str, integer: str) -> str:
    """Return the step function for one dtype, ``gemm`` or ``gemv``, and a library's integers."""
    scalar, parts = _TYPES[letter]
    record = (_MATRIX_RECORD if kind == MATRIX else _VECTOR_RECORD).split()
    passed = ["mm", "nn", "k", "lda", "ldb", "ldc"]
    if kind == VECTOR:
        passed = ["x", "y", "lda", "ldb", "ldc"]
    text = _HEAD + (_MATRIX_BODY if kind == MATRIX else _VECTOR_BODY) + _TAIL
    pieces = {
        "$ALLOCAS": "\n".join(f"  %p.{name} = alloca {integer}" for name in passed),
        "$LOADS": "\n".join(_load(name, at) for at, name in enumerate(record)),
        "$PLACES": "\n".join(_place(name, parts) for name in "abc"),
        "$STORES": "\n".join(_pass(name, integer) for name in passed),
        "$S": scalar,
        "$L": letter,
    }
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    arguments = ", ".join(["ptr"] * (13 if kind == MATRIX else 11))
    return text + f"declare void @ft_{letter}{kind}({arguments})\n"


def _load(name: str, at: int) -> str:
    return (
        f"  %r.{name} = getelementptr i64, ptr %record, i64 {at}\n"
        f"  %{name} = load i64, ptr %r.{name}"
    )


def _place(name: str, parts: int) -> str:
    """Where one operand's block starts: offset, member of the batch, then the block."""
    inner = {"a": "%a1", "b": "%b1", "c": "%c2"}[name]
    return (
        f"  %m{name} = mul i64 %member, %b{name}\n"
        f"  %n{name} = add i64 %m{name}, %o{name}\n"
        f"  %q{name} = add i64 %n{name}, {inner}\n"
        f"  %e{name} = mul i64 %q{name}, {parts}\n"
        f"  %p{name} = getelementptr $S, ptr %{name}, i64 %e{name}"
    )


def _pass(name: str, integer: str) -> str:
    """Store an integer where BLAS reads it."""
    if integer == "i64":
        return f"  store i64 %{name}, ptr %p.{name}"
    return (
        f"  %i.{name} = trunc i64 %{name} to {integer}\n  store {integer} %i.{name}, ptr %p.{name}"
    )
