"""Turns steps into what the driver needs of them: addresses, records and nested lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from functrace.compiler.runtime.build import Module, NativeCode, build_all
from functrace.compiler.runtime.loop_ir import CopyWord, LoopWord, SwitchWord
from functrace.compiler.runtime.steps import (
    Copy,
    HostCall,
    KernelCode,
    Loop,
    Step,
    Switch,
    all_steps,
)

__all__ = ["Placed", "Placer"]

_NOTHING: Mapping[int, Any] = MappingProxyType({})


class Placed(NamedTuple):
    """A step whose code is loaded.

    Attributes:
        function: the address of its code.
        record: its words.
        extent, grain, light: as of the step.
        number: its place among all steps of the program, nested ones included.
        lists: positions in the record that hold the address of a step list.
        tables: positions in the record that hold the address of a row of integers.
    """

    function: int
    record: Sequence[int]
    extent: int
    grain: int
    number: int
    lists: Mapping[int, Sequence[Placed]] = _NOTHING
    tables: Mapping[int, Sequence[int]] = _NOTHING
    light: bool = False


class Placer:
    """Places steps one after the other.

    Attributes:
        steps: every step so far, nested ones included, by number.
        codes, hosts: what must stay alive for as long as the steps are run.
    """

    def __init__(self, addresses: Mapping[str, int]) -> None:
        self.steps: list[Step] = []
        self.hosts: list[Callable[[int], None]] = []
        self._addresses = addresses
        self._codes: dict[KernelCode, NativeCode] = {}

    def load(self, steps: Sequence[Step]) -> None:
        """Load the code of steps that are to be placed: what is missing is compiled at once."""
        kernels = [_code_of(step) for step in all_steps(steps)]
        wanted = list(dict.fromkeys(k for k in kernels if isinstance(k, KernelCode)))
        modules = [Module(k.text, (k.entry,), k.symbols) for k in wanted]
        self._codes.update(zip(wanted, build_all(modules)))

    @property
    def codes(self) -> list[NativeCode]:
        """The code of all kernels."""
        return list(self._codes.values())

    def place(self, steps: Sequence[Step]) -> list[Placed]:
        """Return the steps of one list."""
        return [self._place(step) for step in steps]

    def _place(self, step: Step) -> Placed:
        number = len(self.steps)
        self.steps.append(step)
        kernel = _code_of(step)
        if isinstance(kernel, Loop):
            return self._place_loop(kernel, number)
        if isinstance(kernel, Switch):
            return self._place_switch(kernel, number)
        if isinstance(kernel, Copy):
            copy: dict[int, int] = {
                CopyWord.TARGET: kernel.target,
                CopyWord.SOURCE: kernel.source,
                CopyWord.BYTES: kernel.nbytes,
            }
            return Placed(self._addresses["ft_copy"], _words(copy, len(CopyWord)), 1, 0, number)
        if isinstance(kernel, HostCall):
            self.hosts.append(kernel.run)
            return Placed(self._addresses["ft_host"], (id(self.hosts[-1]),), 1, 0, number)
        code = self._codes[kernel]
        return Placed(code.address, step.record, step.extent, step.grain, number, light=step.light)

    def _place_loop(self, loop: Loop, number: int) -> Placed:
        words: dict[int, int] = {
            LoopWord.COUNT: len(loop.body),
            LoopWord.TRIPS: loop.trips,
            LoopWord.TRIPS_SLOT: -1 if loop.trips_slot is None else loop.trips_slot,
            LoopWord.COUNTER_SLOT: -1 if loop.counter is None else loop.counter,
            LoopWord.WINDOW_COUNT: len(loop.windows),
            LoopWord.SWAP_COUNT: len(loop.swaps),
            LoopWord.TEST_COUNT: len(loop.test),
            LoopWord.TEST_SLOT: -1 if loop.test_slot is None else loop.test_slot,
        }
        lists: dict[int, Sequence[Placed]] = {
            LoopWord.STEPS: self.place(loop.body),
            LoopWord.TEST: self.place(loop.test),
        }
        tables: dict[int, Sequence[int]] = {
            LoopWord.WINDOWS: [
                word for w in loop.windows for word in (w.slot, w.base, w.start, w.stride)
            ],
            LoopWord.SWAPS: [slot for pair in loop.swaps for slot in pair],
        }
        record = _words(words, len(LoopWord))
        return Placed(self._addresses["ft_loop"], record, 1, 0, number, lists, tables)

    def _place_switch(self, switch: Switch, number: int) -> Placed:
        first = SwitchWord.FIRST
        words: dict[int, int] = {
            SwitchWord.SLOT: switch.slot,
            SwitchWord.WIDTH: switch.width,
            SwitchWord.BRANCHES: len(switch.branches),
            **{first + 2 * k + 1: len(branch) for k, branch in enumerate(switch.branches)},
        }
        lists = {first + 2 * k: self.place(branch) for k, branch in enumerate(switch.branches)}
        record = _words(words, first + 2 * len(switch.branches))
        return Placed(self._addresses["ft_switch"], record, 1, 0, number, lists)


def _code_of(step: Step) -> KernelCode | HostCall | Loop | Switch | Copy:
    return KernelCode(step.kernel) if isinstance(step.kernel, str) else step.kernel


def _words(values: Mapping[int, int], size: int) -> list[int]:
    words = [0] * size
    for at, value in values.items():
        words[at] = value
    return words
