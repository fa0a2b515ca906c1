"""SAC on MuJoCo: figures 14, 18, 19 and table 6 (figure 20 shows the runs of 14)."""

from dormant.reproduce.experiments import Experiment, Variant
from dormant.reproduce.families import sac
from dormant.reproduce.methods import figure, from_table, read_off

_TAU = 0.0  # of SAC, as the paper's settings have it


def _scales(families):
    return {scale: {"": family} for scale, family in families.items()}


def _variant(method: str, gin_file: str, **others) -> Variant:
    return Variant(method, figure(gin_file), replay_ratio=1, **others)


FIGURE_14 = Experiment(
    name="fig14",
    aliases=("fig20",),
    title="SAC: plain, reset, weight decay, ReDo",
    expected="Only ReDo does not degrade plain SAC.",
    variants=(
        _variant("SAC", "fig14_sac"),
        _variant("SAC + reset", "fig14_reset"),
        _variant("SAC + weight decay", "fig14_weight_decay"),
        _variant("SAC + ReDo", "fig14_redo"),
    ),
    scales=_scales(sac()),
    shows=("return", "iqm", "dormant_percent"),
    tau=_TAU,
)
FIGURE_18 = Experiment(
    name="fig18",
    title="Dormant neurons of SAC",
    expected="On Ant 10 % of the actor's, 17 % of the critics' neurons (read off the figure).",
    variants=(_variant("SAC", "fig18"),),
    scales=_scales(sac()),
    shows=("dormant_percent_by_network", "dormant_percent", "return"),
    tau=_TAU,
    paper=read_off("figure 18", "dormant_percent, actor", {("SAC", ""): 10}, "Ant")
    + read_off("figure 18", "dormant_percent, critic", {("SAC", ""): 17}, "Ant"),
)
FIGURE_19 = Experiment(
    name="fig19",
    title="SAC whose dormant neurons are pruned for good",
    expected="The return is that of the unpruned agent.",
    variants=(_variant("SAC", "fig14_sac"), _variant("SAC + pruning", "fig19_prune")),
    scales=_scales(sac()),
    shows=("return", "dormant_percent"),
    tau=_TAU,
)
TABLE_6 = Experiment(
    name="tab6",
    title="SAC with narrow networks on Ant",
    expected="Return 2016 to 2115 with ReDo at width 1/4, 3964 to 4472 at 1/2 (table).",
    variants=tuple(
        _variant(
            method,
            gin_file,
            setting=setting,
            value=width,
            bindings={"SACAgent.hidden_units": str(units)},
        )
        for setting, width, units in (("width 1/4", 0.25, 64), ("width 1/2", 0.5, 128))
        for method, gin_file in (("SAC", "tab6_sac"), ("SAC + ReDo", "tab6_redo"))
    ),
    scales=_scales(sac(("Ant",))),
    shows=("return", "dormant_percent"),
    tau=_TAU,
    setting_name="width",
    paper=from_table(
        "table 6",
        "return",
        "Ant",
        {
            ("SAC", "width 1/4"): 2016,
            ("SAC + ReDo", "width 1/4"): 2115,
            ("SAC", "width 1/2"): 3964,
            ("SAC + ReDo", "width 1/2"): 4472,
        },
    ),
)

EXPERIMENTS = (FIGURE_14, FIGURE_18, FIGURE_19, TABLE_6)
