"""Which groups are merged to run row by row, and that they still compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import arrays_of, check

from functrace.compiler.plan import Group
from functrace.compiler.planning.fusion import check_groups, fuse
from functrace.compiler.planning.rows import merge_rows
from functrace.ops.arithmetic import add, div, mul, sub
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.exponentials import exp, log
from functrace.ops.reductions import reduce_max
from functrace.ops.structural import rev, transpose

X = np.random.default_rng(0).normal(size=(90, 40))


def merged(fun: Any, *args: Any) -> list[Group]:
    found = merge_rows(fuse(arrays_of(fun, *args)))
    check_groups(found)
    check(fun, *args, rtol=1e-10)
    return found


def wide(v: Any, like: Any) -> Any:
    return broadcast_in_dim(v, like.shape, tuple(range(like.ndim - 1)))


def softmax(x: Any) -> Any:
    last = (x.ndim - 1,)
    e = exp(sub(x, wide(reduce_max(x, last), x)))
    return div(e, wide(reduce_sum(e, last), e))


@pytest.mark.parametrize("shape", [(90, 40), (5, 20, 33), (70, 600), (64, 3), (100, 1300)])
def test_softmax_is_one_group(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    (group,) = merged(lambda x: [softmax(x)], x)
    assert len(group.phases) == 3


def test_two_softmaxes_in_a_row_are_one_group() -> None:
    (group,) = merged(lambda x: [softmax(softmax(x))], X)
    assert len(group.phases) >= 5


def test_layer_norm_is_one_group() -> None:
    def norm(x: Any) -> list[Any]:
        centred = sub(x, wide(div(reduce_sum(x, (1,)), 40.0), x))
        variance = div(reduce_sum(mul(centred, centred), (1,)), 40.0)
        return [div(centred, wide(exp(mul(log(add(variance, 1e-5)), 0.5)), x))]

    (group,) = merged(norm, X)
    assert group.phases


def test_reading_other_rows_ends_a_nest() -> None:
    def fun(x: Any) -> list[Any]:
        total = reduce_sum(x, (1,))
        return [mul(x, wide(rev(total, (0,)), x))]

    assert len(merged(fun, X)) == 2


def test_columns_arent_rows() -> None:
    def fun(x: Any) -> list[Any]:
        e = exp(x)
        return [div(e, broadcast_in_dim(reduce_sum(e, (0,)), e.shape, (1,)))]

    assert len(merged(fun, X)) == 2


def test_a_few_large_rows_stay_apart_for_the_threads() -> None:
    x = np.random.default_rng(0).normal(size=(2, 100_000))
    assert len(merged(lambda x: [softmax(x)], x)) == 3


def test_no_cycle_through_a_group_outside() -> None:
    def fun(x: Any) -> list[Any]:
        e = exp(x)
        total = reduce_sum(e, (1,))
        other = transpose(mul(transpose(e, (1, 0)), 2.0), (1, 0))
        again = mul(rev(other, (1,)), wide(total, e))
        return [add(again, div(e, wide(total, e)))]

    merged(fun, X)
