"""What dormant neurons are and how recycling may be done: figures 2, 5, 6, 9, 15, 17, 21 to 25 and
table 7. Where the games of a figure are not known they are DemonAttack and Asterix."""

from dormant.reproduce.experiments import Experiment, Variant
from dormant.reproduce.families import PAIR, SMALL, SMOKE_DEVICE, atari, drq_eps
from dormant.reproduce.methods import (
    PRUNE,
    REDO,
    TAU_AT_DEFAULT,
    end_step,
    figure,
    fixed_budget,
    from_table,
    read_off,
)

_REDO = {**REDO, "ReDo.tau": TAU_AT_DEFAULT}
_DQN_FIG9 = Variant("DQN", figure("fig09_dqn"), small={})
_REDO_FIG9 = Variant("DQN + ReDo", figure("fig09_redo"), small=_REDO)


def _scales(families):
    found = {scale: {"": family} for scale, family in families.items()}
    found["smoke"][SMALL] = SMOKE_DEVICE
    return found


_PAIR = _scales(atari(40, PAIR, PAIR))

FIGURE_2 = Experiment(
    name="fig2",
    title="Dormant neurons of DQN at tau = 0 over 6M gradient steps",
    expected="From about 0 to 27 % (DemonAttack) and 30 % (Asterix) (read off the figure).",
    variants=(Variant("DQN", figure("fig02"), small={}),),
    scales=_scales(atari(96, PAIR, PAIR)),
    shows=("dormant_percent", "return"),
    tau=0.0,
    paper=read_off("figure 2", "dormant_percent", {("DQN", ""): 27}, "DemonAttack")
    + read_off("figure 2", "dormant_percent", {("DQN", ""): 30}, "Asterix"),
)
FIGURE_5 = Experiment(
    name="fig5",
    title="Overlap of the dormant neurons with those that were dormant before",
    expected="Rises to 65 % (DemonAttack) and 80 % (Asterix) (read off the figure).",
    variants=(Variant("DQN", figure("fig05"), small={}),),
    scales=_scales(atari(96, PAIR, PAIR)),
    shows=("overlap", "dormant_percent"),
    paper=read_off("figure 5", "overlap", {("DQN", ""): 0.65}, "DemonAttack")
    + read_off("figure 5", "overlap", {("DQN", ""): 0.80}, "Asterix"),
)
FIGURE_6 = Experiment(
    name="fig6",
    title="DQN whose dormant neurons are pruned for good",
    expected="The return is that of the unpruned agent.",
    variants=(
        Variant("DQN", figure("fig06_dqn"), small={}),
        Variant("DQN + pruning", figure("fig06_prune"), small=PRUNE),
    ),
    scales=_PAIR,
    shows=("return", "dormant_percent"),
)
FIGURE_9 = Experiment(
    name="fig9",
    title="DQN at its default replay ratio with and without ReDo",
    expected="Dormant 25-30 % to under 5 %; return on DemonAttack 4 000 to 7 000 (read off).",
    variants=(_DQN_FIG9, _REDO_FIG9),
    scales=_scales(atari(40)),
    paper=read_off(
        "figure 9", "return", {("DQN", ""): 4000, ("DQN + ReDo", ""): 7000}, "DemonAttack"
    ),
)
FIGURE_15 = Experiment(
    name="fig15",
    title="A fixed budget of neurons is recycled: of lowest, random or highest score",
    expected="Lowest learns; random and highest collapse.",
    variants=tuple(
        Variant(
            f"{order} score" if order != "random" else order,
            figure(f"fig15_{order}"),
            small=fixed_budget(order),
        )
        for order in ("lowest", "random", "highest")
    ),  # fmt: skip
    scales=_PAIR,
    shows=("return", "dormant_percent"),
    extra={"mini": end_step(495_000), "smoke": end_step(450)},
)
FIGURE_17 = Experiment(
    name="fig17",
    title="Dormant neurons of DrQ(eps)",
    expected="8-16 % (read off the figure).",
    variants=(Variant("DrQ(eps)", figure("fig17"), replay_ratio=1),),
    scales={scale: {"": family} for scale, family in drq_eps().items()},
    shows=("dormant_percent", "return"),
)
FIGURE_21 = Experiment(
    name="fig21",
    title="DQN with leaky ReLU (0.01)",
    expected="Mildly fewer dormant neurons than with ReLU.",
    # The networks on the device have ReLU, so that the smoke runs are Atari's.
    variants=(Variant("DQN", figure("fig09_dqn")), Variant("DQN, leaky ReLU", figure("fig21"))),
    scales=_PAIR,
    shows=("dormant_percent", "return"),
)
FIGURE_22 = Experiment(
    name="fig22",
    title="Outgoing weights drawn anew instead of zero",
    expected="Random outgoing weights are worse.",
    variants=(
        _REDO_FIG9,
        Variant(
            "DQN + ReDo, outgoing fresh",
            figure("fig22"),
            small={**_REDO, "ReDo.outgoing": "'fresh'"},
        ),
    ),
    scales=_PAIR,
    shows=("return", "dormant_percent"),
)
FIGURE_23 = Experiment(
    name="fig23",
    title="Incoming weights scaled to the norm of the live neurons",
    expected="Alike.",
    variants=(
        _REDO_FIG9,
        Variant(
            "DQN + ReDo, incoming scaled",
            figure("fig23"),
            small={**_REDO, "ReDo.incoming_scale": "'live_norm'"},
        ),
    ),
    scales=_PAIR,
    shows=("return", "dormant_percent"),
)


def _score_batch(size: int) -> Variant:
    on_device = {"ReDo.score_batch": str(size), "Tracker.score_batch": str(size)}
    return Variant(
        "DQN + ReDo", figure("fig24"), f"score batch {size}", size, {"SCORE_BATCH": str(size)},
        small={**_REDO, **on_device},
    )  # fmt: skip


FIGURE_24 = Experiment(
    name="fig24",
    title="Neurons scored on 32, 64, 256 and 1024 observations",
    expected="The same dormant %.",
    variants=tuple(map(_score_batch, (32, 64, 256, 1024))),
    scales=_PAIR,
    shows=("dormant_percent", "return"),
    setting_name="score batch",
)
FIGURE_25 = Experiment(
    name="fig25",
    title="ReDo by continual backpropagation's utility in place of the dormancy score",
    expected="Similar or worse.",
    variants=(
        _REDO_FIG9,
        Variant(
            "DQN + ReDo by utility",
            figure("fig25"),
            small={**_REDO, "ReDo.score": "'contribution_utility'"},
        ),
    ),
    scales=_PAIR,
    shows=("return", "dormant_percent"),
)
TABLE_7 = Experiment(
    name="tab7",
    title="Effective rank of the penultimate features, DemonAttack",
    expected="449.2, with ReDo 470.8 (table).",
    variants=(
        Variant("DQN", figure("tab7_dqn"), small={}),
        Variant("DQN + ReDo", figure("tab7_redo"), small=_REDO),
    ),
    scales=_scales(atari(40, ("DemonAttack",), ("DemonAttack",))),
    shows=("rank", "return", "dormant_percent"),
    paper=from_table(
        "table 7", "rank", "DemonAttack", {("DQN", ""): 449.2, ("DQN + ReDo", ""): 470.8}
    ),
)

EXPERIMENTS = (
    FIGURE_2, FIGURE_5, FIGURE_6, FIGURE_9, FIGURE_15, FIGURE_17, FIGURE_21, FIGURE_22, FIGURE_23,
    FIGURE_24, FIGURE_25, TABLE_7,
)  # fmt: skip
