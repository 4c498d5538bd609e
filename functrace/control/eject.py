"""Writes a jitted function's program as a module that needs NumPy and Numba only."""

from __future__ import annotations

import ast
import inspect
import io
import keyword
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functrace import compiler, tree
from functrace.source_info import describe_function

if TYPE_CHECKING:
    from functrace.compiler.emit.eject import Ejected
    from functrace.compiler.pipeline import Compiled

__all__ = ["replace_file", "write_module"]

_TAKEN = frozenset(("np", "numba", "types"))


def write_module(
    path: Path,
    fun: Callable[..., Any],
    compiled: Compiled,
    given: tuple[list[Any], dict[str, Any]],
    skipped: Sequence[int],
    out_tree: Any,
) -> Path:
    """Write the module, and its constants beside it; return its path.

    Args:
        path: where.
        fun: the user's function, for names.
        compiled: its program.
        given: the positional and keyword arguments; None for a positional one that is static,
            keywords without those that are.
        skipped: the positions of static arguments.
        out_tree: the structure of the output.
    """
    if path.suffix != ".py":
        raise ValueError(f"eject writes a Python module; {str(path)!r} doesn't end in .py")
    parts: Ejected = compiler.emit.eject.eject_program(compiled)
    text = _module(fun, compiled, parts, given, skipped, out_tree, path)
    if parts.constants:
        buffer = io.BytesIO()
        np.savez(buffer, **parts.constants)  # type: ignore[arg-type]
        replace_file(path.with_suffix(".npz"), buffer.getvalue())
    replace_file(path, text.encode())
    return path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file aside and rename it: others see the old one or the new one."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _module(
    fun: Any,
    compiled: Compiled,
    parts: Ejected,
    given: tuple[list[Any], dict[str, Any]],
    skipped: Sequence[int],
    out_tree: Any,
    path: Path,
) -> str:
    names = _parameters(fun, len(given[0]))
    leaves = _leaf_places(given, names)
    types = ", ".join(f"{p}: {a}" for p, a in zip(leaves, compiled.compilation.jaxpr.in_avals))
    result = _build(out_tree, parts.outputs)
    imports = ["import numba", "import numpy as np"]
    if any("types." in part for part in parts.definitions):
        imports.append("from numba import types")
    if parts.constants:
        imports.insert(0, "from pathlib import Path\n")
        imports.append(f'\n_constants = np.load(Path(__file__).with_name("{path.stem}.npz"))')
    header = (
        f'"""{describe_function(fun)}, compiled by functrace for ({types}).\n\n'
        'This module needs NumPy and Numba only.\n"""\n'
    )
    positional = [name for i, name in enumerate(names) if i not in skipped]
    signature = [*positional, *(["*", *given[1]] if given[1] else [])]
    body = [*_read_arguments(compiled, leaves), *parts.lines, f"return {result}"]
    lines = "\n".join(f"    {line}" for line in body)
    function = f"def {_function_name(fun)}({', '.join(signature)}):\n{lines}"
    return "\n\n\n".join([header + "\n" + "\n".join(imports), *parts.definitions, function]) + "\n"


def _function_name(fun: Any) -> str:
    name = str(getattr(fun, "__name__", ""))
    usable = name.isidentifier() and not keyword.iskeyword(name) and name not in _TAKEN
    return name if usable and not name.startswith("kernel_") else "function"


def _parameters(fun: Any, count: int) -> list[str]:
    """Return the names of the positional arguments."""
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = [p.name for p in parameters if p.kind in kinds]
    names = [known[i] if i < len(known) else f"argument_{i}" for i in range(count)]
    return [f"{name}_" if name in _TAKEN else name for name in names]


def _leaf_places(given: tuple[list[Any], dict[str, Any]], names: list[str]) -> list[str]:
    """Return the expression of each leaf of the arguments.

    Raises:
        NotImplementedError: a container isn't Python's, and no expression reaches its leaves.
    """
    places = []
    for path, _ in tree.leaves_with_path(given):
        for key in path[2:]:
            attribute = isinstance(key, tree.GetAttrKey)
            if not attribute and not _is_literal(getattr(key, "key", getattr(key, "idx", None))):
                raise NotImplementedError(
                    f"eject: the module can't name the argument's leaf {tree.keystr(path[2:])!r}."
                    "\nTry: arguments of tuples, lists, dicts with plain keys, and dataclasses."
                )
        root = names[path[1].idx] if path[0].idx == 0 else str(path[1].key)
        places.append(root + tree.keystr(path[2:]))
    return places


def _read_arguments(compiled: Compiled, leaves: Sequence[str]) -> list[str]:
    """Return one statement: the flat arguments must not hide a user's names from each other."""
    specs = compiled.program.inputs
    if not specs:
        return []
    targets = "".join(f"in_{k}, " for k in range(len(specs)))
    lines = [
        f'    _argument({place}, {spec.shape}, "{spec.dtype.name}", {spec.weak}, {place!r}),'
        for spec, place in zip(specs, leaves)
    ]
    return [f"{targets.rstrip()} = (", *lines, ")"]


def _is_literal(key: Any) -> bool:
    """Whether the text of a dict's key is the key."""
    try:
        return bool(ast.literal_eval(repr(key)) == key) and key is not None
    except (ValueError, SyntaxError):
        return False


def _build(out_tree: Any, outputs: Sequence[str]) -> str:
    """Return the expression of the output; of containers that Python lacks, a tuple of leaves."""

    def build(example: Any) -> str:
        kind = type(example)
        if kind is int:
            return str(outputs[example])
        if example is None:
            return "None"
        if kind is tuple:
            return f"({''.join(build(c) + ', ' for c in example)})"
        if kind is list:
            return f"[{', '.join(build(c) for c in example)}]"
        if kind is dict and all(map(_is_literal, example)):
            return f"{{{', '.join(f'{k!r}: {build(c)}' for k, c in example.items())}}}"
        return f"({''.join(outputs[i] + ', ' for i in tree.leaves(example))})"

    text: str = build(out_tree.unflatten(range(out_tree.num_leaves)))
    return text
