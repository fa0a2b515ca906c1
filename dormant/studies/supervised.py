# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Figure 3: a classifier on labels that stay, or that are shuffled again and again."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import optax

import dormant
from dormant.checks import (
    errors_of,
    is_count,
    require,
    require_choice,
    require_count,
    require_number,
)
from dormant.learners import Learner, LearnerState, NatureCNN, gradient_learner
from dormant.memory import check_memory, check_network_memory, device_memory
from dormant.runs.options import LearnerOptions
from dormant.studies.fitting import Study
from dormant.studies.images import CLASSES, Images
from dormant.studies.options import StudyRun
from dormant.vectorized import MLP

LABELS = ("fixed", "shuffled")
NETWORKS = ("nature", "mlp")
OPTIMIZERS = ("sgd", "adam")
# Images whose predictions are computed at once.
_CHUNK = 500


class Labelled(NamedTuple):
    """Images with their labels in each period, and the order of each epoch. E epochs, P periods."""

    images: jax.Array  # uint8 (count, rows, columns, channels)
    labels: jax.Array  # int32 (P, count)
    order: jax.Array  # int32 (E, count), a permutation each


class LabelledBatch(NamedTuple):
    """B images with their labels."""

    image: jax.Array  # uint8 (B, rows, columns, channels)
    label: jax.Array  # int32 (B,)


def periods_of_labels(labels: jax.Array, key: jax.Array, periods: int) -> jax.Array:
    """The labels in each period: the data's own in the first, then another permutation in each.

    Args:
      labels: int32 (count,).
      key: consumed.
      periods: P, at least 1.

    Returns:
      int32 (P, count). The first periods do not depend on how many follow.
    """
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(periods))
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, labels))(keys)
    return shuffled.at[0].set(labels)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Supervised:
    """A classifier trained on cross-entropy (fig. 3, by SGD): `Supervised.*` in gin.

    An epoch takes every image once, in an order of its own; images that fill no whole batch are
    left to the next epoch's order.

    Attributes:
      images: `@Images()`.
      network: "nature", DQN's convolutional network, or "mlp".
      dense: neurons of each hidden layer of "mlp".
      labels: "fixed", or "shuffled": permuted among the images every shuffle_every epochs.
      shuffle_every: epochs; the first of them have the data's own labels.
      batch_size: images per gradient step.
      optimizer: "sgd" with momentum, or "adam".
      learning_rate: of either.
      momentum: of SGD.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    images: Any = dataclasses.field(default_factory=Images)
    network: str = "nature"
    dense: tuple[int, ...] = (512, 512)
    labels: str = "fixed"
    shuffle_every: int = 20
    batch_size: int = 100
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9

    def __post_init__(self) -> None:
        name = "Supervised."
        is_images = isinstance(self.images, Images)
        require(is_images, f"{name}images", "@Images(), with its parentheses", self.images)
        require_choice(f"{name}network", self.network, NETWORKS)
        require_choice(f"{name}labels", self.labels, LABELS)
        require_choice(f"{name}optimizer", self.optimizer, OPTIMIZERS)
        is_list = isinstance(self.dense, list | tuple) and len(self.dense) > 0
        whole = is_list and all(is_count(neurons, 1) for neurons in self.dense)
        allowed = "a tuple of whole numbers >= 1, such as (512, 512)"
        require(whole, f"{name}dense", allowed, self.dense)
        require_count(f"{name}shuffle_every", self.shuffle_every, 1, "epochs")
        require_count(f"{name}batch_size", self.batch_size, 1, "images")
        allowed = f"at most Images.count, {self.images.count}"
        fits = self.batch_size <= self.images.count
        require(fits, f"{name}batch_size", allowed, self.batch_size)
        require_number(f"{name}learning_rate", self.learning_rate, above=0)
        require_number(f"{name}momentum", self.momentum, 0, below=1)

    @property
    def steps_per_epoch(self) -> int:
        """Gradient steps of one epoch."""
        return self.images.count // self.batch_size

    def study(self, options: LearnerOptions, run: StudyRun) -> Study:
        """The study; the images are read here.

        Raises:
          ConfigurationError: when the images cannot be read or an option does not fit another.
        """
        epochs = math.ceil(run.total_steps / self.steps_per_epoch)
        periods = math.ceil(epochs / self.shuffle_every) if self.labels == "shuffled" else 1
        with errors_of("Supervised"):
            apply, learner = self._learner(options)
        with errors_of("StudyRun"):
            needed = 4 * (epochs + periods) * self.images.count
            what = f"the orders of the images in {epochs} epochs"
            check_memory("training_steps", run.training_steps, needed, what, device_memory())
        images, labels = self.images.load(options.seed or 0)
        images, labels = jnp.asarray(images), jnp.asarray(labels)

        @jax.jit
        def prepare(key: jax.Array) -> Labelled:
            label_key, order_key = jax.random.split(key)
            keys = jax.vmap(lambda epoch: jax.random.fold_in(order_key, epoch))(jnp.arange(epochs))
            order = jax.vmap(lambda key: jax.random.permutation(key, self.images.count))(keys)
            return Labelled(images, periods_of_labels(labels, label_key, periods), order)

        return Study(
            name=f"classifier on {self.images.count} images of {self.images.source},"
            f" {self.labels} labels",
            learner=learner,
            init=lambda key, data: learner.init(key),
            draw=self.draw,
            observations=_observations,
            prepare=lambda key, say: prepare(key),
            measure=self._measure(apply),
            has_convolutions=self.network == "nature",
        )

    def labels_at(self, data: Labelled, gradient_step: jax.Array) -> jax.Array:
        """int32 (count,), the labels at a gradient step, which is 0 for the first."""
        epoch = gradient_step // self.steps_per_epoch
        period = jnp.minimum(epoch // self.shuffle_every, data.labels.shape[0] - 1)
        return data.labels[period]

    def draw(self, data: Labelled, _: jax.Array, gradient_step: jax.Array) -> LabelledBatch:
        """The batch of a gradient step, which is 0 for the first; it needs no key."""
        epoch, place = jnp.divmod(gradient_step, self.steps_per_epoch)
        start = place * self.batch_size
        rows = jax.lax.dynamic_slice(data.order, (epoch, start), (1, self.batch_size))[0]
        return LabelledBatch(data.images[rows], self.labels_at(data, gradient_step)[rows])

    def _learner(self, options: LearnerOptions) -> tuple[Callable, Learner]:
        """The network mapped over a batch, and the learner."""
        shape = self.images.shape
        mlp = MLP(CLASSES, observation_shape=shape, dense=tuple(self.dense))
        network: Any = mlp if self.network == "mlp" else NatureCNN(CLASSES)

        def apply(params: Any, images: jax.Array) -> jax.Array:
            # The other network scales its pixels itself.
            scaled = images.astype(jnp.float32) / 255.0 if network is mlp else images
            return network.apply(params, scaled)

        def init(key: jax.Array) -> Any:
            return network.init(key, jnp.zeros(shape, jnp.uint8))

        params = jax.eval_shape(init, jax.random.key(0))
        available, beside = device_memory(), "gradient and its moments"
        check_network_memory("network", self.network, params, beside, available)
        image = jax.ShapeDtypeStruct((1, *shape), jnp.uint8)
        graph = dormant.trace(apply, params, image)
        options.check_score_batches(graph, init, (image,), available)
        if self.optimizer == "sgd":
            descent = optax.sgd(self.learning_rate, self.momentum)
        else:
            descent = optax.adam(self.learning_rate)
        optimizer = options.finished(descent, graph, self.learning_rate)

        def loss(params: Any, target_params: Any, batch: LabelledBatch, key: jax.Array):
            logits = apply(params, batch.image)
            errors = optax.softmax_cross_entropy_with_integer_labels(logits, batch.label)
            return jnp.mean(errors), {"accuracy": _accuracy(logits, batch.label)}

        def policy(params: Any, image: jax.Array, key: jax.Array, epsilon: Any) -> jax.Array:
            return jnp.argmax(apply(params, image))

        learner = gradient_learner(
            init,
            optimizer,
            loss=loss,
            policy=policy,
            interventions=options.interventions(graph, init, optimizer),
        )
        return apply, learner

    def _measure(self, apply: Callable) -> Callable[..., Mapping[str, float]]:
        accuracy = jax.jit(lambda params, *batch: _accuracy(apply(params, batch[0]), batch[1]))

        def measure(state: LearnerState, data: Labelled, _: jax.Array) -> Mapping[str, float]:
            """Accuracy on all images, of the labels that the last step was trained on."""
            labels = self.labels_at(data, state.gradient_step - 1)
            starts = range(0, self.images.count, _CHUNK)
            parts = [(data.images[i : i + _CHUNK], labels[i : i + _CHUNK]) for i in starts]
            right = [float(accuracy(state.params, *part)) * part[1].size for part in parts]
            return {"train_accuracy": sum(right) / self.images.count}

        return measure


def _observations(data: Labelled, key: jax.Array, size: int) -> jax.Array:
    return data.images[jax.random.randint(key, (size,), 0, data.images.shape[0])]


def _accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.mean(jnp.argmax(logits, axis=-1) == labels)
