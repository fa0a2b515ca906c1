# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Scoring and recycling the nature CNN: one jitted `dormant.redo` call against the released code.

python benchmarks/recycle.py [--repeats N] [--json OUT] [--ours_only]
"""

import functools
import pathlib
import sys
import time
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import dormant
from benchmarks import common, learner_updates

TAU, PERIOD = 0.1, 1_000
SCORE_BATCHES = (64, 256)


class Trained(NamedTuple):
    """The nature CNN in training: what the measured calls work on."""

    network: learner_updates.Network
    params: Any
    opt_state: Any


def trained() -> Trained:
    """The network after a few updates, so that Adam's moments are not zero."""
    network = learner_updates.nature_cnn()
    state, _ = learner_updates.our_block(learner_updates.learner(network))()
    return Trained(network, state.params, state.opt_state)


def _redo(network: learner_updates.Network, period: int) -> dormant.Intervention:
    return dormant.redo(network.graph, network.init, network.optimizer, TAU, period)


def our_recycle(ready: Trained, score_batch: int) -> Callable[[], Any]:
    """One call of the returned function scores, recycles and resets moments, in one program."""
    redo = _redo(ready.network, period=1)
    update = jax.jit(redo.update, donate_argnums=(0, 1, 2))
    state = (*_copies(ready.params, ready.opt_state), redo.init(jax.random.key(1)))
    states = learner_updates.observations(score_batch)

    def call() -> Any:
        nonlocal state
        state = update(*state, states)
        return state

    return call


def our_scores(ready: Trained, score_batch: int) -> Callable[[], Any]:
    """One call of the returned function computes the dormancy scores only."""

    @jax.jit
    def scores(params: Any, states: Any) -> Any:
        return dormant.dormancy_scores(ready.network.graph.activations(params, states))

    return functools.partial(scores, ready.params, learner_updates.observations(score_batch))


class Released(NamedTuple):
    """The released code on the same parameters, as its agent calls it."""

    recycle: Callable[[], Any]
    scores: Callable[[], Any]


def released(ready: Trained, score_batch: int) -> Released:
    """`get_intermediates` of the released agent, then `update_weights` or the scores alone."""
    from benchmarks import released_redo

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        released_redo.install_released_redo()
        from dopamine.labs.redo import networks, recycled_dqn_agents, weight_recyclers

    network = networks.ScalableNatureDQNNetwork(learner_updates.NUM_ACTIONS)
    states = learner_updates.observations(score_batch)
    jax.eval_shape(network.init, jax.random.PRNGKey(0), states[0])  # records the layers' names
    recycler = weight_recyclers.NeuronRecycler(
        list(network.layer_names), network="nature", dead_neurons_threshold=TAU, reset_period=1
    )
    # Its own method, given all that it reads of an agent.
    agent = types.SimpleNamespace(network_def=network, _sample_batch_for_statistics=lambda: states)
    intermediates = functools.partial(recycled_dqn_agents.RecycledDQNAgent.get_intermediates, agent)
    params, opt_state = ready.params, ready.opt_state

    def recycle() -> Any:
        key = jax.random.PRNGKey(1)
        return recycler.update_weights(intermediates(params), params, key, opt_state)

    def scores() -> Any:
        return jax.tree.map(recycler.estimate_neuron_score, intermediates(params))

    return Released(recycle, scores)


def recycling_tables(ready: Trained, repeats: int, ours_only: bool) -> list[common.Table]:
    """Time of one recycle and of the scores alone; first calls, which compile, apart."""
    steady, first = [], []
    for size in SCORE_BATCHES:
        recycles, scores = [our_recycle(ready, size)], [our_scores(ready, size)]
        if not ours_only:
            theirs = released(ready, size)
            recycles.append(theirs.recycle)
            scores.append(theirs.scores)
        for name, sides in (("scores and recycle", recycles), ("scores alone", scores)):
            name = f"{name}, {size} observations"
            timed = [functools.partial(common.seconds, side) for side in sides]
            once = common.alternate(timed, 1)
            if sides is recycles:
                first.append(common.Row(name, "s", once))
            values = common.milliseconds(common.alternate(timed, repeats))
            steady.append(common.Row(name, "ms", values))
    sides = ["ours"] if ours_only else ["ours", "released"]
    ratio = None if ours_only else "released / ours"
    make = functools.partial(common.Table, sides=sides, ratio=ratio, ratio_of=common.times_faster)
    return [
        make("One recycle of the nature CNN with its Adam state, compiled before.", rows=steady),
        make("The same, first call in the process: it compiles.", rows=first),
    ]


def idle_tables(ready: Trained, repeats: int) -> list[common.Table]:
    """What ReDo costs at a gradient step at which nothing is due, and over a whole period."""
    make, timer = learner_updates.our_block, learner_updates.timer
    plain = timer(make(learner_updates.learner(ready.network)))
    with_redo = learner_updates.learner(
        ready.network, intervention=_redo(ready.network, period=2**30)
    )
    score_inputs = (jnp.asarray(learner_updates.observations(SCORE_BATCHES[0])),)
    idle, conditional = timer(make(with_redo)), timer(make(with_redo, score_inputs))
    rows = []
    for name, other in (
        ("the host knows that nothing is due", idle),
        ("the program decides (`lax.cond`)", conditional),
    ):
        values = common.alternate([plain, other], repeats)
        values = common.milliseconds(values, learner_updates.UPDATES_PER_BLOCK)
        rows.append(common.Row(name, "ms", values))
    every_step = common.Table(
        "One DQN update (batch 32) at which nothing is due.",
        ["without ReDo", "with ReDo"],
        rows,
        "with / without",
    )

    recycle = our_recycle(ready, SCORE_BATCHES[0])
    common.seconds(recycle)
    values = common.alternate([lambda: common.seconds(recycle), plain], repeats)
    shares = [
        100 * recycle_time / PERIOD / (block / learner_updates.UPDATES_PER_BLOCK)
        for recycle_time, block in zip(*values, strict=True)
    ]
    name = f"one recycle ({SCORE_BATCHES[0]} observations) every {PERIOD} gradient steps"
    share = common.Table(
        "What ReDo adds to a gradient step, as a share of one DQN update.",
        ["share of an update"],
        [common.Row(name, "%", [shares])],
    )
    return [every_step, share]


def _copies(*trees: Any) -> Sequence[Any]:
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), trees)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    options = common.parser(__doc__.splitlines()[0], repeats=10).parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    ready = trained()
    tables = recycling_tables(ready, options.repeats, options.ours_only)
    tables += idle_tables(ready, options.repeats)
    settings = {"tau": TAU, "actions": learner_updates.NUM_ACTIONS, "repeats": options.repeats}
    result = common.record("recycle", settings, described, tables)
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()
