# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What one sees in each figure of docs/measures.md; the numbers are computed from its data."""

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
        return f"{first(self._of(name), self._plain):.3g}"

    def last(self, name: str) -> str:
        """Of the last fifth without ReDo."""
        return f"{last(self._of(name), self._plain):.3g}"

    def redo(self, name: str) -> str:
        """Of the last fifth with ReDo."""
        return f"{last(self._of(name), self._redo):.3g}"

    def all(self, name: str) -> str:
        """ "from … to …, with ReDo …"."""
        return f"from {self.first(name)} to {self.last(name)}, with ReDo to {self.redo(name)}"

    def _of(self, name: str):
        return self._columns[column_of(name, self._columns)]


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
