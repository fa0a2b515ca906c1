# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A sum tree: draws one of N items in proportion to its value in O(log N), many at a time.
Each node is the sum of its two children, computed anew from them: no drift, no history."""

import numpy as np

from dormant.checks import check_count


class SumTree:
    """N values >= 0 in float64, with their sums in a binary tree (Schaul et al., 2016)."""

    def __init__(self, size: int):
        """N zeros.

        Args:
          size: N, >= 1.

        Raises:
          ValueError: when size is not.
        """
        check_count("size", size, 1)
        self.size = size
        self._leaves = _leaves(size)
        # Node i has the children 2 i and 2 i + 1; 1 is the root, 0 is not used.
        self._nodes = np.zeros(2 * self._leaves, np.float64)

    @staticmethod
    def bytes_needed(size: int) -> int:
        """Bytes of a tree of that many values: 16 to 32 each."""
        return 2 * _leaves(size) * np.dtype(np.float64).itemsize

    @property
    def total(self) -> float:
        """The sum of all values."""
        return float(self._nodes[1])

    def get(self, indices: np.ndarray) -> np.ndarray:
        """The values at indices (K,): float64 (K,)."""
        return self._nodes[self._leaves + indices]

    def set_one(self, index: int, value: float) -> None:
        """Sets one value, which must be finite and >= 0; quicker than `set` for one."""
        nodes, node = self._nodes, self._leaves + index
        nodes[node] = value
        while node > 1:
            node >>= 1
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]

    def set(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Sets the values at indices; of one that occurs twice, the last value counts.

        Args:
          indices: (K,), integers in [0, N).
          values: (K,), finite and >= 0.
        """
        nodes = np.asarray(indices) + self._leaves
        self._nodes[nodes] = values
        if not nodes.size:
            return
        for _ in range(self._leaves.bit_length() - 1):
            # Of a node and its sibling, whichever was set.
            sums = self._nodes.take(nodes) + self._nodes.take(nodes ^ 1)
            nodes >>= 1
            self._nodes[nodes] = sums

    def set_all(self, values: np.ndarray) -> None:
        """Sets all N values: (N,), finite and >= 0."""
        nodes, level = self._nodes, self._leaves
        nodes[level : level + self.size] = values
        while level > 1:
            level >>= 1
            nodes[level : 2 * level] = nodes[2 * level : 4 * level].reshape(-1, 2).sum(axis=1)

    def find(self, targets: np.ndarray) -> np.ndarray:
        """The index at which the running sum of the values first exceeds each target.

        Args:
          targets: (K,), float64 in [0, total); total must be > 0.

        Returns:
          int64 (K,): indices of values that are not 0.
        """
        indices = self._descend(targets, look_right=False)
        # By rounding a target may reach the sum of a node: it must not end up at a value of 0. That
        # is so rare that nodes are looked at for it only where it happened.
        if not self.get(indices).all():
            indices = self._descend(targets, look_right=True)
        return indices

    def _descend(self, targets: np.ndarray, look_right: bool) -> np.ndarray:
        """The leaf under each target; with `look_right` never one under a right node of sum 0."""
        remaining = np.array(targets, np.float64)
        nodes = np.ones(remaining.shape, np.int64)
        for _ in range(self._leaves.bit_length() - 1):
            nodes <<= 1
            left_sums = self._nodes.take(nodes)
            go_right = remaining >= left_sums
            if look_right:
                go_right &= self._nodes.take(nodes + 1) > 0.0
            np.subtract(remaining, left_sums, out=remaining, where=go_right)
            nodes += go_right
        nodes -= self._leaves
        return nodes


def _leaves(size: int) -> int:
    """The power of two that holds `size` leaves."""
    return 1 << (int(size) - 1).bit_length()
