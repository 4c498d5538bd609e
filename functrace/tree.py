"""Pytrees: nested containers of arrays, taken apart and put together again by optree.

Lists, tuples, dicts (by sorted key), namedtuples, dataclasses that were registered and any class
given to ``register_pytree_node`` are containers; ``None`` is an empty one; anything else is a leaf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import optree

from functrace.errors import StructureError, compose

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "PyTreeDef",
    "SequenceKey",
    "all",
    "broadcast_prefix",
    "flatten",
    "flatten_with_path",
    "keystr",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "prefix_leaves",
    "reduce",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "structure",
    "transpose",
    "unflatten",
]

NAMESPACE = "functrace"
# optree's own types ask for collections; a container here may be of any class.
_register: Callable[..., Any] = optree.register_pytree_node
PyTreeDef = optree.PyTreeSpec
T = TypeVar("T")
IsLeaf = Callable[[Any], bool] | None


class SequenceKey(NamedTuple):
    """The place of a list's or tuple's item in a key path."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx}]"


class DictKey(NamedTuple):
    """The place of a dict's value in a key path."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(NamedTuple):
    """The place of an attribute in a key path."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


class FlattenedIndexKey(NamedTuple):
    """The place of a child of a class that gives its children no names."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


KeyPath = tuple[Any, ...]


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """Return the leaves of ``tree`` and its structure.

    Example:
        >>> leaves, treedef = flatten({"b": 2, "a": [1, None]})
        >>> leaves
        [1, 2]
        >>> unflatten(treedef, leaves)
        {'b': 2, 'a': [1, None]}
    """
    return optree.tree_flatten(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """Return the tree of structure ``treedef`` with these leaves."""
    return treedef.unflatten(leaves)


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """Return the leaves of ``tree``, in order."""
    return optree.tree_leaves(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """Return the structure of ``tree``."""
    return optree.tree_structure(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Apply ``f`` to each leaf of ``tree``, with the matching subtrees of ``rest``.

    Args:
        f: called with one leaf of ``tree`` and the value at the same place of each of ``rest``.
        tree: the tree whose structure the result has.
        rest: trees of which ``tree``'s structure is a prefix.
        is_leaf: tells which containers to treat as leaves.

    Raises:
        StructureError: a tree of ``rest`` differs in structure; the message has the path.

    Example:
        >>> map(lambda p, g: p - 0.5 * g, {"w": 1.0}, {"w": 4.0})
        {'w': -1.0}
    """
    flat, treedef = flatten(tree, is_leaf)
    others = [_flatten_up_to(treedef, tree, other, i) for i, other in enumerate(rest)]
    return treedef.unflatten([f(*values) for values in zip(flat, *others)])


def _flatten_up_to(treedef: PyTreeDef, tree: Any, other: Any, position: int) -> list[Any]:
    try:
        return treedef.flatten_up_to(other)
    except (ValueError, TypeError) as error:
        raise StructureError(
            compose(
                f"tree.map: argument {position + 2} has another structure than the first: "
                f"{structure(other)} against {treedef}.",
                str(error).splitlines()[0],
                "give trees with the same containers, keys and lengths.",
            )
        ) from None


def reduce(f: Callable[[Any, Any], Any], tree: Any, *initial: Any, is_leaf: IsLeaf = None) -> Any:
    """Fold the leaves of ``tree`` from the left with ``f``, starting from ``initial`` if given.

    Example:
        >>> reduce(lambda a, b: a + b, {"a": 1, "b": (2, 3)})
        6
    """
    values = iter(leaves(tree, is_leaf))
    result = initial[0] if initial else next(values)
    for value in values:
        result = f(result, value)
    return result


def all(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Tell whether every leaf is true.

    Example:
        >>> all((True, [True, False]))
        False
    """
    return bool(reduce(lambda a, b: a and bool(b), tree, True, is_leaf=is_leaf))


def transpose(outer: PyTreeDef, inner: PyTreeDef | None, tree: Any) -> Any:
    """Turn a tree of trees inside out: from ``outer`` of ``inner`` to ``inner`` of ``outer``.

    Example:
        >>> outer, inner = structure([0, 0]), structure({"a": 0})
        >>> transpose(outer, inner, [{"a": 1}, {"a": 2}])
        {'a': [1, 2]}
    """
    subtrees = outer.flatten_up_to(tree)
    inner = structure(subtrees[0]) if inner is None else inner
    rows = [inner.flatten_up_to(subtree) for subtree in subtrees]
    return inner.unflatten([outer.unflatten(column) for column in zip(*rows)])


# --- key paths ---------------------------------------------------------------------------------


def flatten_with_path(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[tuple[KeyPath, Any]], Any]:
    """Return ``[(path, leaf), ...]`` and the structure of ``tree``."""
    accessors, flat, treedef = optree.tree_flatten_with_accessor(
        tree, is_leaf=is_leaf, namespace=NAMESPACE
    )
    paths = [tuple(_key(entry) for entry in accessor) for accessor in accessors]
    return list(zip(paths, flat)), treedef


def _key(entry: Any) -> Any:
    if isinstance(entry, optree.GetAttrEntry):
        return GetAttrKey(str(entry.entry))
    if isinstance(entry, optree.NamedTupleEntry):
        return GetAttrKey(entry.field)
    if isinstance(entry, optree.MappingEntry):
        return DictKey(entry.entry)
    if isinstance(entry, optree.SequenceEntry):
        return SequenceKey(entry.entry)
    if isinstance(entry.entry, str):
        return GetAttrKey(entry.entry)
    return FlattenedIndexKey(entry.entry)


def leaves_with_path(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[KeyPath, Any]]:
    """Return ``[(path, leaf), ...]`` of ``tree``."""
    return flatten_with_path(tree, is_leaf)[0]


def keystr(path: KeyPath) -> str:
    """Return a key path as the Python that reaches the leaf: ``['w'][0].bias``.

    Example:
        >>> [keystr(path) for path, _ in leaves_with_path({"w": [1, 2]})]
        ["['w'][0]", "['w'][1]"]
    """
    return "".join(str(key) for key in path)


def map_with_path(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Like ``map``, with ``f`` given the key path first.

    Example:
        >>> map_with_path(lambda path, v: f"{keystr(path)}={v}", {"a": 1})
        {'a': "['a']=1"}
    """
    with_path, treedef = flatten_with_path(tree, is_leaf)
    others = [_flatten_up_to(treedef, tree, other, i) for i, other in enumerate(rest)]
    values = [f(path, leaf, *more) for (path, leaf), *more in zip(with_path, *others)]
    return treedef.unflatten(values)


def broadcast_prefix(prefix: Any, tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """Return ``prefix``'s leaves repeated so that there is one for each leaf of ``tree``."""
    return optree.broadcast_prefix(prefix, tree, is_leaf=is_leaf, namespace=NAMESPACE)


def prefix_leaves(prefix: Any, treedef: PyTreeDef, what: str) -> list[Any]:
    """Repeat the leaves of an axes tree over ``treedef``; there, ``None`` is a leaf.

    Raises:
        StructureError: ``prefix`` isn't a prefix of the structure; ``what`` names it.
    """
    example = treedef.unflatten(range(treedef.num_leaves))
    result: list[Any] = []
    _extend_prefix(prefix, example, what, (), result)
    return result


def _extend_prefix(prefix: Any, tree: Any, what: str, path: KeyPath, out: list[Any]) -> None:
    if prefix is None or optree.tree_is_leaf(prefix, namespace=NAMESPACE):
        out.extend([prefix] * len(leaves(tree)))
        return
    children, tree_children = _children(prefix), _children(tree)
    if type(prefix) is not type(tree) or children.keys() != tree_children.keys():
        place = keystr(path) or "its top"
        raise StructureError(
            compose(
                f"{what} doesn't fit the values it is for: at {place} it has {prefix!r}, "
                f"the values have {structure(tree)}.",
                "it must be one entry for all, or a tree whose containers match the values'.",
            )
        )
    for key, child in children.items():
        _extend_prefix(child, tree_children[key], what, (*path, key), out)


def _children(tree: Any) -> dict[Any, Any]:
    """Return the direct children of a container by key, in flattening order."""
    if tree is None or optree.tree_is_leaf(tree, namespace=NAMESPACE):
        return {}
    _, values, _ = optree.tree_flatten_with_path(
        tree, is_leaf=lambda x: x is not tree, none_is_leaf=True, namespace=NAMESPACE
    )
    accessors = optree.tree_accessors(
        tree, is_leaf=lambda x: x is not tree, none_is_leaf=True, namespace=NAMESPACE
    )
    return {_key(accessor[0]): value for accessor, value in zip(accessors, values)}


# --- registration ------------------------------------------------------------------------------


def register_pytree_node(
    nodetype: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
) -> None:
    """Make instances of ``nodetype`` containers.

    Args:
        nodetype: the class.
        flatten_func: returns ``(children, static data)`` of an instance.
        unflatten_func: makes an instance of ``(static data, children)``.

    Example:
        >>> class Pair:
        ...     def __init__(self, a, b):
        ...         self.a, self.b = a, b
        >>> register_pytree_node(Pair, lambda p: ((p.a, p.b), None), lambda _, c: Pair(*c))
        >>> leaves(Pair(1, 2))
        [1, 2]
    """

    def optree_flatten(node: T) -> tuple[Iterable[Any], Hashable]:
        children, data = flatten_func(node)
        return tuple(children), data

    _register(nodetype, optree_flatten, unflatten_func, namespace=NAMESPACE)


def register_pytree_with_keys(
    nodetype: type[T],
    flatten_with_keys: Callable[[T], tuple[Iterable[tuple[Any, Any]], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """Like ``register_pytree_node``, with a key for each child, shown in error messages."""

    def optree_flatten(node: T) -> tuple[Iterable[Any], Hashable, tuple[Any, ...]]:
        pairs, data = flatten_with_keys(node)
        keys, children = zip(*pairs) if pairs else ((), ())
        return tuple(children), data, tuple(getattr(k, "name", str(k)) for k in keys)

    del flatten_func
    _register(nodetype, optree_flatten, unflatten_func, namespace=NAMESPACE)


def register_pytree_node_class(cls: type[T]) -> type[T]:
    """Class decorator: make a class with ``tree_flatten`` and ``tree_unflatten`` a container."""
    register_pytree_node(cls, cls.tree_flatten, cls.tree_unflatten)  # type: ignore[attr-defined]
    return cls


def register_dataclass(
    cls: type[T],
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
) -> type[T]:
    """Make a dataclass a container: ``data_fields`` are children, ``meta_fields`` static.

    Without lists, every field is a child save those with ``metadata={"static": True}``.

    Example:
        >>> import dataclasses
        >>> @register_dataclass
        ... @dataclasses.dataclass
        ... class Layer:
        ...     w: float
        ...     name: str = dataclasses.field(default="", metadata={"static": True})
        >>> leaves(Layer(2.0, "first"))
        [2.0]
    """
    all_fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    static = {f.name for f in all_fields if f.metadata.get("static")}
    meta = tuple(static if meta_fields is None else meta_fields)
    data = tuple(
        [f.name for f in all_fields if f.name not in meta] if data_fields is None else data_fields
    )

    def flatten_fields(node: T) -> tuple[Any, Any, Any]:
        children = tuple(getattr(node, name) for name in data)
        return children, tuple(getattr(node, name) for name in meta), data

    def unflatten_fields(static_values: Any, children: Any) -> T:
        node = object.__new__(cls)
        for name, value in (*zip(data, children), *zip(meta, static_values)):
            object.__setattr__(node, name, value)
        return node

    _register(
        cls,
        flatten_fields,
        unflatten_fields,
        namespace=NAMESPACE,
        path_entry_type=optree.GetAttrEntry,
    )
    return cls
