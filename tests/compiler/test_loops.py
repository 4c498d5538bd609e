"""Steps that hold steps: loops, branches and copies in the native driver."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from handmade import ADD_ONE, CHECK, DOUBLE, F8, unary

from functrace.compiler.runtime.driver import portable_calls
from functrace.compiler.runtime.program import (
    Copy,
    HostCall,
    InputSpec,
    Loop,
    OutputSpec,
    Program,
    SlotView,
    Step,
    Switch,
    Window,
)

I8 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)


@pytest.fixture(params=["builtin", "portable"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every law holds for both ways of calling a program."""
    with portable_calls() if request.param == "portable" else contextlib.nullcontext():
        yield


def _program(
    inputs: Sequence[tuple[tuple[int, ...], np.dtype[Any], int]],
    output: tuple[tuple[int, ...], int],
    n_slots: int,
    steps: Sequence[Step],
    **options: Any,
) -> Program:
    specs = [InputSpec(*row) for row in inputs]
    outputs = [OutputSpec(output[0], F8, output[1], copy=options.pop("copy", False))]
    return Program(specs, outputs, n_slots, steps, result="single", **options)


def _carrying(body: tuple[Step, ...], **options: Any) -> Program:
    """``x`` in slot 1, copied to the carry 3, whose new value is written through 4."""
    loop = Loop(body, swaps=((3, 4),), **options)
    steps = [Step(Copy(3, 1, 24)), Step(loop)]
    inputs = [((3,), F8, 1), ((), I8, 5)]
    temporaries = [(3, 0), (4, 64), (6, 128)]
    return _program(
        inputs, ((3,), 3), 8, steps, temporaries=temporaries, arena_bytes=192, copy=True
    )


@pytest.mark.parametrize("trips", [0, 1, 2, 5, 100])
def test_a_loop_carries_by_swapping(trips: int) -> None:
    x = np.array([1.0, 2, 3])
    fixed = _carrying((Step(ADD_ONE, (3, 4), 3),), trips=trips)
    given = _carrying((Step(ADD_ONE, (3, 4), 3),), trips_slot=5)
    for _ in range(3):
        np.testing.assert_array_equal(fixed.call(x, np.int64(0)), x + trips)
        np.testing.assert_array_equal(given.call(x, np.int64(trips)), x + trips)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_reads_and_writes_through_windows(reverse: bool) -> None:
    n, width = 7, 3
    stride, start = (-24, 24 * (n - 1)) if reverse else (24, 0)
    windows = (Window(3, 1, stride, start), Window(4, 2, stride, start))
    loop = Loop((Step(DOUBLE, (3, 4), width),), n, windows=windows)
    program = _program([((n, width), F8, 1)], ((n, width), 2), 5, [Step(loop)])
    x = np.arange(21.0).reshape(7, 3)
    np.testing.assert_array_equal(program.call(x), x * 2)


def test_the_counter_counts() -> None:
    seen: list[int] = []

    def note(i: Any) -> list[Any]:
        seen.append(int(i))
        return []

    host = HostCall(note, (SlotView(6, (), I8),), ())
    program = _carrying((Step(ADD_ONE, (3, 4), 3), Step(host)), trips=4, counter=6)
    program.call(np.zeros(3), np.int64(0))
    assert seen == [0, 1, 2, 3]


#: One byte: whether the first element is below 100; record: input slot, output slot.
BELOW = unary("%t = fcmp olt double %x, 100.0\n  %y = zext i1 %t to i64").replace(
    "store double %y", "store i64 %y"
)


def test_a_while_loop_tests_before_each_round() -> None:
    body = (Step(DOUBLE, (3, 4), 3),)
    program = _carrying(body, test=(Step(BELOW, (3, 6), 1),), test_slot=6)
    for first, last in ((1.0, 128.0), (99.0, 198.0), (100.0, 100.0), (1e9, 1e9)):
        result = program.call(np.array([first, 1, 1]), np.int64(0))
        assert result[0] == last
        assert result[1] == last / first


@pytest.mark.parametrize(("dtype", "width"), [(BOOL, 1), (np.dtype(np.int32), 4), (I8, 8)])
def test_a_switch_runs_one_branch(dtype: np.dtype[Any], width: int) -> None:
    branches = ((Step(ADD_ONE, (1, 3), 3),), (Step(DOUBLE, (1, 3), 3),), (Step(Copy(3, 1, 24)),))
    count = 2 if dtype == BOOL else 3
    step = Step(Switch(2, width, branches[:count]))
    program = _program([((3,), F8, 1), ((), dtype, 2)], ((3,), 3), 4, [step])
    x = np.array([1.0, 2, 5])
    expected = [x + 1, x * 2, x][:count]
    for k in range(count):
        np.testing.assert_array_equal(program.call(x, dtype.type(k)), expected[k])
    if dtype != BOOL:
        np.testing.assert_array_equal(program.call(x, dtype.type(-3)), expected[0])
        np.testing.assert_array_equal(program.call(x, dtype.type(30)), expected[-1])


def test_loops_nest_and_windows_look_through_windows() -> None:
    shape, row = (4, 5, 2), 2 * 8
    inner = Loop((Step(ADD_ONE, (5, 6), 2),), 5, windows=(Window(5, 3, row), Window(6, 4, row)))
    outer = Loop((Step(inner),), 4, windows=(Window(3, 1, 5 * row), Window(4, 2, 5 * row)))
    program = _program([(shape, F8, 1)], (shape, 2), 7, [Step(outer)])
    x = np.arange(40.0).reshape(shape)
    np.testing.assert_array_equal(program.call(x), x + 1)


def test_a_failure_inside_names_the_inner_step() -> None:
    seen: list[Any] = []

    def error(step: Step, kind: str, site: int, details: tuple[int, ...]) -> BaseException:
        seen.append((step.eqn, kind, details[:3]))
        return IndexError("inside")

    body = (Step(ADD_ONE, (3, 4), 2, eqn="first"), Step(CHECK, (3, 4), 2, eqn="second"))
    windows = (Window(3, 1, 16), Window(4, 2, 16))
    steps = [Step(Loop(body, 4, windows=windows), eqn="loop")]
    program = _program([((4, 2), F8, 1)], ((4, 2), 2), 5, steps, error=error)
    x = np.ones((4, 2))
    x[2, 1] = -1
    for _ in range(2):
        with pytest.raises(IndexError, match="inside"):
            program.call(x)
        assert program.call(np.ones((4, 2))).sum() == 16
    assert seen == [("second", "index", (1, 0, 100))] * 2


def test_a_host_exception_inside_a_loop_reaches_the_caller() -> None:
    def boom() -> list[Any]:
        raise KeyError("stop")

    loop = Loop((Step(Copy(2, 1, 8)), Step(HostCall(boom, (), ()))), 10)
    program = _program([((), F8, 1)], ((), 2), 3, [Step(loop)])
    with pytest.raises(KeyError, match="stop"):
        program.call(np.float64(1))


def test_as_text_shows_what_is_inside() -> None:
    body = (Step(DOUBLE, (3, 4), 3, label="double"),)
    test = (Step(BELOW, (3, 6), 1, label="below"),)
    branches = ((Step(Copy(3, 1, 24)),), ())
    loop = Loop(body, test=test, test_slot=6)
    steps = [Step(loop), Step(Switch(2, 1, branches)), Step(Loop(body, 3))]
    inputs = [((3,), F8, 1), ((), BOOL, 2)]
    temporaries = [(4, 0), (6, 64)]
    text = _program(inputs, ((3,), 3), 7, steps, temporaries=temporaries, arena_bytes=128).as_text()
    lines = [line.strip() for line in text.splitlines()]
    assert "step 0: loop" in lines
    assert "while slot 6:" in lines
    assert "step 0: below over 1, record [3, 6]" in lines
    assert "step 1: switch on slot 2" in lines
    assert "step 0: copy slot 1 to slot 3, 24 bytes" in lines
    assert "step 2: loop of 3" in lines


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
from functrace.compiler.runtime.program import *
from handmade import ADD_ONE, F8, elementwise
body = (Step(ADD_ONE, (3, 4), 3),)
steps = [Step(Copy(3, 1, 24)), Step(Loop(body, int({trips}), swaps=((3, 4),)))]
program = Program(
    [InputSpec((3,), F8, 1)], [OutputSpec((3,), F8, 3, copy=True)], 5, steps,
    temporaries=[(3, 0), (4, 64)], arena_bytes=128, result="single",
)
def act(*unused):
    raise {exception}
if {custom}:
    signal.signal(signal.SIGINT, act)
    elementwise(ADD_ONE, (3,))
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
begin = time.perf_counter()
try:
    program.call(np.zeros(3))
    print("finished")
except {exception} as error:
    print(type(error).__name__, time.perf_counter() - begin < 3)
print(float(elementwise(ADD_ONE, (), result="single").call(np.float64(1))))
"""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="needs POSIX signals")
@pytest.mark.parametrize("custom", [False, True])
def test_an_interrupt_stops_a_long_loop(custom: bool, request: pytest.FixtureRequest) -> None:
    if "portable" in request.node.name:
        return
    exception = "TimeoutError" if custom else "KeyboardInterrupt"
    code = INTERRUPTED.format(trips=1e12, exception=exception, custom=custom)
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.split() == [exception, "True", "2.0"], done.stderr
