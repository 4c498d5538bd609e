"""The driver and the program: what a call takes, gives, raises and leaves behind."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy._core.multiarray as multiarray
import pytest
from handmade import ADD_ONE, CHECK, COPY, DOUBLE, F8, SINE, elementwise, many, unary

import functrace.compiler.runtime.driver as driver_module
from functrace.compiler.ir.kernel import MEMORY_DTYPES
from functrace.compiler.runtime import numpy_abi
from functrace.compiler.runtime.build import build, clear_caches
from functrace.compiler.runtime.driver import driver, portable_calls, thread_limit
from functrace.compiler.runtime.program import (
    HostCall,
    InputSpec,
    KernelCode,
    OutputSpec,
    Program,
    SlotView,
    Step,
)
from functrace.config import config


@pytest.fixture(params=["builtin", "portable"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every law holds for both ways of calling a program."""
    with portable_calls() if request.param == "portable" else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def helpers() -> Iterator[None]:
    """Let three helper threads share steps, however many CPUs there are."""
    with config.override(threads=4):
        yield
    driver().limit_helpers(thread_limit() - 1)


def test_the_builtin_works_on_this_interpreter() -> None:
    assert driver().native


@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 0, 3), (2, 3, 4, 5)])
def test_a_call_returns_what_the_kernel_writes(shape: tuple[int, ...]) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    (y,) = elementwise(ADD_ONE, shape).call(x)
    np.testing.assert_array_equal(y, x + 1, strict=True)
    assert type(y) is (np.float64 if shape == () else np.ndarray)


@pytest.mark.parametrize("dtype", MEMORY_DTYPES, ids=str)
def test_every_dtype_passes_as_array_and_as_scalar(dtype: np.dtype[Any]) -> None:
    kind = f"i{8 * dtype.itemsize}"
    text = unary(f"%y = bitcast {kind} %x to {kind}", kind)
    x = np.array([0, 1, 3, 100]).astype(dtype)
    np.testing.assert_array_equal(elementwise(text, (4,), dtype).call(x)[0], x, strict=True)
    scalar = elementwise(text, (), dtype, result="single")
    for value in (x[1], x[2], np.array(x[3])):
        result = scalar.call(value)
        assert type(result) is dtype.type
        assert result == value


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_many_arrays_in_and_out(count: int) -> None:
    xs = [np.full((3, 4), float(k)) for k in range(count)]
    results = many(count, (3, 4)).call(*xs)
    assert type(results) is list
    assert len(results) == count
    for x, y in zip(xs, results):
        np.testing.assert_array_equal(y, x + 1)


def test_results_come_as_list_tuple_or_single() -> None:
    x = np.ones(3)
    assert type(many(2, (3,), result="tuple").call(x, x)) is tuple
    assert type(many(1, (3,), result="single").call(x)) is np.ndarray


class Subclass(np.ndarray[Any, Any]):
    """An array that is not exactly one."""


def _inexact_arguments() -> dict[str, Any]:
    x = np.arange(12.0).reshape(3, 4)
    unaligned = np.frombuffer(bytes(8 * 12 + 1), np.uint8)[1:].view(F8).reshape(3, 4)
    return {
        "fortran": np.asfortranarray(x),
        "strided": np.arange(24.0).reshape(3, 8)[:, ::2],
        "reversed": x[::-1],
        "unaligned": unaligned,
        "swapped": x.astype(">f8"),
        "subclass": x.view(Subclass),
        "list": x.tolist(),
    }


@pytest.mark.parametrize("name", _inexact_arguments())
def test_an_inexact_argument_is_adapted(name: str) -> None:
    program = elementwise(ADD_ONE, (3, 4))
    value = _inexact_arguments()[name]
    expected = np.asarray(value) + 1
    np.testing.assert_array_equal(program(value)[0], expected)
    direct = program.call(value)
    if name in ("swapped", "subclass", "list"):
        assert direct is None
    else:
        np.testing.assert_array_equal(direct[0], expected)


def test_copies_of_arguments_go_with_the_call() -> None:
    program = many(3, (30, 40))
    x, y, z = np.ones((40, 30)).T, np.ones((30, 80))[:, ::2], np.ones((30, 40))
    before = sys.getrefcount(x)
    program.call(x, y, z)
    tracemalloc.start()
    try:
        for _ in range(100):
            program.call(x, y, z)
            program.call(x, y, np.ones(3))
        assert tracemalloc.get_traced_memory()[0] < 10 * x.nbytes
    finally:
        tracemalloc.stop()
    assert sys.getrefcount(x) == before
    out = [np.empty((30, 40)) for _ in range(3)]
    program.run_into((x, y, z), out)
    assert all((o == 2).all() for o in out)


@pytest.mark.parametrize(
    "args", [(), (np.ones((3, 4)),) * 2, (np.ones((3, 5)),), (np.ones(12),), (1.0,), (None,)]
)
def test_a_wrong_argument_is_a_miss_and_an_error(args: tuple[Any, ...]) -> None:
    program = elementwise(ADD_ONE, (3, 4))
    assert program.call(*args) is None
    with pytest.raises(TypeError, match="argument"):
        program(*args)


def test_a_wrong_dtype_is_a_miss() -> None:
    program = elementwise(ADD_ONE, (3,))
    assert program.call(np.ones(3, np.float32)) is None
    assert program.call(np.ones(3, np.int64)) is None


def test_an_unpickled_array_is_exact() -> None:
    x = pickle.loads(pickle.dumps(np.ones(3)))
    y = np.array([1.0, 2, 3], pickle.loads(pickle.dumps(F8)))
    program = elementwise(ADD_ONE, (3,))
    np.testing.assert_array_equal(program.call(x)[0], [2, 2, 2])
    np.testing.assert_array_equal(program.call(y)[0], [2, 3, 4])


def _weak(kind: str, text: str) -> Program:
    dtype = np.dtype(kind)
    step = Step(text, (1, 2), 1)
    inputs = [InputSpec((), dtype, 1, weak=True)]
    return Program(inputs, [OutputSpec((), dtype, 2)], 3, [step], result="single")


def test_weak_inputs_take_python_numbers_only() -> None:
    real, whole, both = _weak("f8", ADD_ONE), _weak("i8", COPY["i64"]), _weak("c16", COPY["i128"])
    assert real.call(2.5) == 3.5
    assert whole.call(-7) == -7
    assert both.call(1 - 2j) == 1 - 2j
    assert real.call(np.float64(2.5)) is None
    assert real.call(np.array(2.5)) is None
    assert real.call(2) is None
    assert whole.call(True) is None
    assert whole.call(2**63) is None
    assert whole.call(-(2**63)) == -(2**63)
    assert real(2) == 3.0
    with pytest.raises(OverflowError):
        whole(2**63)


def test_booleans_are_taken_in_every_form() -> None:
    program = elementwise(COPY["i8"], (), bool, result="single")
    for value in (True, False, np.True_, np.False_, np.array(True)):
        result = program.call(value)
        assert type(result) is np.bool_
        assert result == bool(value)
    assert program.call(1) is None


def test_results_are_fresh_and_writable() -> None:
    program = elementwise(ADD_ONE, (3,), result="single")
    x = np.ones(3)
    y, z = program.call(x), program.call(x)
    assert y.flags.owndata
    assert y.flags.writeable
    assert not np.shares_memory(y, z)
    assert not np.shares_memory(y, x)
    y[:] = 0
    np.testing.assert_array_equal(z, [2, 2, 2])


def test_results_may_copy_inputs_constants_and_each_other() -> None:
    constant = np.array([5.0, 6, 7])
    outputs = [
        OutputSpec((3,), F8, 3),
        OutputSpec((3,), F8, 1, copy=True),
        OutputSpec((3,), F8, 2, copy=True),
        OutputSpec((3,), F8, 3, copy=True),
        OutputSpec((), F8, 4, copy=True),
    ]
    inputs = [InputSpec((3,), F8, 1), InputSpec((), F8, 4)]
    steps = [Step(ADD_ONE, (1, 3), 3)]
    program = Program(inputs, outputs, 5, steps, constants={2: constant})
    x = np.array([1.0, 2, 3])
    made, same, fixed, again, scalar = program.call(x, np.float64(9))
    np.testing.assert_array_equal(made, x + 1)
    np.testing.assert_array_equal(again, x + 1)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(fixed, constant)
    assert type(scalar) is np.float64
    assert scalar == 9
    arrays = [x, constant, made, same, fixed, again]
    assert not any(np.shares_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


def test_temporaries_and_constants() -> None:
    inputs, outputs = [InputSpec((4,), F8, 1)], [OutputSpec((4,), F8, 2)]
    steps = [Step(ADD_ONE, (1, 3), 4), Step(DOUBLE, (3, 4), 4), Step(ADD_ONE, (4, 2), 4)]
    temporaries = [(3, 0), (4, 64)]
    program = Program(inputs, outputs, 5, steps, temporaries=temporaries, arena_bytes=128)
    x = np.arange(4.0)
    np.testing.assert_array_equal(program.call(x)[0], (x + 1) * 2 + 1)
    noncontiguous = np.arange(8.0)[::2]
    program = Program([], outputs, 5, [Step(DOUBLE, (1, 2), 4)], constants={1: noncontiguous})
    np.testing.assert_array_equal(program.call()[0], noncontiguous * 2)


def test_the_arena_is_aligned() -> None:
    seen: list[int] = []

    def look(frame: np.ndarray[Any, Any]) -> list[Any]:
        seen.append(frame.size)
        return [frame]

    view = SlotView(3, (3,), F8)
    host = HostCall(look, (view,), (SlotView(2, (3,), F8),))
    steps = [Step(ADD_ONE, (1, 3), 3), Step(host)]
    program = Program(
        [InputSpec((3,), F8, 1)],
        [OutputSpec((3,), F8, 2)],
        4,
        steps,
        temporaries=[(3, 192)],
        arena_bytes=256,
    )
    np.testing.assert_array_equal(program.call(np.ones(3))[0], [2, 2, 2])
    assert seen == [3]
    layout = program._layout
    assert all(offset % 64 == 0 for slot, offset in layout.fixups if slot == 3)


def test_a_failed_check_raises_and_the_next_call_works() -> None:
    step = Step(CHECK, (1, 2), 3)
    outputs = [OutputSpec((3,), F8, 2)]
    program = Program([InputSpec((3,), F8, 1)], outputs, 3, [step, Step(ADD_ONE, (1, 2), 3)])
    for _ in range(3):
        with pytest.raises(IndexError, match="index 1 is out of bounds for axis 0 with size 100"):
            program.call(np.array([1.0, -1.0, -1.0]))
        np.testing.assert_array_equal(program.call(np.ones(3))[0], [2, 2, 2])


def test_the_error_table_is_given_step_kind_site_and_details() -> None:
    seen: list[Any] = []

    def error(step: Step, kind: str, site: int, details: tuple[int, ...]) -> BaseException:
        seen.append((step.eqn, kind, site, details[:3]))
        return ZeroDivisionError("mine")

    steps = [Step(ADD_ONE, (1, 2), 2, eqn="first"), Step(CHECK, (1, 2), 2, eqn="second")]
    program = Program([InputSpec((2,), F8, 1)], [OutputSpec((2,), F8, 2)], 3, steps, error=error)
    with pytest.raises(ZeroDivisionError, match="mine"):
        program.call(np.array([1.0, -1.0]))
    assert seen == [("second", "index", 7, (1, 0, 100))]


@pytest.mark.usefixtures("helpers")
def test_the_lowest_failure_is_reported_whoever_finds_it() -> None:
    x = np.ones(10_000)
    x[[4321, 7000, 9999]] = -1
    program = elementwise(CHECK, (10_000,), grain=100)
    for _ in range(50):
        with pytest.raises(IndexError, match="index 4321 "):
            program.call(x)


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.usefixtures("helpers")
def test_any_number_of_threads_gives_the_same_bits(light: bool) -> None:
    x = np.linspace(0, 1000, 100_003)
    expected = elementwise(SINE, x.shape, result="single").call(x)
    program = elementwise(SINE, x.shape, grain=5_000, result="single", light=light)
    for count in (0, 1, 3):
        driver().limit_helpers(count)
        for _ in range(20):
            np.testing.assert_array_equal(program.call(x), expected)


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.usefixtures("helpers")
def test_python_threads_may_call_at_once(light: bool) -> None:
    program = elementwise(ADD_ONE, (20_000,), grain=1_000, result="single", light=light)

    def work(seed: int) -> bool:
        x = np.full(20_000, float(seed))
        return all((program.call(x) == seed + 1).all() for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("helpers")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("light", [False, True])
def test_a_forked_child_computes(light: bool) -> None:
    program = elementwise(ADD_ONE, (20_000,), grain=1_000, result="single", light=light)
    x = np.ones(20_000)
    program.call(x)
    child = os.fork()
    if child == 0:
        fine = all((program.call(x) == 2).all() for _ in range(20))
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (program.call(x) == 2).all()


def _host_program(function: Any) -> Program:
    view_in, view_out = SlotView(3, (3,), F8), SlotView(4, (3,), F8)
    steps = [
        Step(ADD_ONE, (1, 3), 3),
        Step(HostCall(function, (view_in,), (view_out,))),
        Step(ADD_ONE, (4, 2), 3),
    ]
    return Program(
        [InputSpec((3,), F8, 1)],
        [OutputSpec((3,), F8, 2)],
        5,
        steps,
        temporaries=[(3, 0), (4, 64)],
        arena_bytes=128,
        result="single",
    )


def test_a_host_step_runs_python_between_kernels() -> None:
    kept = []

    def function(x: Any) -> list[Any]:
        kept.append(x)
        return [x * 10]

    program = _host_program(function)
    np.testing.assert_array_equal(program.call(np.arange(3.0)), [11, 21, 31])
    program.call(np.zeros(3))
    np.testing.assert_array_equal(kept[0], [1, 2, 3])


def test_an_exception_of_a_host_step_reaches_the_caller() -> None:
    class MineError(Exception):
        pass

    def function(x: Any) -> list[Any]:
        raise MineError("from the callback")

    program = _host_program(function)
    for _ in range(2):
        with pytest.raises(MineError, match="from the callback"):
            program.call(np.ones(3))


def test_a_host_step_checks_what_python_returns() -> None:
    with pytest.raises(ValueError, match="shape"):
        _host_program(lambda x: [x[:2]]).call(np.ones(3))
    with pytest.raises(ValueError, match="instead of 1"):
        _host_program(lambda x: []).call(np.ones(3))


def test_a_host_step_may_call_its_own_program() -> None:
    def function(x: Any) -> list[Any]:
        return [program.call(x) if x[0] < 5 else x * 100]

    program = _host_program(function)
    np.testing.assert_array_equal(program.call(np.zeros(3)), [505, 505, 505])


def test_run_into_writes_where_it_is_told() -> None:
    program = many(2, (3,))
    x, y = np.ones(3), np.zeros(3)
    first, second = np.empty(3), np.empty((3, 2))[:, 0]
    program.run_into((x, y), (first, second))
    np.testing.assert_array_equal(first, [2, 2, 2])
    np.testing.assert_array_equal(second, [1, 1, 1])
    program.run_into((x, y), (y, x))
    np.testing.assert_array_equal(y, [2, 2, 2])
    np.testing.assert_array_equal(x, [1, 1, 1])
    with pytest.raises(TypeError, match="output array 1 has shape"):
        program.run_into((x, y), (first, np.empty(4)))
    with pytest.raises(TypeError, match="2 output arrays"):
        program.run_into((x, y), (first,))


def test_run_into_takes_scalars_too() -> None:
    out = np.empty(())
    program = elementwise(ADD_ONE, (), result="single")
    for _ in range(3):
        program.run_into((np.float64(4),), (out,))
        assert out == 5
        assert program.call(np.float64(6)) == 7
        assert out == 5


def test_run_into_copies_when_memory_is_shared() -> None:
    # A step that reads its input after its output was written would see the difference.
    steps = [Step(ADD_ONE, (1, 2), 3), Step(DOUBLE, (1, 3), 3)]
    constant = np.array([7.0, 8, 9])
    outputs = [OutputSpec((3,), F8, slot) for slot in (2, 3, 5)]
    steps.append(Step(DOUBLE, (4, 5), 3))
    inputs = [InputSpec((3,), F8, 1)]
    program = Program(inputs, outputs, 6, steps, constants={4: constant})
    memory = np.arange(12.0)
    for first in (slice(0, 3), slice(1, 4), slice(5, 8)):
        memory[:] = np.arange(12.0)
        x = memory[0:3]
        expected = [x + 1, x * 2, constant * 2]
        outs = (memory[first], np.empty(3), np.empty(3))
        program.run_into((x,), outs)
        for out, value in zip(outs, expected):
            np.testing.assert_array_equal(out, value)
    kept = constant.copy()
    outs = (np.empty(3), np.empty(3), constant)
    program.run_into((np.ones(3),), outs)
    np.testing.assert_array_equal(constant, kept * 2)


def test_run_into_checks_before_it_writes() -> None:
    program = elementwise(CHECK, (3,))
    out = np.zeros(3)
    with pytest.raises(IndexError, match="index 1 "):
        program.run_into((np.array([1.0, -1, 1]),), (out,))
    fixed = np.zeros(3)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        elementwise(ADD_ONE, (3,)).run_into((np.ones(3),), (fixed,))
    assert not fixed.any()


@pytest.fixture
def large() -> Iterator[Program]:
    """A program whose result is large enough for the shelf, which starts and ends empty."""
    driver().free_memory()
    yield elementwise(ADD_ONE, (300_000,), result="single")
    driver().free_memory()


def test_the_memory_of_large_results_is_used_again(large: Program, way: str) -> None:
    x = np.arange(300_000.0)
    first = large.call(x)
    second = large.call(x)
    assert first.flags.owndata
    assert not np.shares_memory(first, second)
    place = first.ctypes.data
    del first
    third = large.call(x)
    np.testing.assert_array_equal(second, x + 1)
    np.testing.assert_array_equal(third, x + 1)
    if way == "builtin" and sys.platform in ("linux", "darwin"):
        assert third.ctypes.data == place
        assert place % 64 == 0
        assert multiarray.get_handler_name(third) == "functrace"
        assert multiarray.get_handler_name(np.empty(300_000)) != "functrace"


def test_so_is_that_of_several_results_at_once(way: str) -> None:
    program = many(3, (20_000,), result="tuple")
    x = np.arange(20_000.0)
    for _ in range(3):
        places = {y.ctypes.data for y in program.call(x, x, x)}
    if way == "builtin" and sys.platform in ("linux", "darwin"):
        assert {y.ctypes.data for y in program.call(x, x, x)} == places


def test_large_results_may_be_resized_and_outlive_the_shelf(large: Program) -> None:
    x = np.arange(300_000.0)
    kept = [large.call(x) for _ in range(40)]
    for size in (10, 200_000, 400_000, 5):
        result = large.call(x)
        result.resize(size, refcheck=False)
        shared = min(size, 300_000)
        np.testing.assert_array_equal(result[:shared], x[:shared] + 1)
        np.testing.assert_array_equal(result[shared:], 0)
    del result
    for y in kept:
        np.testing.assert_array_equal(y, x + 1)
    while kept:
        kept.pop(len(kept) // 2)
    driver().free_memory()
    np.testing.assert_array_equal(large.call(x), x + 1)


def test_memory_is_bounded_when_sizes_vary() -> None:
    resource = pytest.importorskip("resource")
    programs = [elementwise(ADD_ONE, (k * 1_000_000,)) for k in (1, 2, 3, 5, 8)]
    for _ in range(3):
        for k, program in zip((1, 2, 3, 5, 8), programs):
            program.call(np.zeros(k * 1_000_000))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        for k, program in zip((1, 2, 3, 5, 8), programs):
            program.call(np.zeros(k * 1_000_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak * 1.2
    driver().free_memory()


def test_calls_leave_nothing_behind() -> None:
    program = many(3, (4,), result="tuple")
    failing = elementwise(CHECK, (4,))
    x = np.ones(4)

    def use() -> None:
        for _ in range(200):
            program.call(x, x, x)
            program.call(x, x)
            program.call(x, x, 1.0)
            with contextlib.suppress(IndexError):
                failing.call(-x)

    def counted() -> tuple[int, ...]:
        gc.collect()
        counts = sys.getrefcount(F8), sys.getrefcount(x), sys.getrefcount(None)
        return (*counts, len(gc.get_objects()))

    def left_behind() -> tuple[int, ...]:
        before = counted()
        use()
        return tuple(b - a for a, b in zip(before, counted()))

    # What calls keep or lose, they keep or lose each time; what earlier tests left to die or a
    # module read meanwhile changes the counts once.
    use()
    rounds = [left_behind() for _ in range(5)]
    assert all(min(map(abs, changes)) < 50 for changes in zip(*rounds)), rounds


def test_code_lives_as_long_as_a_builtin_needs_it() -> None:
    text = unary("%y = fadd double %x, 41.5")
    program = elementwise(text, (3,), result="single")
    code = weakref.ref(build(text))
    call = program.call
    del program
    clear_caches()
    gc.collect()
    assert code() is not None
    np.testing.assert_array_equal(call(np.zeros(3)), [41.5] * 3)
    del call
    gc.collect()
    assert code() is None


def test_the_same_kernel_is_loaded_once() -> None:
    first, second = build(ADD_ONE), build(ADD_ONE)
    assert first is second
    clear_caches()
    keeper = elementwise(ADD_ONE, (3,))
    clear_caches()
    assert build(KernelCode(ADD_ONE).text).address > 0
    np.testing.assert_array_equal(keeper.call(np.ones(3))[0], [2, 2, 2])


def test_other_threads_run_during_a_call() -> None:
    ticks: list[int] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(1)
            stop.wait(0.0005)

    x = np.linspace(0, 1, 3_000_000)
    program = elementwise(SINE, x.shape)
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = len(ticks)
        program.call(x)
        assert len(ticks) > before
    finally:
        stop.set()
        thread.join()


def test_as_text_names_slots_and_steps() -> None:
    text = elementwise(ADD_ONE, (3, 4), grain=5).as_text()
    assert "slot 1: input 0, float64[3,4]" in text
    assert "step 0: handmade over 12 in pieces of 5, record [1, 2]" in text


def test_an_unknown_layout_means_portable_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_abi, "_array_reads_right", lambda array: False)
    assert not numpy_abi.layout_is_known()
    monkeypatch.setattr(driver_module, "_driver", None)
    program = elementwise(ADD_ONE, (3,), result="single")
    assert not driver_module.driver().native
    np.testing.assert_array_equal(program.call(np.ones(3)), [2, 2, 2])


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_two_drivers_do_not_hand_each_other_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    elementwise(ADD_ONE, (3,))
    with monkeypatch.context() as patch:
        patch.setattr(numpy_abi, "_array_reads_right", lambda array: False)
        patch.setattr(driver_module, "_driver", None)
        elementwise(ADD_ONE, (3,))
    elementwise(ADD_ONE, (3,))
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
