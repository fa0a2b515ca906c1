"""The parts that several experiments' cells are made of."""

from dormant.records.experiment_file import PaperValue
from dormant.reproduce.experiments import Bindings, Variant

# Any run on the device starts from this file, in which neither an intervention nor weight decay is.
DEVICE_FILE = "vectorized/replay_ratio.gin"
REPLAY_RATIOS = (0.25, 0.5, 1, 2)
TAU, TAU_AT_DEFAULT = "0.1", "0.025"

REDO = {"LearnerOptions.intervention": "@ReDo()"}
RESET = {"LearnerOptions.intervention": "@Reset()"}
WEIGHT_DECAY = {"LearnerOptions.weight_decay": "1e-5"}
PRUNE = {
    "LearnerOptions.intervention": "@Prune()",
    "Prune.tau": "0.0",
}


def figure(name: str) -> str:
    """The path of a figure's gin file."""
    return f"{name}.gin"


def ratio(replay_ratio: float) -> Bindings:
    """What sets the replay ratio."""
    return {"LearnerOptions.replay_ratio": f"{replay_ratio:g}"}


def redo_at(replay_ratio: float, default: float) -> Bindings:
    """What sets replay ratio and tau, which is lower at an agent's default replay ratio (paper)."""
    tau = TAU_AT_DEFAULT if replay_ratio == default else TAU
    return {**ratio(replay_ratio), "ReDo.tau": tau}


def fixed_budget(order: str) -> Bindings:
    """What recycles by order, a budget that falls on a cosine from a tenth to nothing."""
    return {
        "LearnerOptions.intervention": "@FixedBudget()",
        "FixedBudget.order": f"'{order}'",
        "FixedBudget.fraction": "@dormant.cosine_fraction()",
        "dormant.cosine_fraction.initial": "0.1",
    }


def end_step(gradient_steps: int) -> Bindings:
    """Where the cosine of a fixed budget ends: with the run."""
    return {"dormant.cosine_fraction.end_step": str(gradient_steps)}


def sweep(
    method: str,
    gin_file: str,
    *,
    redo: bool = False,
    family: str = "",
    ratios: tuple[float, ...] = REPLAY_RATIOS,
    small: Bindings | None = None,
) -> tuple[Variant, ...]:
    """A method at each replay ratio; the first is its default.

    Args:
      method, gin_file, family: of each `Variant`.
      redo: whether it recycles, so that tau goes with the replay ratio.
      ratios: the replay ratios.
      small: what says the same on the device, but for replay ratio and tau; None where nothing
        does.
    """
    variants = []
    for replay_ratio in ratios:
        bindings = redo_at(replay_ratio, ratios[0]) if redo else ratio(replay_ratio)
        on_device = None if small is None else {**small, **bindings}
        variants.append(
            Variant(
                method,
                gin_file,
                f"replay ratio {replay_ratio:g}",
                replay_ratio,
                bindings,
                family,
                on_device,
                replay_ratio,
            )  # fmt: skip
        )
    return tuple(variants)


def read_off(
    figure_name: str,
    measure: str,
    values: dict[tuple[str, str], float],
    game: str | None = None,
) -> tuple[PaperValue, ...]:
    """What was read off a figure: {(method, setting): value}."""
    return tuple(
        PaperValue(method, setting, measure, game, value, figure_name, read_off=True)
        for (method, setting), value in values.items()
    )


def from_table(
    table: str, measure: str, game: str, values: dict[tuple[str, str], float]
) -> tuple[PaperValue, ...]:
    """What a table of the paper gives: {(method, setting): value}."""
    return tuple(
        PaperValue(method, setting, measure, game, value, table, read_off=False)
        for (method, setting), value in values.items()
    )
