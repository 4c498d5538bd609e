"""The cheapest way to part a graph in two: Dinic's algorithm for the minimum cut."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["ALWAYS", "Graph"]

ALWAYS = 1 << 60
"""The capacity of an edge that no cut crosses."""

SOURCE, SINK = 0, 1


class Graph:
    """Nodes joined by edges with capacities, from a source to a sink.

    Nodes are made by being named; ``None`` as a tail is the source, as a head the sink.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        #: Edges out of each node, as numbers; edge ``e ^ 1`` is the way back of edge ``e``.
        self._edges: list[list[int]] = [[], []]
        self._heads: list[int] = []
        self._left: list[int] = []

    def join(self, tail: Hashable | None, head: Hashable | None, capacity: int) -> None:
        """Add an edge."""
        a = SOURCE if tail is None else self._number(tail)
        b = SINK if head is None else self._number(head)
        self._edges[a].append(len(self._heads))
        self._edges[b].append(len(self._heads) + 1)
        self._heads += [b, a]
        self._left += [capacity, 0]

    def behind_cut(self) -> set[Hashable]:
        """Return the nodes on the sink's side of the cheapest cut; of equal ones, the fewest."""
        while True:
            depth = self._depths()
            if depth[SINK] < 0:
                break
            self._fill(depth)
        reach = {SINK}
        waiting = [SINK]
        while waiting:
            for e in self._edges[waiting.pop()]:
                before = self._heads[e]
                if self._left[e ^ 1] and before not in reach:
                    reach.add(before)
                    waiting.append(before)
        return {name for name, number in self._numbers.items() if number in reach}

    def _number(self, name: Hashable) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._edges)
            self._edges.append([])
        return self._numbers[name]

    def _depths(self) -> list[int]:
        """Return how many edges with capacity left lead from the source to each node, at least."""
        depth = [-1] * len(self._edges)
        depth[SOURCE] = 0
        level = [SOURCE]
        while level and depth[SINK] < 0:
            following = []
            for node in level:
                for e in self._edges[node]:
                    head = self._heads[e]
                    if self._left[e] and depth[head] < 0:
                        depth[head] = depth[node] + 1
                        following.append(head)
            level = following
        return depth

    def _fill(self, depth: list[int]) -> None:
        """Let as much flow as the shortest ways to the sink take."""
        tried = [0] * len(self._edges)
        path: list[int] = []
        node = SOURCE
        while True:
            if node == SINK:
                flow = min(self._left[e] for e in path)
                for e in path:
                    self._left[e] -= flow
                    self._left[e ^ 1] += flow
                full = next(k for k, e in enumerate(path) if not self._left[e])
                node = self._heads[path[full] ^ 1]
                del path[full:]
                continue
            edges = self._edges[node]
            while tried[node] < len(edges):
                e = edges[tried[node]]
                if self._left[e] and depth[self._heads[e]] == depth[node] + 1:
                    path.append(e)
                    node = self._heads[e]
                    break
                tried[node] += 1
            else:
                if node == SOURCE:
                    return
                node = self._heads[path.pop() ^ 1]
                tried[node] += 1
