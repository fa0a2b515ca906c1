# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The rows of the inputs that an intervention scores on, and the activations on them."""

import contextlib
from typing import Any

import jax

from dormant.checks import check_arrays, check_count, check_rows, errors_of_network
from dormant.graph import NeuronGraph
from dormant.measures.rows import first_rows, may_have_rows, rows_of


def check_score_batch(score_batch: int | None) -> None:
    """Raises ValueError unless it is None or a whole number of at least 1."""
    if score_batch is not None:
        check_count("score_batch", score_batch, 1)


def scored_rows(
    graph: NeuronGraph, params: Any, inputs: tuple[Any, ...], score_batch: int | None
) -> tuple[Any, ...]:
    """The first `score_batch` rows of every input that has rows; all of them for None.

    Raises:
      ValueError: if an input is no array or has no rows, or fewer than `score_batch`; if the
        network does not take the inputs.
    """
    check_arrays("inputs", inputs)
    check_rows("inputs", inputs)
    if score_batch is None:
        return inputs
    leaves = jax.tree.leaves(inputs)
    have_rows = tuple(map(may_have_rows, leaves))
    if sum(have_rows) > 1:  # of one alone the network need not be asked
        activations = jax.eval_shape(lambda: activations_on(graph, params, inputs))
        # Activations of a network with time in front tell nothing.
        with contextlib.suppress(ValueError):
            have_rows = rows_of(graph.activations, params, inputs, activations).have_rows
    for leaf, has_rows in zip(leaves, have_rows, strict=True):
        if has_rows and leaf.shape[0] < score_batch:
            raise ValueError(
                f"the inputs must have at least `score_batch` = {score_batch} rows; "
                f"got shape {leaf.shape}"
            )
    return first_rows(inputs, have_rows, score_batch)


def activations_on(
    graph: NeuronGraph, params: Any, inputs: tuple[Any, ...]
) -> dict[str, jax.Array]:
    """The activations on the inputs; ValueError where the network does not take these."""
    with errors_of_network(inputs):
        return graph.activations(params, *inputs)
