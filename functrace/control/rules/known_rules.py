"""One rule object for equal calls: a jaxpr traced again is then found equal to the one before.

A call of a function with rules becomes an equation that holds its rule. While all that the rules
can see is unchanged, a later call like it holds the same object, so that a loop body that is
traced for each call is interned, and its programs and derivatives are used again.
"""

from __future__ import annotations

from typing import TypeVar

from functrace.control.loops.unchanged import Surroundings
from functrace.control.rules.custom_rules import Arguments

__all__ = ["known_rule"]

R = TypeVar("R")

_MOST = 16


def known_rule(arguments: Arguments, rule: R) -> R:
    """Return the rule of an earlier call with arguments of this structure, or ``rule``."""
    custom = arguments.custom
    try:
        key = (arguments.in_tree, *((type(v), v) for v in arguments.nondiff))
        kept = custom.known.get(key)
    except TypeError:  # an argument that doesn't move can't be hashed
        return rule
    if kept is not None and kept[1].unchanged():
        known: R = kept[0]
        return known
    surroundings = Surroundings(custom)
    if surroundings.watchable:
        if len(custom.known) >= _MOST:
            custom.known.clear()
        custom.known[key] = rule, surroundings
    return rule
