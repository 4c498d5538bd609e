"""Uses: tree, tree_util, a registered class, a registered dataclass, namedtuples, None, paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import functrace as jax
import functrace.numpy as jnp


class Particle(NamedTuple):
    position: Any
    velocity: Any


@jax.tree_util.register_pytree_node_class
class Interval:
    """A class of one's own: its leaves are the ends, its unit is static."""

    def __init__(self, low, high, unit="m"):
        self.low, self.high, self.unit = low, high, unit

    def tree_flatten(self):
        return (self.low, self.high), self.unit

    @classmethod
    def tree_unflatten(cls, unit, ends):
        return cls(*ends, unit)


@dataclass
class Layer:
    weight: Any
    bias: Any
    activation: str = "tanh"

    def __call__(self, x):
        y = self.weight @ x + self.bias
        return jnp.tanh(y) if self.activation == "tanh" else y


jax.tree_util.register_dataclass(Layer, data_fields=["weight", "bias"], meta_fields=["activation"])

TREE = {"b": [1.0, (2.0, None)], "a": Particle(jnp.array([1.0, 2.0]), 3.0)}


def width(interval):
    return (interval.high - interval.low) ** 2


def kinetic(p):
    return 0.5 * jnp.sum(p.velocity**2) + 9.81 * p.position[1]


def forward(layers, x):
    for layer in layers:
        x = layer(x)
    return jnp.sum(x**2)


def main():
    out = {}
    leaves, structure = jax.tree.flatten(TREE)
    out["leaves"] = leaves
    out["num_leaves"] = structure.num_leaves
    out["round_trip"] = jax.tree.leaves(jax.tree.unflatten(structure, leaves))
    out["doubled"] = jax.tree.map(lambda x: 2 * x, TREE)["a"].position
    out["summed"] = jax.tree.reduce(lambda total, x: total + jnp.sum(x), TREE, 0.0)
    out["all"] = jax.tree.all(jax.tree.map(lambda x: bool(jnp.all(x > 0)), TREE))
    out["same_structure"] = jax.tree.structure(TREE) == jax.tree.structure(
        jax.tree.map(lambda x: 0.0, TREE)
    )
    paths, _ = jax.tree_util.tree_flatten_with_path({"w": [1.0, 2.0], "b": {"c": 3.0}})
    out["paths"] = [jax.tree_util.keystr(path) for path, _ in paths]
    out["two_trees"] = jax.tree.map(lambda a, b: a * b, {"x": 2.0, "y": 3.0}, {"x": 5.0, "y": 7.0})
    out["is_leaf"] = jax.tree.leaves({"x": (1.0, 2.0)}, is_leaf=lambda t: isinstance(t, tuple))
    transposed = jax.tree.transpose(
        jax.tree.structure([0, 0]),
        jax.tree.structure((0, 0, 0)),
        [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)],
    )
    out["transposed"] = transposed

    interval = Interval(jnp.array(1.0), jnp.array(4.0))
    slope = jax.grad(width)(interval)
    out["class_grad"] = [slope.low, slope.high, slope.unit]
    out["class_jit"] = jax.jit(lambda i: Interval(i.low - 1.0, i.high + 1.0, i.unit))(interval).low
    many = Interval(jnp.array([0.0, 1.0]), jnp.array([2.0, 5.0]))
    out["class_vmap"] = jax.vmap(width)(many)

    particle = Particle(jnp.array([0.0, 2.0]), jnp.array([1.0, -3.0]))
    slope = jax.grad(kinetic)(particle)
    out["namedtuple_grad"] = [type(slope).__name__, slope.position, slope.velocity]

    w = jnp.array([[0.1, -0.4], [0.7, 0.2]])
    layers = [Layer(w, jnp.array([0.1, 0.2])), Layer(2.0 * w, jnp.array([0.0, -0.1]), "none")]
    x = jnp.array([1.0, -2.0])
    value, slope = jax.jit(jax.value_and_grad(forward))(layers, x)
    out["dataclass"] = [value, slope[0].weight, slope[1].bias, slope[1].activation]
    return out


TRANSFORMABLE = [
    (width, (Interval(jnp.array(1.0), jnp.array(4.0)),)),
    (kinetic, (Particle(jnp.array([0.0, 2.0]), jnp.array([1.0, -3.0])),)),
]
