# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What one sees in each figure of docs/measures.md, and which values of a measure are healthy; the
numbers are computed from the figures' data."""

from collections.abc import Callable
from pathlib import Path

from dormant.report.pages.measured import (
    ASTERIX,
    CLASSIFIER,
    LAYER,
    TAU,
    column_of,
    first,
    last,
    read,
)


class Numbers:
    """The numbers of a file, as they stand in a text."""

    def __init__(self, path: Path, plain: str):
        self._columns = read(path)
        self._plain, self._redo = plain, f"{plain} + ReDo"

    def first(self, name: str) -> str:
        """Of the first measurement without ReDo."""
        return _short(first(self._of(name), self._plain))

    def last(self, name: str) -> str:
        """Of the last fifth without ReDo."""
        return _short(last(self._of(name), self._plain))

    def redo(self, name: str) -> str:
        """Of the last fifth with ReDo."""
        return _short(last(self._of(name), self._redo))

    def all(self, name: str) -> str:
        """ "from … to …, with ReDo …"."""
        return f"from {self.first(name)} to {self.last(name)}, with ReDo to {self.redo(name)}"

    def has(self, name: str) -> bool:
        """Whether the file has a column of that name."""
        return column_of(name, self._columns) in self._columns

    def _of(self, name: str):
        return self._columns[column_of(name, self._columns)]


def _short(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _game(folder: Path) -> Numbers:
    return Numbers(folder / ASTERIX, "DQN")


def _classifier(folder: Path) -> Numbers:
    return Numbers(folder / CLASSIFIER, "Adam")


def _dormancy(folder: Path) -> str:
    of = _game(folder)
    percent, before = "dormant_percent_pooled", f"/{TAU}/{LAYER}"
    return (
        f"At tau 0.1 dormant neurons go {of.all(f'{percent}/{TAU}')} %. Wholly silent ones, tau 0,"
        f" come later and are fewer: {of.last(f'{percent}/tau=0')} %. The overlap with all that"
        f" were dormant before is {of.last(f'overlap_history{before}')}, and says little alone, as"
        " that union only grows. With the measurement before it is"
        f" {of.last(f'overlap{before}')}: most stay dormant, not all. With ReDo it is"
        f" {of.redo(f'overlap{before}')} for the few that are left."
    )


def _ranks(folder: Path) -> str:
    of = _game(folder)
    return (
        f"srank hardly moves, {of.all('srank')}, as the 64 rows of the batch cap it, nor does"
        f" feature_rank ({of.all('feature_rank')}). The same singular values tell more where large"
        f" ones weigh more: the effective rank goes {of.all('effective_rank')}, the PCA rank"
        f" {of.all('pca_rank')}. The stable rank is low at once ({of.first('stable_rank')}):"
        " features that are never negative have a common mean, which is the first direction. On a"
        " small batch look at the effective rank; srank wants more rows than the features have"
        " columns."
    )


def _activity(folder: Path) -> str:
    of = _game(folder)
    return (
        f"The share of active units goes {of.all('fau')}. It falls where units fall dormant, and"
        " would fall too where each unit is active on fewer inputs. Units that are hardly ever off"
        f" stay few ({of.all('linearized_units')}). Units that hardly vary go"
        f" {of.all('low_variability_units')}: here ReDo, which does not look at them, removes them"
        " too."
    )


def _norms(folder: Path) -> str:
    of = _game(folder)
    return (
        f"The features grow {of.all('feature_norm')}, the weights {of.all('weight_norm')}, and"
        f" their distance from where they began {of.all('distance_from_initialization')}. The"
        f" gradient over the weights grows {of.all('effective_learning_rate')}. The change"
        f" between two measurements goes {of.all('update_norm')}: a recycle between them is part"
        f" of it. No unit stands still by the bound of stagnant_units"
        f" ({of.last('stagnant_units')}): dormant is not stagnant, Adam moves the weights of units"
        " that are dormant on these 64 observations."
    )


def _isometry(folder: Path) -> str:
    of = _game(folder)
    return (
        f"It goes {of.all('deviation_from_isometry')}. Part of it is the growth of the weights,"
        " with whose fourth power it rises; with ReDo, whose weights grow less, it stays lower."
        " Read it beside weight_norm."
    )


def _outputs(folder: Path) -> str:
    of = _classifier(folder)
    return (
        "The labels are shuffled after every second measurement, so that the curves have teeth:"
        f" much changes up to the first one after a shuffle. Churn goes {of.all('churn')}: without"
        " ReDo the classifier moves its outputs less and less. The share of images with another"
        f" greedy class goes {of.all('greedy_action_changes')}, and tells the two apart much less,"
        " as a tiny change between near ties is a change. The rank of the tangent kernel goes"
        f" {of.all('ntk_rank')}: few directions are left in which the outputs can move."
    )


def _gradients(folder: Path) -> str:
    of = _classifier(folder)
    return (
        f"The readiness goes {of.all('optimization_readiness')}, the sharpness"
        f" {of.all('hessian_eigenvalue')}: the network that has stopped learning is the flat one."
        f" The mean cosine of gradients is {of.last('gradient_covariance')}, with ReDo"
        f" {of.redo('gradient_covariance')}, and does not tell the two apart. Beside them dormant"
        f" neurons go {of.all('dormant_percent')} %, and the accuracy at the measurements"
        f" {of.all('accuracy')}."
    )


READINGS: dict[str, Callable[[Path], str]] = {
    "dormancy": _dormancy,
    "ranks": _ranks,
    "activity": _activity,
    "norms": _norms,
    "isometry": _isometry,
    "outputs": _outputs,
    "gradients": _gradients,
}

_NO_SCALE = "No scale of its own: set it beside the first measurement of the same layer."
_RANK = (
    "At least 1, at most the rows of the batch or the units of the layer (here 64 rows); the fall"
    " from the first measurement is the bad sign."
)
# {measure: (which values are healthy, its columns)}; numbers follow.
_SCALES: dict[str, tuple[str, tuple[str, ...]]] = {
    "dormant_fraction": (
        "0 is the best; a large share is a sign, not a proof, of a network that learns worse."
        " In %:",
        (f"dormant_percent_pooled/{TAU}", "dormant_percent"),
    ),
    "overlap_coefficient": (
        "Near 0 neurons fall dormant and come back; near 1 they stay dormant.",
        (f"overlap/{TAU}/{LAYER}",),
    ),
    "srank": (_RANK, ()),
    "effective_rank": (_RANK, ()),
    "stable_rank": (
        "1 is a single direction. Rectified features are near it at once: it says little of them.",
        (),
    ),
    "pca_rank": (_RANK, ()),
    "feature_rank": (_RANK, ()),
    "fau": ("Near 0 a layer is silent, near 1 it is linear; a fresh ReLU layer is in between.", ()),
    "linearized_units": ("0 is healthy; at 1 the layer is linear.", ()),
    "low_variability_units": ("0 is healthy; at 1 the layer says the same of every input.", ()),
    "feature_norm": (f"{_NO_SCALE} Many times that is the bad sign.", ()),
    "weight_norm": (
        "By LeCun's initialization, Flax's own, about the square root of the number of units in a"
        " fresh layer; many times that is the bad sign.",
        (),
    ),
    "gradient_norm": (
        f"{_NO_SCALE} Near 0 the loss is solved or the network is stuck: look at the loss.",
        (),
    ),
    "update_norm": (f"{_NO_SCALE} Near 0 the layer stands still.", ()),
    "distance_from_initialization": (
        "0 at first, and rises in every network that learns: only a rise without an end is a sign.",
        (),
    ),
    "effective_learning_rate": (
        f"{_NO_SCALE} Near 0 steps are too small for weights of this size.",
        (),
    ),
    "stagnant_units": ("0 is healthy; at 1 the layer stands still.", ()),
    "deviation_from_isometry": (
        "0 is an isometry. A fresh layer of Flax's own initialization with as many inputs as units"
        " has about its number of units (here 128); tens of times that is the bad sign.",
        (),
    ),
    "churn": (f"{_NO_SCALE} Near 0 although the data change, nothing is learned.", ()),
    "greedy_action_changes": (
        "0 to 1; 0 although the data change is a policy that stands still.",
        (),
    ),
    "ntk_rank": (
        "1 to the number of rows (32); near 1 all outputs can only move together.",
        (),
    ),
    "gradient_covariance": (
        "Near 0 is healthy; near 1 what is learned of one input is done to all.",
        (),
    ),
    "optimization_readiness": ("At 0 a step gains nothing; higher is healthier.", ()),
    "hessian_eigenvalue": (
        f"{_NO_SCALE} Plain gradient descent is unstable above 2 over its learning rate; a low"
        " value at a high loss is a plateau.",
        (),
    ),
}


def scale(name: str, folder: Path) -> str:
    """Which values of a measure are healthy, and those of the figures' runs; "" for no measure."""
    if name not in _SCALES:
        return ""
    said, columns = _SCALES[name]
    runs = {"in the game": _game(folder), "of the classifier": _classifier(folder)}
    found = [
        f"{of.first(column)} at first, {of.last(column)} at the end, {of.redo(column)} at the end"
        f" with ReDo ({where})"
        for where, of in runs.items()
        for column in columns or (name,)
        if of.has(column)
    ]
    return f"Healthy or not: {said} {'; '.join(found)}."
