"""Transposing a square of numbers in registers, as LLVM text."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SQUARE", "transposed"]

#: The sides of the square, and the lanes of a vector that holds one of its lines.
SQUARE = 8


def transposed(names: Sequence[str], prefix: str, vector: str) -> tuple[list[str], list[str]]:
    """Return the text that transposes a square, and the names of the new lines.

    Ever larger blocks change places: single numbers, then two by two, then four by four.

    Args:
        names: the vectors that hold its lines.
        prefix: what the names of new values start with.
        vector: their type.
    """
    lines: list[str] = []
    found = list(names)
    for far in (1, 2, 4):
        low = [i if not i & far else SQUARE + i - far for i in range(SQUARE)]
        high = [i + far if not i & far else SQUARE + i for i in range(SQUARE)]
        for c in range(SQUARE):
            if c & far:
                continue
            one, two = found[c], found[c + far]
            for at, order in ((c, low), (c + far, high)):
                found[at] = f"{prefix}{far}.{at}"
                places = ", ".join(f"i32 {i}" for i in order)
                lines.append(
                    f"  {found[at]} = shufflevector {vector} {one}, {vector} {two}, "
                    f"<{SQUARE} x i32> <{places}>"
                )
    return lines, found
