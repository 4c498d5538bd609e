"""Groups operations into kernels; lowering kinds alone decide.

A loop group runs over one space: the shape of its operations without axes of size 1. Element-wise
and indexed operations join the group that computes their operands point by point; reductions join
it as folds over some axes of the space, and what follows them point by point as the epilogue.
Whatever is read otherwise (through a view, or in another space) goes through memory, so that no
expression is evaluated more often than it has elements. Groups stay free of cycles: every group
knows all groups it depends on, as bits of an integer.
"""

from __future__ import annotations

from collections.abc import Iterator

from functrace.compiler.plan import Array, ArrayProgram, Group, OneKernel, Op, Read, Update, squeeze
from functrace.core.aval import Shape
from functrace.core.lowering import Elementwise, Host, Indexed, Library, Reduction

__all__ = ["check_groups", "fuse"]

_MOST_OPS = 300
_MOST_ARRAYS = 48
#: How many earlier groups of the same space are tried for an operation without a producer.
_LOOK_BACK = 8

BODY, KEPT = "body", "kept"


def fuse(program: ArrayProgram) -> list[Group]:
    """Return the groups of a program in an order in which they can run."""
    fuser = _Fuser()
    for op in program.ops:
        if op.index in program.barriers:
            fuser.close()
        fuser.place(op)
    return fuser.finish(program)


def reduced_axes(op: Op) -> tuple[int, ...]:
    """Return which axes of its operand's space a reduction folds."""
    axes = set(op.params["axes"])
    shape = op.operands[0].shape
    kept = [i for i, n in enumerate(shape) if n != 1]
    return tuple(place for place, i in enumerate(kept) if i in axes)


def has_host(op: Op) -> bool:
    """Whether an operation calls Python, itself or in a body."""
    if isinstance(op.lowering, Host):
        return True
    return any(has_host(inner) for body in op.bodies for inner in body.program.ops)


def _kind(op: Op) -> str:
    """Return the kind of a group that is one operation alone."""
    if op.bodies:
        return "sequence" if isinstance(op.lowering, OneKernel) else "steps"
    if isinstance(op.lowering, Host):
        return "host"
    if isinstance(op.lowering, Update):
        return "update"
    return "library" if isinstance(op.lowering, Library) else "nest"


class _Fuser:
    def __init__(self) -> None:
        self.groups: list[Group] = []
        #: The numbers of those that weren't merged into others, in order.
        self.living: dict[int, None] = {}
        #: What each group reads from memory.
        self.arrays: list[set[Array]] = []
        #: All groups each group depends on; and those whose results it reads as no point does.
        self.deps: list[int] = []
        self.hard: list[int] = []
        #: Those each depends on and not just by way of others; and all that some depend on.
        self.direct: list[int] = []
        self.needed = 0
        self.home: dict[Array, int] = {}
        self.role: dict[Array, str] = {}
        self.by_space: dict[Shape, list[int]] = {}
        self.last_host: int | None = None
        self.stretch = self.first_open = 0

    def close(self) -> None:
        """Let no operation join the groups there are."""
        self.stretch += 1
        self.first_open = len(self.groups)

    def place(self, op: Op) -> None:
        """Put an operation into a group."""
        if isinstance(op.lowering, (Elementwise, Indexed)):
            self.place_map(op)
        elif isinstance(op.lowering, Reduction):
            self.place_fold(op)
        else:
            self.place_alone(op)

    def place_alone(self, op: Op) -> None:
        """Give an operation a group of its own; calls of Python keep their order."""
        g = self.new_group(op, _kind(op), ())
        if not has_host(op):
            if isinstance(op.lowering, Update):
                self.follow_readers(op, g)
            return
        if self.last_host is not None:
            self.groups[g].after = self.groups[self.last_host]
            self.depend(g, self.last_host)
        self.last_host = g

    def follow_readers(self, op: Op, g: int) -> None:
        """Let an update come after all that read the array so far: it may write over it then."""
        old = op.operands[0]
        if not isinstance(old, Read):
            return
        for other in range(g):
            if other in self.living and old.array in self.arrays[other]:
                self.hard[g] |= 1 << other
                self.depend(g, other)

    # --- candidates ---

    def place_map(self, op: Op) -> None:
        space = squeeze(op.outs[0].shape)
        target = -1
        for g in self.producers(op):
            if target >= 0:
                if self.can_merge(g, target):
                    self.merge(g, target)
                continue
            role = self.fitting_role(g, op, space)
            if role is not None and self.can_join(g, op, role):
                target = self.join(g, op, role)
        if target < 0:
            self.place_beside(op, space)

    def fitting_role(self, g: int, op: Op, space: Shape) -> str | None:
        """Return as what an operation over ``space`` may join a group."""
        group = self.groups[g]
        if group.kind != "loop":
            return None
        if group.space == space and not (group.folds and self.reads_kept(g, op)):
            return BODY
        return KEPT if group.folds and group.kept == space else None

    def reads_kept(self, g: int, op: Op) -> bool:
        return any(self.home.get(r.array) == g and self.role[r.array] == KEPT for r in op.reads)

    def place_beside(self, op: Op, space: Shape) -> None:
        """Join a group over the same space which reads the same arrays, or start one."""
        small = not space
        # Sharing a scalar is no reason: updates of several parameters share their step size.
        mine = {r.array for r in op.reads if squeeze(r.array.shape) == space}
        for g in self.recent(space):
            if not small and not (mine & self.arrays[g]):
                continue
            if self.can_join(g, op, BODY):
                self.join(g, op, BODY)
                return
        self.new_group(op, "loop", space)

    def place_fold(self, op: Op) -> None:
        operand = op.operands[0]
        space, axes = squeeze(operand.shape), reduced_axes(op)
        candidates = list(self.producers(op))
        if isinstance(operand, Read):
            candidates += [g for g in self.recent(space) if operand.array in self.arrays[g]]
        for g in candidates:
            group = self.groups[g]
            fits = group.kind == "loop" and group.space == space
            if fits and group.axes in ((), axes) and self.can_join(g, op, BODY):
                group.axes = axes
                self.join(g, op, KEPT)
                return
        self.groups[self.new_group(op, "loop", space)].axes = axes

    def producers(self, op: Op) -> list[int]:
        found = {self.home[r.array] for r in op.reads if r.array in self.home}
        return sorted(found, reverse=True)

    def recent(self, space: Shape) -> Iterator[int]:
        seen = 0
        for g in reversed(self.by_space.get(space, [])):
            if g in self.living:
                yield g
                seen += 1
                if seen == _LOOK_BACK:
                    return

    # --- joining ---

    def can_join(self, g: int, op: Op, role: str) -> bool:
        """Whether an operation may run in a group without a cycle or a wrong order."""
        group = self.groups[g]
        if g < self.first_open or len(self.arrays[g]) + len(op.operands) > _MOST_ARRAYS:
            return False
        if len(group.body) + len(group.epilogue) >= _MOST_OPS:
            return False
        for k, operand in enumerate(op.operands):
            if not isinstance(operand, Read):
                continue
            maker = self.home.get(operand.array)
            if maker is None:
                continue
            if maker == g:
                if not self.is_soft(op, k) or self.role[operand.array] != role:
                    return False
            elif self.deps[maker] >> g & 1:
                return False
        return True

    def is_soft(self, op: Op, k: int) -> bool:
        """Whether operand ``k`` is only read at the point that is being computed."""
        operand = op.operands[k]
        if isinstance(op.lowering, Indexed) or not isinstance(operand, Read):
            return False
        if isinstance(op.lowering, Elementwise):
            shape = op.outs[0].shape
            same = operand.shape == shape or squeeze(operand.shape) == squeeze(shape)
            return same and operand.pointwise
        return operand.pointwise

    def new_group(self, op: Op, kind: str, space: Shape) -> int:
        g = len(self.groups)
        self.groups.append(Group(g, kind, space, stretch=self.stretch))
        self.living[g] = None
        self.deps.append(0)
        self.hard.append(0)
        self.direct.append(0)
        self.arrays.append(set())
        if kind == "loop":
            self.by_space.setdefault(space, []).append(g)
        self.join(g, op, KEPT if isinstance(op.lowering, Reduction) else BODY)
        return g

    def join(self, g: int, op: Op, role: str) -> int:
        group = self.groups[g]
        if isinstance(op.lowering, Reduction):
            group.folds.append(op)
        else:
            (group.body if role == BODY else group.epilogue).append(op)
        for out in op.outs:
            self.home[out] = g
            self.role[out] = role
        for k, operand in enumerate(op.operands):
            if isinstance(operand, Read):
                maker = self.home.get(operand.array)
                if maker != g:
                    self.arrays[g].add(operand.array)
                if maker is not None and maker != g:
                    self.depend(g, maker)
                    if not self.is_soft(op, k) or self.role[operand.array] != BODY:
                        self.hard[g] |= 1 << maker
        return g

    def depend(self, g: int, maker: int) -> None:
        """Note that a group, and all that need it, depend on another, and all that it needs."""
        added = self.deps[maker] | 1 << maker
        self.direct[g] |= 1 << maker
        self.needed |= 1 << maker
        if added & ~self.deps[g]:
            self.deps[g] |= added
            if self.needed >> g & 1:
                for h in self.living:
                    if self.deps[h] >> g & 1:
                        self.deps[h] |= added

    # --- merging ---

    def can_merge(self, a: int, b: int) -> bool:
        """Whether two groups over one space may become one."""
        x, y = self.groups[a], self.groups[b]
        if x.kind != "loop" or y.kind != "loop" or x.space != y.space:
            return False
        if x.stretch != y.stretch:
            return False
        if x.folds and y.folds and x.axes != y.axes:
            return False
        if len(x.ops) + len(y.ops) > _MOST_OPS:
            return False
        if len(self.arrays[a] | self.arrays[b]) > _MOST_ARRAYS:
            return False
        return self.no_path(a, b) and self.no_path(b, a)

    def no_path(self, first: int, last: int) -> bool:
        """Whether ``last`` needs ``first`` directly and point by point, or not at all."""
        if not self.deps[last] >> first & 1:
            return True
        if self.hard[last] >> first & 1:
            return False
        # A longer way ends with a group that the last one needs directly.
        between = self.direct[last] & ~(1 << first)
        while between:
            low = between & -between
            between ^= low
            if self.deps[low.bit_length() - 1] >> first & 1:
                return False
        return True

    def merge(self, gone: int, into: int) -> int:
        x, y = self.groups[gone], self.groups[into]
        y.axes = y.axes or x.axes
        for name in ("body", "folds", "epilogue"):
            merged = sorted(getattr(x, name) + getattr(y, name), key=lambda op: op.index)
            setattr(y, name, merged)
        for op in x.ops:
            for out in op.outs:
                self.home[out] = into
        self.arrays[into] = {
            a for a in self.arrays[into] | self.arrays[gone] if self.home.get(a) != into
        }
        del self.living[gone]
        bits = 1 << gone | 1 << into
        self.hard[into] = (self.hard[into] | self.hard[gone]) & ~bits
        deps = (self.deps[into] | self.deps[gone]) & ~bits
        self.deps[into] = deps
        self.direct[into] = (self.direct[into] | self.direct[gone]) & ~bits
        if self.needed & bits:
            self.needed |= 1 << into
            for h in self.living:
                if h != into and self.deps[h] & bits:
                    self.deps[h] |= deps | bits
                    if self.direct[h] >> gone & 1:
                        self.direct[h] ^= 1 << gone
                        self.direct[h] |= 1 << into
                if self.hard[h] >> gone & 1:
                    self.hard[h] |= 1 << into
        return into

    # --- the result ---

    def finish(self, program: ArrayProgram) -> list[Group]:
        self.sink_epilogues(program)
        wanted = self.wanted(program)
        order = self.order()
        groups = []
        for number, g in enumerate(order):
            group = self.groups[g]
            group.index = number
            for name in ("body", "folds", "epilogue"):
                getattr(group, name).sort(key=lambda op: op.index)
            group.stores = [a for op in group.ops for a in op.outs if a in wanted]
            groups.append(group)
        return groups

    def sink_epilogues(self, program: ArrayProgram) -> None:
        """Move what follows a fold into the only group that reads it, if that is a map.

        Then the fold stores one array, and the map is one that other programs have too.
        """
        readers: dict[Array, set[int]] = {o.array: {-1} for o in program.outputs}
        for op in program.ops:
            for read in op.reads:
                readers.setdefault(read.array, set()).add(op.index)
        place = {op.index: self.home[op.outs[0]] for op in program.ops if op.outs}
        for group in self.groups:
            for op in reversed(group.epilogue if group.index in self.living else []):
                homes = {place.get(i, -1) for i in readers.get(op.outs[0], set())}
                if len(homes) == 1 and self.can_sink(op, group, *homes):
                    (target,) = homes
                    group.epilogue.remove(op)
                    self.groups[target].body.append(op)
                    place[op.index] = self.home[op.outs[0]] = target

    def can_sink(self, op: Op, group: Group, target: int) -> bool:
        if target < 0 or target == group.index or not isinstance(op.lowering, Elementwise):
            return False
        to = self.groups[target]
        if to.kind != "loop" or to.folds or to.space != group.kept:
            return False
        (out,) = op.outs
        soft = all(
            self.is_soft(reader, k)
            for reader in to.body
            for k, x in enumerate(reader.operands)
            if isinstance(x, Read) and x.array is out
        )
        return soft and len(self.arrays[target]) + len(op.operands) <= _MOST_ARRAYS

    def wanted(self, program: ArrayProgram) -> set[Array]:
        """Return the arrays that have to be in memory."""
        wanted = {o.array for o in program.outputs}
        for op in program.ops:
            home = self.home[op.outs[0]] if op.outs else -1
            loop = home >= 0 and self.groups[home].kind == "loop"
            wanted.update(r.array for r in op.reads if self.home.get(r.array) != home)
            if not loop:
                wanted.update(op.outs)
        return wanted

    def order(self) -> list[int]:
        """Return the groups so that each comes after those it needs, else as the program runs."""
        left = list(self.living)
        first = {g: min(op.index for op in self.groups[g].ops) for g in left}
        left.sort(key=lambda g: first[g])
        alive = sum(1 << g for g in left)
        done, order = 0, []
        while left:
            ready = next(g for g in left if not self.deps[g] & alive & ~done)
            left.remove(ready)
            order.append(ready)
            done |= 1 << ready
        return order


def check_groups(groups: list[Group]) -> None:
    """Check that every array is made once, before it is read, and stored where it is needed."""
    made: set[Array] = set()
    for group in groups:
        inside: set[Array] = set()
        for op in group.ops:
            for read in op.reads:
                array = read.array
                known = array.kind in ("input", "constant") or array in made or array in inside
                assert known, f"{op} reads {array} before it is stored, in\n{group}"
            inside.update(op.outs)
        assert not made & inside, f"an array is made twice in\n{group}"
        assert set(group.stores) <= inside, f"stores what it doesn't make:\n{group}"
        made.update(group.stores)
