"""JAX's ``tree_util`` names for the functions of ``functrace.tree``."""

from functrace.tree import DictKey as DictKey
from functrace.tree import FlattenedIndexKey as FlattenedIndexKey
from functrace.tree import GetAttrKey as GetAttrKey
from functrace.tree import PyTreeDef as PyTreeDef
from functrace.tree import SequenceKey as SequenceKey
from functrace.tree import all as tree_all
from functrace.tree import flatten as tree_flatten
from functrace.tree import flatten_with_path as tree_flatten_with_path
from functrace.tree import keystr as keystr
from functrace.tree import leaves as tree_leaves
from functrace.tree import leaves_with_path as tree_leaves_with_path
from functrace.tree import map as tree_map
from functrace.tree import map_with_path as tree_map_with_path
from functrace.tree import reduce as tree_reduce
from functrace.tree import register_dataclass as register_dataclass
from functrace.tree import register_pytree_node as register_pytree_node
from functrace.tree import register_pytree_node_class as register_pytree_node_class
from functrace.tree import register_pytree_with_keys as register_pytree_with_keys
from functrace.tree import structure as tree_structure
from functrace.tree import transpose as tree_transpose
from functrace.tree import unflatten as tree_unflatten

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "PyTreeDef",
    "SequenceKey",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "tree_all",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
]
