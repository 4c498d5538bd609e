"""What is fused, and what goes through memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import arrays_of, check, groups_of, names

from functrace.compiler.planning.fusion import check_groups, fuse
from functrace.compiler.planning.recompute import recompute_cheap
from functrace.ops.arithmetic import add, div, mul, neg, sub
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.contraction import dot
from functrace.ops.exponentials import exp, log
from functrace.ops.joining import concatenate
from functrace.ops.reductions import reduce_max
from functrace.ops.structural import reshape, transpose

X = np.random.default_rng(0).normal(size=(6, 5))
V = np.random.default_rng(1).normal(size=5)


def wide(v: Any, axis: int = 1) -> Any:
    return broadcast_in_dim(v, (6, 5), (axis,))


def test_a_chain_is_one_group() -> None:
    (group,) = groups_of(lambda x: [exp(neg(mul(x, 2.0)))], X)
    assert names(group) == ["mul", "neg", "exp"]
    assert len(group.stores) == 1


def test_several_outputs_are_one_group() -> None:
    (group,) = groups_of(lambda x, y: [mul(x, y), add(exp(x), y)], X, X)
    assert len(group.stores) == 2


def test_chains_that_meet_later_merge() -> None:
    def fun(x: Any, y: Any) -> list[Any]:
        a, b = mul(x, 2.0), neg(y)
        return [add(exp(a), exp(b))]

    assert len(groups_of(fun, X, X)) == 1


def test_an_operand_may_be_broadcast_from_memory() -> None:
    (group,) = groups_of(lambda x, v: [add(x, wide(v))], X, V)
    assert names(group) == ["add"]


def test_a_narrow_expression_is_evaluated_in_its_own_space() -> None:
    first, second = groups_of(lambda x, v: [mul(x, wide(exp(v)))], X, V)
    assert first.space == (5,)
    assert second.space == (6, 5)


def test_a_producer_fuses_into_its_reduction_and_what_follows_too() -> None:
    (group,) = groups_of(lambda x: [div(reduce_sum(mul(x, x), (1,)), 5.0)], X)
    assert names(group) == ["mul", "reduce_sum", "div"]
    assert group.axes == (1,)


def test_a_multi_use_producer_is_stored_while_it_is_reduced() -> None:
    def softmax(x: Any) -> list[Any]:
        e = exp(x)
        return [div(e, wide(reduce_sum(e, (1,)), 0))]

    first, second = groups_of(softmax, X)
    assert names(first) == ["exp", "reduce_sum"]
    assert names(second) == ["div"]


def test_reductions_of_one_array_share_a_pass() -> None:
    (group,) = groups_of(lambda x: [reduce_sum(x, (0,)), reduce_max(x, (0,))], X)
    assert names(group) == ["reduce_sum", "reduce_max"]


def test_reductions_over_other_axes_dont_share() -> None:
    assert len(groups_of(lambda x: [reduce_sum(x, (0,)), reduce_sum(x, (1,))], X)) == 2


def test_axes_of_size_one_keep_nothing_apart() -> None:
    def fun(x: Any) -> list[Any]:
        total = reduce_sum(x, (1,))
        return [log(broadcast_in_dim(total, (6, 1), (0,)))]

    (group,) = groups_of(fun, X)
    assert names(group) == ["reduce_sum", "log"]


def test_scalars_share_one_group() -> None:
    s = np.float64(2.0)
    (group,) = groups_of(lambda a, b: [exp(a), mul(b, 3.0), sub(a, b)], s, s)
    assert group.space == ()


def test_no_cycle_through_a_product() -> None:
    def fun(x: Any, w: Any) -> list[Any]:
        a = exp(x)
        return [add(dot(a, w), a)]

    found = groups_of(fun, X, np.eye(5))
    check_groups(found)
    assert [g.kind for g in found] == ["loop", "library", "loop"]


def test_no_cycle_through_a_third_group() -> None:
    # b may not join a: it needs the transpose of what a makes, through memory.
    def fun(x: Any) -> list[Any]:
        a = exp(x)
        b = transpose(neg(transpose(a, (1, 0))), (1, 0))
        return [add(a, b)]

    found = groups_of(fun, np.eye(4))
    check_groups(found)
    check(fun, np.eye(4) + np.arange(4.0))


def test_what_follows_a_fold_sinks_into_the_map_that_reads_it() -> None:
    def fun(x: Any, v: Any) -> list[Any]:
        g = reduce_sum(x, (0,))
        m = add(mul(v, 0.9), mul(g, 0.1))
        return [sub(v, mul(m, 0.01)), m]

    fold, update = groups_of(fun, X, V)
    assert names(fold) == ["reduce_sum"]
    assert len(update.ops) == 5


def test_indexed_operations_fuse_with_their_consumer() -> None:
    (group,) = groups_of(lambda x: [mul(concatenate([x, x], 0), 2.0)], X)
    assert names(group) == ["concatenate", "mul"]


def test_what_an_indexed_operation_reads_is_in_memory() -> None:
    first, second = groups_of(lambda x: [concatenate([exp(x), x], 0)], X)
    assert names(first) == ["exp"]
    assert names(second) == ["concatenate"]


def test_a_reshape_is_an_alias() -> None:
    found = groups_of(lambda x: [neg(reshape(exp(x), (30,)))], X)
    assert sum(names(g).count("copy") for g in found) == 0


@pytest.mark.parametrize("length", [250, 700])
def test_long_programs_are_cut(length: int) -> None:
    def fun(x: Any) -> list[Any]:
        for k in range(length):
            x = add(mul(x, 0.5), float(k))
        return [x]

    found = groups_of(fun, V)
    check_groups(found)
    assert len(found) == -(-2 * length // 300)
    check(fun, V, backend="python" if length < 300 else None)


def groups_after_recomputing(fun: Any, *args: Any) -> list[Any]:
    program = arrays_of(fun, *args)
    found = recompute_cheap(program, fuse(program))
    check_groups(found)
    return found


def test_a_cheap_value_of_small_operands_is_computed_again() -> None:
    v = np.random.default_rng(0).normal(size=200)

    def pairs(v: Any) -> list[Any]:
        d = sub(broadcast_in_dim(v, (200, 200), (0,)), broadcast_in_dim(v, (200, 200), (1,)))
        r = reduce_sum(exp(mul(d, d)), (1,))
        return [mul(d, broadcast_in_dim(r, (200, 200), (0,)))]

    first, second = groups_after_recomputing(pairs, v)
    assert names(first) == ["sub", "mul", "exp", "reduce_sum"]
    assert names(second) == ["sub", "mul"]
    assert [a.size for a in first.stores] == [200]
    check(pairs, v, rtol=1e-10)


def test_an_expensive_value_is_kept() -> None:
    x = np.random.default_rng(0).normal(size=(100, 100))

    def softmax(x: Any) -> list[Any]:
        e = exp(x)
        return [div(e, broadcast_in_dim(reduce_sum(e, (1,)), (100, 100), (0,)))]

    first, second = groups_after_recomputing(softmax, x)
    assert names(second) == ["div"]
    assert len(first.stores) == 2


def test_a_group_whose_operations_have_all_moved_is_gone() -> None:
    x = np.random.default_rng(0).normal(size=(100, 100))

    def fun(x: Any) -> list[Any]:
        y = neg(x)
        z = transpose(reduce_max(transpose(x, (1, 0)), (0, 1)), ())
        return [mul(exp(y), z), reduce_sum(y, (0, 1))]

    groups_after_recomputing(fun, x)
    check(fun, x, rtol=1e-9)


def test_updates_that_share_a_scalar_stay_apart() -> None:
    def fun(w: Any, v: Any, s: Any) -> list[Any]:
        return [mul(exp(w), s), mul(exp(v), s)]

    found = groups_of(fun, X, X + 1.0, np.float64(2.0))
    assert [names(g) for g in found] == [["exp", "mul"], ["exp", "mul"]]


def test_maps_of_one_array_share_a_pass() -> None:
    (group,) = groups_of(lambda x: [exp(x), neg(x)], X)
    assert len(group.stores) == 2
