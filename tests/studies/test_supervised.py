# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Figure 3: which labels a step is trained on, what an epoch takes, and CIFAR-10's files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.checks import ConfigurationError
from dormant.runs.interventions import ReDo
from dormant.runs.options import LearnerOptions
from dormant.studies import images as images_module
from dormant.studies.images import Images
from dormant.studies.options import StudyRun
from dormant.studies.supervised import Supervised, periods_of_labels

IMAGES = Images(count=103, side=4)


def prepared(labels, epochs=7):
    config = Supervised(
        images=IMAGES, network="mlp", dense=(8,), labels=labels, shuffle_every=3, batch_size=20
    )
    run = StudyRun(study=config, num_iterations=epochs, training_steps=config.steps_per_epoch)
    study = config.study(LearnerOptions(seed=4), run)
    return config, study.prepare(jax.random.key(1), print)


def test_labels_are_shuffled_only_when_due_and_fixed_ones_never():
    config, data = prepared("shuffled")
    steps = np.arange(7 * config.steps_per_epoch)
    seen = np.asarray(jax.jit(jax.vmap(lambda step: config.labels_at(data, step)))(steps))
    changed = np.flatnonzero(np.any(seen[1:] != seen[:-1], axis=1)) + 1
    assert changed.tolist() == [3 * config.steps_per_epoch, 6 * config.steps_per_epoch]
    assert np.array_equal(seen[0], IMAGES.load(4)[1])
    # Shuffled among the images: as many of each class as before.
    assert all(np.array_equal(np.sort(labels), np.sort(seen[0])) for labels in seen)
    fixed, same = prepared("fixed")
    kept = np.asarray(jax.jit(jax.vmap(lambda step: fixed.labels_at(same, step)))(steps))
    assert np.array_equal(kept, np.broadcast_to(seen[0], kept.shape))
    # All else is alike.
    assert np.array_equal(data.images, same.images) and np.array_equal(data.order, same.order)


def test_a_longer_run_begins_as_a_shorter_one():
    labels, key = jnp.arange(20), jax.random.key(3)
    assert np.array_equal(periods_of_labels(labels, key, 5)[:2], periods_of_labels(labels, key, 2))
    short, long = prepared("shuffled", 7)[1], prepared("shuffled", 14)[1]
    assert np.array_equal(long.order[:7], short.order)
    assert np.array_equal(long.labels[:3], short.labels)


def test_an_epoch_takes_every_image_once_with_its_label():
    config, data = prepared("shuffled")
    epoch = range(3 * config.steps_per_epoch, 4 * config.steps_per_epoch)
    batches = [config.draw(data, jax.random.key(0), jnp.int32(step)) for step in epoch]
    rows = np.concatenate([data.order[3, k * 20 : (k + 1) * 20] for k in range(5)])
    assert len(set(rows.tolist())) == 100
    assert np.array_equal(np.concatenate([b.image for b in batches]), data.images[rows])
    assert np.array_equal(np.concatenate([b.label for b in batches]), data.labels[1][rows])


def test_the_synthetic_set_comes_from_its_seed():
    first, again, other = (IMAGES.load(seed) for seed in (0, 0, 1))
    assert first[0].dtype == np.uint8 and first[0].shape == (103, 4, 4, 3)
    assert np.array_equal(first[0], again[0]) and not np.array_equal(first[0], other[0])
    assert set(first[1].tolist()) == set(range(10))


def test_the_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    digits = datasets.load_digits()
    images, labels = Images(source="digits", count=1_792).load(0)
    assert images.shape == (1_792, 8, 8, 1) and images.dtype == np.uint8
    assert np.array_equal(np.round(images[..., 0] * (16 / 255)), digits.images[:1_792])
    assert np.array_equal(labels, digits.target[:1_792]) and labels.dtype == np.int32
    assert Images(source="digits", count=1).shape == (8, 8, 1)
    with pytest.raises(ConfigurationError, match="`Images.count` must be at most 1797 images"):
        Images(source="digits", count=1_798)


def test_adam_learns_too_and_restarts_the_count_of_what_is_recycled():
    config = Supervised(images=IMAGES, network="mlp", dense=(8,), batch_size=20, optimizer="adam")
    run = StudyRun(study=config, num_iterations=1, training_steps=5)
    options = LearnerOptions(seed=4, intervention=ReDo(tau=10.0, period=3, adam_count="per_entry"))
    study = config.study(options, run)
    state = jax.jit(study.learner.init)(jax.random.key(0))
    data = study.prepare(jax.random.key(1), print)

    @jax.jit
    def update(state, step):
        batch = config.draw(data, jax.random.key(0), step)
        return study.learner.update(state, batch, (data.images[:64],))

    for step in range(4):
        state, metrics = update(state, jnp.int32(step))
    counts = jax.tree.leaves(state.opt_state.counts)
    assert np.isfinite(metrics["loss"])
    # Every neuron is dormant at that tau: one step since, where four were made.
    assert {1} <= {int(value) for leaf in counts for value in np.unique(leaf)} <= {1, 4}
    with pytest.raises(ConfigurationError, match="`Supervised.optimizer` must be one of 'sgd'"):
        Supervised(optimizer="adamw")


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """A folder with two files of four records each, and what they hold."""
    monkeypatch.setattr(images_module, "_RECORDS", 4)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 8, dtype=np.uint8)
    planes = rng.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    for number in (0, 1):
        rows = slice(4 * number, 4 * number + 4)
        parts = [labels[rows, None], planes[rows].reshape(4, -1)]
        content = np.concatenate(parts, axis=1).tobytes()
        (tmp_path / f"data_batch_{number + 1}.bin").write_bytes(content)
    return tmp_path, planes, labels


def test_cifar10_is_read_from_as_many_files_as_needed(cifar10):
    folder, planes, labels = cifar10
    images, found = Images(source="CIFAR-10", folder=str(folder), count=6).load(0)
    assert images.shape == (6, 32, 32, 3) and np.array_equal(found, labels[:6])
    # Row 5, column 7, green.
    assert np.array_equal(images[:, 5, 7, 1], planes[:6, 1, 5, 7])


def test_a_file_that_is_missing_or_of_another_kind_is_refused(cifar10):
    folder, *_ = cifar10
    config = Images(source="CIFAR-10", folder=str(folder), count=6)
    path = folder / "data_batch_2.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ConfigurationError, match=r"4 records of 3073 bytes.*got '12291 bytes"):
        config.load(0)
    path.write_bytes(b"\x63" + content[1:])
    with pytest.raises(ConfigurationError, match="labels are 0 to 9; got 'label 99'"):
        config.load(0)
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"cifar-10-binary.*data_batch_2.bin cannot be"):
        config.load(0)
