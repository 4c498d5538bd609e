"""Places of arrays: reuse of the arena, writing in place, outputs of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import check, trace

from functrace.compiler.pipeline import Compiled, compile_jaxpr
from functrace.compiler.plan import Memory
from functrace.compiler.planning.memory import check_memory
from functrace.ops.arithmetic import add, div, mul, neg
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.contraction import dot
from functrace.ops.exponentials import exp
from functrace.ops.structural import rev, transpose

BIG = np.random.default_rng(0).normal(size=(200, 200)) * 0.05


def chain(n: int) -> Any:
    def fun(x: Any) -> list[Any]:
        for _ in range(n):
            x = dot(x, x)
        return [x]

    return fun


def memory_of(compiled: Compiled) -> Memory:
    return compiled.compilation.memory


def test_the_arena_is_reused() -> None:
    compiled = check(chain(6), BIG, rtol=1e-9)
    assert memory_of(compiled).arena_bytes == 2 * BIG.nbytes


def test_places_are_aligned() -> None:
    x = np.ones((3, 3))
    compiled = check(chain(5), x)
    assert all(at % 64 == 0 for at in memory_of(compiled).offsets.values())


def test_a_large_map_writes_over_a_dying_operand() -> None:
    compiled = check(lambda x: [dot(exp(dot(x, x)), x)], BIG, rtol=1e-9)
    memory = memory_of(compiled)
    assert len(memory.reused) == 1
    assert memory.arena_bytes == BIG.nbytes


def test_no_writing_over_what_is_read_elsewhere() -> None:
    def fun(x: Any) -> list[Any]:
        y = dot(x, x)
        z = add(y, rev(y, (0,)))
        return [dot(z, x)]

    assert not memory_of(check(fun, BIG, rtol=1e-9)).reused


def test_no_writing_over_what_is_read_later() -> None:
    def fun(x: Any) -> list[Any]:
        y = dot(x, x)
        return [add(dot(exp(y), x), dot(y, x))]

    reused = memory_of(check(fun, BIG, rtol=1e-9)).reused
    assert [a.kind for a in reused] == ["output"]


def test_the_checker_sees_an_overlap() -> None:
    compiled = compile_jaxpr(trace(chain(4), BIG))
    c = compiled.compilation
    for slot in c.memory.offsets:
        c.memory.offsets[slot] = 0
    with pytest.raises(AssertionError, match="share memory"):
        check_memory(c.groups, c.memory)


def test_outputs_are_their_own() -> None:
    const = np.arange(3.0)

    def fun(x: Any) -> list[Any]:
        y = neg(x)
        return [x, x, y, y, const, transpose(x, (0,)), np.float64(2.0), mul(y, 1.0)]

    compiled = check(fun, np.arange(3.0))
    const_out = compiled(np.arange(3.0))[4]
    const_out[:] = 7.0
    assert const[0] == 0.0


def test_memory_analysis_counts_bytes() -> None:
    compiled = check(lambda x: [reduce_sum(dot(x, x), (0, 1))], BIG, rtol=1e-9)
    sizes = compiled.memory_analysis()
    assert sizes["argument_size_in_bytes"] == BIG.nbytes
    assert sizes["output_size_in_bytes"] == 8
    assert sizes["temp_size_in_bytes"] == BIG.nbytes
    assert compiled.cost_analysis()["flops"] >= 2 * 200**3


def test_a_result_lends_its_memory_before_it_is_written() -> None:
    def softmax(x: Any) -> list[Any]:
        e = exp(x)
        return [div(e, broadcast_in_dim(reduce_sum(e, (1,)), (200, 200), (0,)))]

    memory = memory_of(check(softmax, BIG))
    assert len(memory.reused) == 1
    assert memory.arena_bytes == 200 * 8
