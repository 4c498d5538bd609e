"""JAX's device functions, accepted and without effect: there is one device, the CPU."""

from __future__ import annotations

from typing import Any

from functrace import tree
from functrace.core.arguments import argument_leaf

__all__ = ["block_until_ready", "device_get", "device_put", "devices"]


def device_put(x: Any, device: Any = None) -> Any:
    """Return the tree with its leaves as arrays; they stay where they are.

    Args:
        x: a tree of arrays and numbers.
        device: accepted.

    Example:
        >>> device_put([1.0])
        [np.float64(1.0)]
    """
    return tree.map(lambda leaf: argument_leaf(leaf, lambda: "device_put: a leaf").value, x)


def device_get(x: Any) -> Any:
    """Return the tree as it is: its arrays are NumPy's already."""
    return x


def block_until_ready(x: Any) -> Any:
    """Return the tree as it is: nothing is computed behind the caller's back."""
    return x


def devices() -> list[str]:
    """Return the one device."""
    return ["cpu"]
