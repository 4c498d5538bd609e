"""A compiled function as a graph: operations, and which of them run as one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrace.compiler.plan import Array, Group, Number, Op
from functrace.control.jit import JitFunction, jit

__all__ = ["to_dot", "to_svg"]


def to_dot(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> str:
    """Return a function's operations as a graph in Graphviz's language.

    The simplified jaxpr is shown: a node for each argument, constant, operation and result, and a
    box around the operations that run as one step. Transposes, slices and the like are no
    operations: an edge that reads an array through one is labelled with what it sees.

    Args:
        f: a jitted function, or one that ``jit`` takes.
        args: its arguments, or ``ShapeDtypeStruct``.
        kwargs: its keyword arguments.

    Example:
        >>> import numpy as np
        >>> print(to_dot(lambda x: np.sum(np.sin(x)), np.ones(3)))
        digraph {
          node [fontname="monospace", shape=box]
          a0 [label="argument 0\\nfloat64[3]", shape=ellipse]
          subgraph cluster_0 {
            label="group 0: loop over 3"
            g0_0 [label="sin\\nfloat64[3]"]
            g0_1 [label="reduce_sum\\nfloat64[]"]
          }
          r0 [label="result 0", shape=ellipse]
          a0 -> g0_0
          g0_0 -> g0_1
          g0_1 -> r0
        }
    """
    jitted = f if isinstance(f, JitFunction) else jit(f)
    compilation = jitted._program_for(args, kwargs)[1].compilation
    return _Picture(compilation.arrays, compilation.groups).text()


def to_svg(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> str:
    """Return the picture of ``to_dot`` as SVG; needs Graphviz and ``pip install functrace[viz]``.

    Args:
        f: a jitted function, or one that ``jit`` takes.
        args: its arguments, or ``ShapeDtypeStruct``.
        kwargs: its keyword arguments.

    Raises:
        ImportError: the ``graphviz`` package isn't installed.
    """
    text = to_dot(f, *args, **kwargs)
    try:
        import graphviz
    except ImportError as error:
        raise ImportError(
            "to_svg draws with Graphviz, whose Python package isn't installed.\n"
            "Try: pip install functrace[viz], or to_dot, which needs nothing."
        ) from error
    return str(graphviz.Source(text).pipe(format="svg", encoding="utf-8"))


class _Picture:
    def __init__(self, arrays: Any, groups: list[Group]) -> None:
        self.arrays = arrays
        self.groups = groups
        self.nodes: list[str] = []
        self.edges: list[str] = []
        #: Which node makes an array, as the groups after it see it.
        self.makers: dict[Array, str] = {}

    def text(self) -> str:
        for kind, letter, found in (
            ("argument", "a", self.arrays.inputs),
            ("constant", "c", self.arrays.constants),
        ):
            for k, array in enumerate(found):
                label = f"{kind} {k}\\n{_typed(array)}"
                self.nodes.append(f'{letter}{k} [label="{label}", shape=ellipse]')
                self.makers[array] = f"{letter}{k}"
        for group in self.groups:
            self.cluster(group)
        for k, output in enumerate(self.arrays.outputs):
            self.nodes.append(f'r{k} [label="result {k}", shape=ellipse]')
            self.edges.append(f"{self.makers[output.array]} -> r{k}")
        lines = ['node [fontname="monospace", shape=box]', *self.nodes, *self.edges]
        return "\n".join(["digraph {", *(f"  {line}" for line in lines), "}"])

    def cluster(self, group: Group) -> None:
        """Add a group; what it makes for itself hides what others made of the same array."""
        space = " × ".join(map(str, group.space))
        label = f"group {group.index}: {group.kind}{f' over {space}' if space else ''}"
        self.nodes += [f"subgraph cluster_{group.index} {{", f'  label="{label}"']
        local = dict(self.makers)
        for k, op in enumerate(group.ops):
            node = f"g{group.index}_{k}"
            types = ", ".join(map(_typed, op.outs))
            self.nodes.append(f'  {node} [label="{op.name}\\n{types}"]')
            self.read(op, node, local)
            local.update(dict.fromkeys(op.outs, node))
        self.nodes.append("}")
        self.makers.update({a: local[a] for a in group.stores})

    def read(self, op: Op, node: str, makers: dict[Array, str]) -> None:
        for operand in op.operands:
            if isinstance(operand, Number):
                continue
            seen = str(operand).partition("[")[2].rstrip("]")
            label = f' [label="[{seen}]"]' if seen and not operand.whole else ""
            self.edges.append(f"{makers[operand.array]} -> {node}{label}")


def _typed(array: Array) -> str:
    return f"{array.dtype.name}[{','.join(map(str, array.shape))}]"
