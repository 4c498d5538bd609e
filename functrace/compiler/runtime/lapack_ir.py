"""The step functions that call LAPACK, as LLVM text.

The outer range counts the matrices of a batch, or the blocks of their right sides. Every argument
is passed by address, as Fortran does; the lengths of letters, which Fortran compilers add at the
end, are passed too.
"""

from __future__ import annotations

from collections.abc import Sequence

from functrace.compiler.ir.convention import FAIL_KINDS, STATUS_KIND_SHIFT
from functrace.compiler.runtime.lu_ir import panel_text
from functrace.compiler.runtime.solve_ir import row_solver_text
from functrace.compiler.runtime.strip_ir import left_text, strip_text

__all__ = ["call_text"]

_SCALARS = {"s": "float", "d": "double", "c": "float", "z": "double"}
_FAILED = FAIL_KINDS["linalg"] << STATUS_KIND_SHIFT

_HEAD = """
@one = internal constant [2 x $S] [$S 1.0, $S 0.0]
@minus = internal constant [2 x $S] [$S -1.0, $S 0.0]
$LETTERS
$ROUTINE
declare i64 @llvm.smin.i64(i64, i64)

define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
  %info = alloca $I
  store $I 0, ptr %info
$SETUP
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %loop, label %done
loop:
  %t = phi i64 [%lo, %entry], [%t1, %next]
  %member = sdiv i64 %t, %blocks
  %block = srem i64 %t, %blocks
  %turn = sdiv i64 %t, %grain
$PLACES
  call void @ft_$NAME($ARGUMENTS)
"""

_CHECKED = """
  %how = load $I, ptr %info
  %failed = icmp ne $I %how, 0
  br i1 %failed, label %fail, label %next
fail:
  %cell = load ptr, ptr %frame
  store i64 %message, ptr %cell
  ret i64 $FAILED
"""

_BASE = """
  %f$K = getelementptr ptr, ptr %frame, i64 %slot$K
  %base$K = load ptr, ptr %f$K"""

#: Of each kind of argument: its words in the record, what is done once, and for each call.
_ARGUMENTS = {
    "place": (
        "slot stride step offset",
        _BASE + "\n  %first$K = getelementptr i8, ptr %base$K, i64 %offset$K",
        """
  %o$K = mul i64 %member, %stride$K
  %b$K = mul i64 %block, %step$K
  %s$K = add i64 %o$K, %b$K
  %p$K = getelementptr i8, ptr %first$K, i64 %s$K""",
    ),
    "space": (
        "slot stride",
        _BASE,
        """
  %o$K = mul i64 %turn, %stride$K
  %p$K = getelementptr i8, ptr %base$K, i64 %o$K""",
    ),
    "int": (
        "n",
        """
  %p$K = alloca $I
  %s$K = $NARROW %n$K$TO
  store $I %s$K, ptr %p$K""",
        "",
    ),
    "part": (
        "n size",
        "  %p$K = alloca $I",
        """
  %o$K = mul i64 %block, %size$K
  %l$K = sub i64 %n$K, %o$K
  %m$K = call i64 @llvm.smin.i64(i64 %l$K, i64 %size$K)
  %s$K = $NARROW %m$K$TO
  store $I %s$K, ptr %p$K""",
    ),
}
#: Routines of our own, by their names after the letter of the dtype.
_OWN = {"rows": row_solver_text, "panel": panel_text, "strip": strip_text, "left": left_text}
_PASSED = {"one": "@one", "minus": "@minus", "info": "%info"}

_TAIL = """
next:
  %t1 = add i64 %t, 1
  %more = icmp slt i64 %t1, %hi
  br i1 %more, label %loop, label %done
done:
  ret i64 0
}
"""


def call_text(routine: str, arguments: Sequence[str], integer: str, checked: bool) -> str:
    """Return the step function for one routine.

    Args:
        routine: its name.
        arguments: by what the record tells of them, in this order: ``place`` (slot; bytes from a
            matrix to the next, from a block to the next, and before the first), ``space`` (slot;
            bytes from one that is used to the next), ``int`` (the number), ``part`` (total, size
            of a block); and a letter, ``one``, ``minus`` or ``info``. The record ends with the
            number of blocks, how many calls share a space, and the number of the message.
        integer: LLVM's name of the library's integers.
        checked: whether an ``info`` other than 0 is a failure.
    """
    words: list[str] = []
    setup: list[str] = []
    inside: list[str] = []
    passed: list[str] = []
    for k, argument in enumerate(arguments):
        passed.append(f"ptr {_PASSED.get(argument, '%p$K').replace('$K', str(k))}")
        names, before, each = _ARGUMENTS.get(argument, ("", "", ""))
        words += [f"{name}{k}" for name in names.split()]
        setup.append(before.replace("$K", str(k)))
        inside.append(each.replace("$K", str(k)))
        if len(argument) == 1:
            passed[-1] = f"ptr @letter{k}"
    words += ["blocks", "grain", "message"]
    letters = [(k, a) for k, a in enumerate(arguments) if len(a) == 1]
    pieces = {
        "$ROUTINE": _routine(routine, integer),
        "$LETTERS": "\n".join(f"@letter{k} = internal constant i8 {ord(a)}" for k, a in letters),
        "$SETUP": "\n".join([_word(name, at) for at, name in enumerate(words)] + setup),
        "$PLACES": "\n".join(inside),
        "$ARGUMENTS": ", ".join(passed + ["i64 1"] * len(letters)),
        "$TYPES": ", ".join(["ptr"] * len(passed) + ["i64"] * len(letters)),
        "$NAME": routine,
        "$FAILED": str(_FAILED),
        "$NARROW": "trunc i64" if integer != "i64" else "add i64 0,",
        "$TO": f" to {integer}" if integer != "i64" else "",
        "$S": _SCALARS[routine[0]],
        "$I": integer,
    }
    text = _HEAD + (_CHECKED if checked else "  br label %next\n") + _TAIL
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    return text


def _routine(name: str, integer: str) -> str:
    """Declare a routine of the library, or define one of our own."""
    if name[1:] in _OWN:
        return _OWN[name[1:]](name[0], integer)
    return "declare void @ft_$NAME($TYPES)"


def _word(name: str, at: int) -> str:
    return (
        f"  %r.{name} = getelementptr i64, ptr %record, i64 {at}\n"
        f"  %{name} = load i64, ptr %r.{name}"
    )
