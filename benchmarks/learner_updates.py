# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The jitted DQN update alone: ours against the released gradients and optimizer step.
Also what the other benchmarks start from: the nature CNN with its learner on random transitions."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from benchmarks import common
from dormant import learners

NUM_ACTIONS, BATCH, DISCOUNT = 18, 32, 0.99
UPDATES_PER_BLOCK = 10
BURST = 4


class Network(NamedTuple):
    """The nature CNN, its neuron graph, and the paper's optimizer."""

    apply: Callable[..., jax.Array]
    init: Callable[[jax.Array], Any]
    graph: dormant.NeuronGraph
    optimizer: optax.GradientTransformation


def nature_cnn() -> Network:
    network = learners.NatureCNN(NUM_ACTIONS)
    example = observations(1)

    def init(key: jax.Array) -> Any:
        return network.init(key, example[0])

    shapes = jax.eval_shape(init, jax.random.key(0))
    graph = dormant.trace(network.apply, shapes, example)
    return Network(network.apply, init, graph, optax.adam(6.25e-5, eps=1.5e-4))


def observations(size: int, seed: int = 0) -> np.ndarray:
    """Random uint8 (size, 84, 84, 4): the time of an update does not depend on what is seen."""
    return np.random.default_rng(seed).integers(0, 256, (size, 84, 84, 4), dtype=np.uint8)


def random_batch() -> learners.Batch:
    rng = np.random.default_rng(0)
    return learners.Batch(
        state=observations(BATCH),
        action=rng.integers(0, NUM_ACTIONS, BATCH, dtype=np.int32),
        reward=rng.integers(-1, 2, BATCH).astype(np.float32),
        next_state=observations(BATCH, seed=1),
        terminal=np.zeros(BATCH, bool),
    )


def random_batches(number: int) -> learners.Batch:
    """Batches of as many updates, stacked."""
    return jax.tree.map(lambda leaf: np.stack([leaf] * number), random_batch())


def learner(network: Network, **interventions: dormant.Intervention) -> learners.Learner:
    """Our DQN learner on the network, with the `tracker` and the `intervention` given."""
    return learners.dqn(
        network.apply,
        network.init,
        network.optimizer,
        discount=DISCOUNT,
        interventions=learners.Interventions(**interventions),
    )


def our_block(
    made: learners.Learner,
    score_inputs: tuple | None = None,
    batch: learners.Batch | None = None,
) -> Callable[[], Any]:
    """Each call makes a block of updates, dispatched as our agent does on a CPU.

    The batch is in host memory where none is given.
    """
    batch = random_batch() if batch is None else batch
    step = jax.jit(made.step, donate_argnums=0)
    after_step = jax.jit(made.after_step, donate_argnums=0)
    state = jax.jit(made.init)(jax.random.key(0))
    seen = None if score_inputs is None else batch

    def block() -> Any:
        nonlocal state
        for _ in range(UPDATES_PER_BLOCK):
            state, metrics = step(state, batch)
            state = after_step(state, seen, score_inputs)
        return state, metrics

    return block


def our_scanned_block(
    made: learners.Learner, batches: learners.Batch | None = None
) -> Callable[[], Any]:
    """Each call makes bursts of updates in one `lax.scan`, as our agent does on an accelerator.

    A burst is of the `batches` given, or of `BURST` in host memory.
    """
    state = jax.jit(made.init)(jax.random.key(0))
    batches = random_batches(BURST) if batches is None else batches
    burst = jax.jit(lambda state, xs: jax.lax.scan(made.update, state, xs), donate_argnums=0)

    def block() -> Any:
        nonlocal state
        for _ in range(UPDATES_PER_BLOCK):
            state, metrics = burst(state, batches)
        return state, metrics

    return block


def released_block(network: Network) -> Callable[[], Any]:
    """Each call makes a block of updates with the released agent's two jitted functions."""
    from benchmarks import released_redo

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        released_redo.install_released_redo()
        from dopamine.labs.redo import networks, recycled_dqn_agents

    apply = networks.ScalableNatureDQNNetwork(NUM_ACTIONS).apply
    online = jax.jit(network.init)(jax.random.key(0))
    target, opt_state, batch = online, network.optimizer.init(online), random_batch()._asdict()

    def block() -> Any:
        nonlocal online, opt_state
        for _ in range(UPDATES_PER_BLOCK):
            loss, gradient = recycled_dqn_agents.get_gradients(
                online_params=online,
                apply_fn=apply,
                target_params=target,
                batch=batch,
                cumulative_gamma=DISCOUNT,
            )
            online, opt_state = recycled_dqn_agents.apply_updates_jitted(
                online, gradient, opt_state, network.optimizer
            )
        return online, opt_state, loss

    return block


def floor(made: learners.Learner, repeats: int) -> common.Table:
    """The least time that the arithmetic of an update can take, and how long the update takes.

    The floor is what XLA counts of floating-point operations over the rate of a large matrix
    product, measured in turns with the update. It leaves out that Adam moves 7 numbers to and from
    memory for each parameter.
    """
    state, batch = jax.jit(made.init)(jax.random.key(0)), random_batch()
    analysis = jax.jit(made.step).lower(state, batch).compile().cost_analysis()
    operations = float(analysis["flops"])
    size = 2_048 if jax.default_backend() == "cpu" else 8_192
    matrix = jnp.ones((size, size), jnp.float32)
    product = timer(functools.partial(jax.jit(jnp.matmul), matrix, matrix))
    block = timer(our_block(made))
    products, updates = common.alternate([product, block], repeats)
    rates = [2e-9 * size**3 / value for value in products]
    least = [1e-6 * operations / rate for rate in rates]
    took = [1e3 * value / UPDATES_PER_BLOCK for value in updates]
    rows = [
        common.Row("floating-point operations of an update", "GFLOP", [[1e-9 * operations]]),
        common.Row(f"rate of a {size} x {size} float32 product", "GFLOP/s", [rates]),
        common.Row("floor: operations over rate", "ms", [least]),
        common.Row("one update", "ms", [took]),
        common.Row(
            "update over floor", "", [[one / other for one, other in zip(took, least, strict=True)]]
        ),
    ]
    title = f"The arithmetic floor of one DQN update of the nature CNN, batch {BATCH}."
    return common.Table(title, ["measured"], rows)


def step_counts(network: Network, repeats: int) -> common.Table:
    """What Adam's step count for each parameter entry costs, in an update and by itself."""
    optimizers = network.optimizer, dormant.per_entry_counts(network.optimizer)
    params = jax.jit(network.init)(jax.random.key(0))
    blocks = {
        "one update": [our_block(learner(network._replace(optimizer=each))) for each in optimizers],
        "Adam alone": [_optimizer_block(each, params) for each in optimizers],
    }
    rows = []
    for name, sides in blocks.items():
        values = common.alternate([timer(block) for block in sides], repeats)
        rows.append(common.Row(name, "ms", common.milliseconds(values, UPDATES_PER_BLOCK)))
    millions = 1e-6 * sum(leaf.size for leaf in jax.tree.leaves(params))
    return common.Table(
        f"One step count for every entry (`dormant.per_entry_counts`): the DQN update of the nature"
        f" CNN, {millions:.2f} million parameters, and its Adam alone.",
        ["one for each entry", "one count"],
        rows,
        "each entry / one count",
        lambda each, one: each / one,
    )


def _optimizer_block(optimizer: optax.GradientTransformation, params: Any) -> Callable[[], Any]:
    """Each call makes a block of Adam's updates from the same gradients."""
    update = jax.jit(optimizer.update, donate_argnums=1)
    state = jax.jit(optimizer.init)(params)

    def block() -> Any:
        nonlocal state
        for _ in range(UPDATES_PER_BLOCK):
            updates, state = update(params, state, params)
        return updates, state

    return block


def timer(block: Callable[[], Any]) -> Callable[[], float]:
    """Seconds of one block; the first, which compiles, is over already."""
    common.seconds(block)
    return functools.partial(common.seconds, block)


def tables(repeats: int, ours_only: bool) -> list[common.Table]:
    """Milliseconds of one update, tracker and ReDo in place and not due."""
    network = nature_cnn()
    redo = dormant.redo(network.graph, network.init, network.optimizer, period=2**30)
    made = learner(network, tracker=dormant.track(network.graph, period=2**30), intervention=redo)
    sides = [timer(our_block(made))]
    if not ours_only:
        sides.append(timer(released_block(network)))
    values = common.milliseconds(common.alternate(sides, repeats), UPDATES_PER_BLOCK)
    rows = [common.Row("one update in a call", "ms", values)]
    if ours_only and jax.default_backend() != "cpu":
        scanned = common.alternate([timer(our_scanned_block(made))], repeats)
        values = common.milliseconds(scanned, UPDATES_PER_BLOCK * BURST)
        rows.append(common.Row(f"one of {BURST} updates in one call (`lax.scan`)", "ms", values))
    return [
        common.Table(
            f"One DQN update of the nature CNN, batch {BATCH}, from transitions in host memory;"
            f" means of blocks of {UPDATES_PER_BLOCK} calls.",
            ["ours"] if ours_only else ["ours", "released"],
            rows,
            None if ours_only else "released / ours",
            common.times_faster,
        ),
        step_counts(network, repeats),
        floor(made, repeats),
    ]
