"""Elements that lie a few apart, as vectors: whole registers are loaded, and the elements picked.

LLVM finds the two or three shuffles of registers that this takes only for vectors that fit into
one. Coordinates lie side by side, so all of them are usually wanted, of the same points: then what
is loaded for the first of them has the others too.
"""

from __future__ import annotations

from collections.abc import Sequence

from functrace.compiler.ir.kernel import I64, Buffer, Const, Load, Local, Op, Region, Store

__all__ = ["Neighbours", "lanes_of_register", "name_of", "pick_lines", "starts_of"]

_REGISTER_BYTES = 64


class Neighbours:
    """Which loads of a region are at constant distances from each other."""

    def __init__(self, region: Region) -> None:
        self._roots: dict[int, tuple[int, int]] = {}
        self._offsets: dict[tuple[str, int], set[int]] = {}
        written = {_group(s.memory) for s in region.stmts if isinstance(s, Store)}
        for stmt in region.stmts:
            if isinstance(stmt, Op):
                self._note(stmt)
            elif isinstance(stmt, Load) and _group(stmt.memory) not in written:
                root, offset = self.root(stmt)
                self._offsets.setdefault((name_of(stmt.memory), root), set()).add(offset)

    def _note(self, op: Op) -> None:
        if op.name != "add" or op.result.dtype != I64:
            return
        first, second = op.args
        if isinstance(first, Const):
            first, second = second, first
        if isinstance(second, Const) and not isinstance(first, Const):
            root, offset = self._roots.get(first.id, (first.id, 0))
            self._roots[op.result.id] = root, offset + int(second.value)

    def root(self, load: Load) -> tuple[int, int]:
        """The index that a load's is a constant away from, and that constant."""
        if isinstance(load.index, Const):
            return -1, int(load.index.value)
        return self._roots.get(load.index.id, (load.index.id, 0))

    def fill(self, load: Load, step: int) -> bool:
        """Whether a load and others read all of the ``step`` elements from its root on."""
        root, _ = self.root(load)
        return self._offsets.get((name_of(load.memory), root), set()) >= set(range(step))


def name_of(memory: Buffer | Local) -> str:
    """What tells it from other memory of its kernel."""
    return f"{'local' if isinstance(memory, Local) else 'buffer'} {memory.index}"


def _group(memory: Buffer | Local) -> str:
    return f"local {memory.index}" if isinstance(memory, Local) else f"group {memory.group}"


def lanes_of_register(size: int, lanes: int) -> int:
    """How many elements of so many bytes fill a register; 0 if that doesn't divide the lanes."""
    width = _REGISTER_BYTES // size
    return width if lanes % width == 0 else 0


def starts_of(width: int, step: int, filled: bool) -> list[int]:
    """Where the registers begin that hold ``width`` elements ``step`` apart, in elements.

    If only the first element of each step may be read, the last register ends with one.
    """
    last = width * (step - 1) - (0 if filled else step - 1)
    return [*range(0, width * (step - 1), width), last]


def pick_lines(
    result: str, loaded: Sequence[str], kind: str, places: Sequence[int], starts: Sequence[int]
) -> list[str]:
    """Return what picks elements of several registers, as lines that define a result.

    Args:
        result: its name.
        loaded: the registers.
        kind: their type.
        places: the elements wanted.
        starts: which element each register begins with.
    """
    width = len(places)
    # The first register that has it.
    source = [next(j for j, s in enumerate(starts) if s <= p < s + width) for p in places]
    lines, last = [], loaded[0]
    for j in range(1, len(loaded)):
        picks = []
        for lane, (place, of) in enumerate(zip(places, source)):
            known = lane if j > 1 else place - starts[0]
            pick = known if of < j else width + place - starts[j]
            picks.append(f"i32 {pick if of <= j else 'poison'}")
        name = result if j == len(loaded) - 1 else f"{result}.{j}"
        pair = f"{kind} {last}, {kind} {loaded[j]}"
        lines.append(f"{name} = shufflevector {pair}, <{width} x i32> <{', '.join(picks)}>")
        last = name
    return lines
