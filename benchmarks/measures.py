# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What each measure of `dormant.measures` costs beside the training that it measures.

python benchmarks/measures.py [--repeats N] [--json OUT]
"""

import functools
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import dormant
from benchmarks import common, learner_updates, recycle
from dormant import measures

ROWS, PERIOD = 64, 1_000


def every_measure(network: learner_updates.Network) -> list[measures.Measure]:
    """The catalog, with the Q-values and a squared error of these as outputs and loss."""

    def loss(params: Any, states: Any) -> jax.Array:
        return jnp.mean(jnp.square(network.apply(params, states) - 1.0))

    made = []
    for name, measure in measures.CATALOG.items():
        if name not in measures.BY_NAME:
            function = network.apply if "apply" in measure.needs else loss
            measure = getattr(measures, name)(function)
        made.append(measure)
    return made


def one_measurement(ready: recycle.Trained, measure: measures.Measure) -> Callable[[], Any]:
    """Each call takes one measure, of activations and a gradient that are there already, as the
    tracker has them; singular values of the features are part of it."""
    graph, params = ready.network.graph, ready.params
    states = jnp.asarray(learner_updates.observations(ROWS))
    inputs = measures.MeasureInputs(
        params,
        jax.jit(graph.activations)(params, states),
        (states,),
        gradient=params,
        previous=jax.tree.map(lambda leaf: 0.9 * leaf, params),
        initial=jax.tree.map(lambda leaf: 0.8 * leaf, params),
    )
    taken = jax.jit(lambda given: measures.measured(graph, (measure,), given))
    return functools.partial(taken, inputs)


def one_tracking(
    ready: recycle.Trained, named: Sequence[str | measures.Measure]
) -> Callable[[], Any]:
    """Each call is a step of a tracker that is due: activations, dormancy and all that is named."""
    tracker = dormant.track(ready.network.graph, measures=named, period=1)
    update = jax.jit(lambda params, state, states: tracker.update(
        params, (), state, states, gradient=params)[2], donate_argnums=1)  # fmt: skip
    states = jnp.asarray(learner_updates.observations(ROWS))
    state = tracker.init(jax.random.key(0), ready.params)

    def call() -> Any:
        nonlocal state
        state = update(ready.params, state, states)
        return state

    return call


def costs(ready: recycle.Trained, repeats: int) -> common.Table:
    """One measurement of each kind against 1 000 updates."""
    named = {"the tracker without measures": one_tracking(ready, ())}
    label = f"the tracker with all {len(measures.CHEAP)} of `measures.CHEAP`"
    named[label] = one_tracking(ready, measures.CHEAP)
    for measure in every_measure(ready.network):
        kind = ", expensive" if measure.expensive else ""
        named[f"`{measure.name}` alone{kind}"] = one_measurement(ready, measure)
    calls = [learner_updates.timer(call) for call in named.values()]
    block = learner_updates.timer(learner_updates.our_block(learner_updates.learner(ready.network)))
    *taken, blocks = common.alternate([*calls, block], repeats)
    updates = [1e3 * PERIOD / learner_updates.UPDATES_PER_BLOCK * value for value in blocks]
    rows = [
        common.Row(name, "ms", [[1e3 * value for value in values], updates])
        for name, values in zip(named, taken, strict=True)
    ]
    return common.Table(
        f"One measurement of the nature CNN on {ROWS} observations against the {PERIOD} DQN updates"
        " (batch 32) between two of them; singular values are part of each rank that is alone, and"
        " of the tracker once.",
        ["one measurement", f"{PERIOD} updates"],
        rows,
        f"% of {PERIOD} updates",
        lambda first, second: 100 * first / second,
    )


def idle(ready: recycle.Trained, repeats: int) -> common.Table:
    """An update at which nothing is due, with and without the earlier parameters in the state."""

    def block(*named: str) -> Callable[[], float]:
        tracker = dormant.track(ready.network.graph, measures=named, period=2**30)
        made = learner_updates.learner(ready.network, tracker=tracker)
        return learner_updates.timer(learner_updates.our_block(made))

    sides = [block(), block("update_norm", "distance_from_initialization")]
    values = common.alternate(sides, repeats)
    return common.Table(
        "One DQN update of the nature CNN at which nothing is due.",
        ["tracker that carries nothing", "tracker that carries two copies of the parameters"],
        [
            common.Row(
                "the host knows that nothing is due",
                "ms",
                common.milliseconds(values, learner_updates.UPDATES_PER_BLOCK),
            )
        ],
        "with / without",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    options = common.parser(__doc__.splitlines()[0], repeats=10).parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    ready = recycle.trained()
    tables = [costs(ready, options.repeats), idle(ready, options.repeats)]
    settings = {"rows": ROWS, "period": PERIOD, "repeats": options.repeats}
    result = common.record("measures", settings, described, tables)
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()
