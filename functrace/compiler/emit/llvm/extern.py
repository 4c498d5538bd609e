"""Calls of C functions from kernels, in a form that leaves the loop around them vectorisable.

LLVM vectorises a loop with a call only if the function has vector variants. Each C function gets
some here: they call it for those lanes only that are wanted, and return at once if none is. So a
branch taken by few arguments (a huge angle, say) costs the others one test a vector.
"""

from __future__ import annotations

WIDTHS = (4, 8, 16, 32)


def call_attribute(name: str, arity: int) -> str:
    """The attribute that tells the vectoriser of the variants of a wrapped function."""
    variants = ",".join(
        f"_ZGV_LLVM_M{w}{'v' * arity}_{wrapper(name)}({wrapper(name)}.x{w})" for w in WIDTHS
    )
    return f' "vector-function-abi-variant"="{variants}"'


def wrapper(name: str) -> str:
    """What kernels call instead of the C function `name`."""
    return f"c.{name}"


def definitions(externs: list[tuple[str, int]], body: str) -> list[str]:
    """What `body` needs: C functions declared, their wrappers, and the wrappers' vector variants.

    A loop with a call of the scalar wrapper may become one with any of the variants.
    """
    out: list[str] = []
    kept: list[str] = []
    for name, arity in externs:
        scalar = f"@{wrapper(name)}(" in body
        widths = [w for w in WIDTHS if scalar or f"@{wrapper(name)}.x{w}(" in body]
        out.append(_declared(name, arity))
        out += [_scalar(name, arity)] if scalar else []
        out += [_lanes(name, arity)] if widths else []
        out += [_vector(name, arity, width) for width in widths]
        kept += [f"ptr @{wrapper(name)}.x{width}" for width in widths if scalar]
    if kept:
        # Nothing calls the variants until the vectoriser does.
        used = f"[{len(kept)} x ptr] [{', '.join(kept)}]"
        out.append(f'@llvm.compiler.used = appending global {used}, section "llvm.metadata"')
    return out


_PURE = "nounwind willreturn memory(none)"
_SMALL = "noinline minsize optsize nounwind willreturn"


def _declared(name: str, arity: int) -> str:
    types = ", ".join(["double"] * arity)
    return f"declare double @{name}({types}) {_PURE}"


def _scalar(name: str, arity: int) -> str:
    args = ", ".join(f"double %a{k}" for k in range(arity))
    # Known as libm's, a call in a rare branch would be made for every lane of a vector.
    return f"""define internal double @{wrapper(name)}({args}) noinline {_PURE} {{
  %r = call double @{name}({args}) nobuiltin
  ret double %r
}}"""


def _lanes(name: str, arity: int) -> str:
    """Calls the function for the elements whose bit of a mask is set."""
    callee = f"{wrapper(name)}.lanes"
    params = ", ".join(f"ptr %a{k}" for k in range(arity))
    args = ", ".join(f"double %x{k}" for k in range(arity))
    loads = "\n".join(
        f"  %p{k} = getelementptr double, ptr %a{k}, i64 %i\n  %x{k} = load double, ptr %p{k}"
        for k in range(arity)
    )
    return f"""define internal void @{callee}({params}, ptr %out, i64 %mask) {_SMALL} {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %latch ]
  %left = phi i64 [ %mask, %entry ], [ %rest, %latch ]
  %wanted = trunc i64 %left to i1
  br i1 %wanted, label %lane, label %latch
lane:
{loads}
  %r = call double @{name}({args}) nobuiltin
  %to = getelementptr double, ptr %out, i64 %i
  store double %r, ptr %to
  br label %latch
latch:
  %next = add i64 %i, 1
  %rest = lshr i64 %left, 1
  %more = icmp ne i64 %rest, 0
  br i1 %more, label %head, label %done
done:
  ret void
}}"""


def _vector(name: str, arity: int, width: int) -> str:
    kind = f"<{width} x double>"
    params = ", ".join([*(f"{kind} %a{k}" for k in range(arity)), f"<{width} x i1> %m"])
    allocas = "\n".join(f"  %p{k} = alloca {kind}" for k in range(arity))
    stores = "\n".join(f"  store {kind} %a{k}, ptr %p{k}" for k in range(arity))
    args = ", ".join([*(f"ptr %p{k}" for k in range(arity)), "ptr %out", "i64 %mask"])
    return f"""define internal {kind} @{wrapper(name)}.x{width}({params}) {_SMALL} memory(none) {{
entry:
{allocas}
  %out = alloca {kind}
  %bits = bitcast <{width} x i1> %m to i{width}
  %mask = zext i{width} %bits to i64
  %none = icmp eq i64 %mask, 0
  br i1 %none, label %fast, label %slow
fast:
  ret {kind} zeroinitializer
slow:
{stores}
  call void @{wrapper(name)}.lanes({args})
  %r = load {kind}, ptr %out
  ret {kind} %r
}}"""
