"""What the kernels for 512-bit vectors share, as LLVM text: their types, squares transposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["LANES", "SQUARE", "filled", "transposed"]

#: Lanes of a vector of float32 (``s``) and float64 (``d``).
LANES = {"s": 16, "d": 8}
_SCALARS = {"s": "float", "d": "double"}

#: The sides of the square, and the lanes of a vector that holds one of its lines.
SQUARE = 8


def filled(text: str, letter: str, pieces: Mapping[str, str]) -> str:
    """Return a text with its pieces in their places, and then the types of a letter.

    ``$S`` is a number, ``$V`` a vector, ``$Q`` a line of a square; ``$M`` names the vector in
    intrinsics, ``$W`` is its lanes, ``$A`` the alignment.
    """
    lanes, scalar = LANES[letter], _SCALARS[letter]
    types = {
        "$V": f"<{lanes} x {scalar}>",
        "$M": f"v{lanes}f{32 if letter == 's' else 64}",
        "$Q": f"<{SQUARE} x {scalar}>",
        "$S": scalar,
        "$W": str(lanes),
        "$A": "4" if letter == "s" else "8",
    }
    for name, piece in {**pieces, **types}.items():
        text = text.replace(name, piece)
    return text


def transposed(
    names: Sequence[str], prefix: str, vector: str, words: int = 1
) -> tuple[list[str], list[str]]:
    """Return the text that transposes a square, and the names of the new lines.

    Ever larger blocks change places: single numbers, then two by two, then four by four.

    Args:
        names: the vectors that hold its lines.
        prefix: what the names of new values start with.
        vector: their type.
        words: how many lanes an element has.
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
                places = ", ".join(f"i32 {words * i + w}" for i in order for w in range(words))
                lines.append(
                    f"  {found[at]} = shufflevector {vector} {one}, {vector} {two}, "
                    f"<{SQUARE * words} x i32> <{places}>"
                )
    return lines, found
