"""The step functions that call LAPACK, as LLVM text.

The outer range counts the matrices of a batch. Every argument is passed by address, as Fortran
does; the lengths of letters, which Fortran compilers add at the end, are passed too.
"""

from __future__ import annotations

from collections.abc import Sequence

from functrace.compiler.kernel import FAIL_KINDS, STATUS_KIND_SHIFT

__all__ = ["call_text"]

_SCALARS = {"s": "float", "d": "double", "c": "float", "z": "double"}
_FAILED = FAIL_KINDS["linalg"] << STATUS_KIND_SHIFT

_HEAD = """
@one = internal constant [2 x $S] [$S 1.0, $S 0.0]
$LETTERS
declare void @ft_$NAME($TYPES)

define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
  %info = alloca $I
  store $I 0, ptr %info
$SETUP
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %loop, label %done
loop:
  %t = phi i64 [%lo, %entry], [%t1, %next]
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
        arguments: ``place`` and ``int`` for what the record tells, a letter, ``one`` or ``info``.
            The record has a slot and a stride in bytes per place, a number per int, in order,
            and the number of the message last.
        integer: LLVM's name of the library's integers.
        checked: whether an ``info`` other than 0 is a failure.
    """
    setup: list[str] = []
    places: list[str] = []
    passed: list[str] = []
    at = 0
    for k, argument in enumerate(arguments):
        if argument == "place":
            setup += [*_word(f"slot{k}", at), *_word(f"stride{k}", at + 1)]
            setup += [
                f"  %f{k} = getelementptr ptr, ptr %frame, i64 %slot{k}",
                f"  %base{k} = load ptr, ptr %f{k}",
            ]
            places += [
                f"  %o{k} = mul i64 %t, %stride{k}",
                f"  %p{k} = getelementptr i8, ptr %base{k}, i64 %o{k}",
            ]
            at += 2
        elif argument == "int":
            setup += [*_word(f"n{k}", at), f"  %p{k} = alloca {integer}"]
            value = f"%n{k}"
            if integer != "i64":
                setup.append(f"  %s{k} = trunc i64 %n{k} to {integer}")
                value = f"%s{k}"
            setup.append(f"  store {integer} {value}, ptr %p{k}")
            at += 1
        name = {"place": f"%p{k}", "int": f"%p{k}", "one": "@one", "info": "%info"}
        passed.append(f"ptr {name.get(argument, f'@letter{k}')}")
    letters = [
        f"@letter{k} = internal constant i8 {ord(a)}"
        for k, a in enumerate(arguments)
        if len(a) == 1
    ]
    if checked:
        setup += _word("message", at)
    lengths = ["i64 1"] * len(letters)
    pieces = {
        "$LETTERS": "\n".join(letters),
        "$SETUP": "\n".join(setup),
        "$PLACES": "\n".join(places),
        "$ARGUMENTS": ", ".join(passed + lengths),
        "$TYPES": ", ".join(["ptr"] * len(passed) + ["i64"] * len(lengths)),
        "$NAME": routine,
        "$FAILED": str(_FAILED),
        "$S": _SCALARS[routine[0]],
        "$I": integer,
    }
    text = _HEAD + (_CHECKED if checked else "  br label %next\n") + _TAIL
    for name_, piece in pieces.items():
        text = text.replace(name_, piece)
    return text


def _word(name: str, at: int) -> list[str]:
    return [
        f"  %r.{name} = getelementptr i64, ptr %record, i64 {at}",
        f"  %{name} = load i64, ptr %r.{name}",
    ]
