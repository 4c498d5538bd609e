"""Donated arguments: their arrays are overwritten and returned as the results of their type.

A result is written straight into a donated array where nothing reads that one later (the program
then has no such input: the array comes in as the result's), and copied into it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from functrace.core.aval import ShapedArray

if TYPE_CHECKING:
    from functrace.compiler.runtime.program import Program

__all__ = ["give_back", "match_donated", "run_donating", "written_over"]


def match_donated(
    donated: Sequence[bool], in_avals: Sequence[ShapedArray], out_avals: Sequence[ShapedArray]
) -> list[tuple[int, int]]:
    """Return which donated leaf becomes which result: pairs of positions, of equal types."""
    free = [i for i, d in enumerate(donated) if d and in_avals[i].ndim]
    pairs = []
    for out, aval in enumerate(out_avals):
        for leaf in free:
            if aval.same_type(in_avals[leaf]):
                pairs.append((leaf, out))
                free.remove(leaf)
                break
    return pairs


def give_back(pairs: Sequence[tuple[Any, int]], outs: list[Any]) -> None:
    """Move results into donated arrays; what can't be written, or is given twice, is left."""
    seen = set()
    for array, i in pairs:
        if type(array) is np.ndarray and array.flags.writeable and id(array) not in seen:
            seen.add(id(array))
            np.copyto(array, outs[i])
            outs[i] = array


def written_over(program: Program, pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return which leaves come in as the arrays of which results: leaf by number of the result.

    Inputs have the first slots, in order.
    """
    taken = {spec.slot for spec in program.inputs}
    return {out: leaf for leaf, out in pairs if leaf + 1 not in taken}


def run_donating(
    program: Program, pairs: Sequence[tuple[int, int]], leaves: Sequence[Any]
) -> list[Any]:
    """Return the results of a call whose donated arrays may not be fit to be written to.

    The program runs on copies; ``give_back`` comes after it.
    """
    over = written_over(program, pairs)
    outs = [
        np.array(leaves[over[k]], spec.dtype, order="C") if k in over
        else np.empty(spec.shape, spec.dtype)
        for k, spec in enumerate(program.outputs)
    ]  # fmt: skip
    given = set(over.values())
    program.run_into([leaf for i, leaf in enumerate(leaves) if i not in given], outs)
    return [out if out.ndim else out[()] for out in outs]
