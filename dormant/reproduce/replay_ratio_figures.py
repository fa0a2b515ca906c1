"""The figures about the replay ratio: 1, 7, 10, 11, 12, 16 (13 shows the runs of 1)."""

from dormant.reproduce.experiments import Experiment, Variant
from dormant.reproduce.families import SMALL, SMOKE_DEVICE, atari, drq_eps, with_speed
from dormant.reproduce.methods import (
    REDO,
    REPLAY_RATIOS,
    RESET,
    WEIGHT_DECAY,
    figure,
    ratio,
    read_off,
    sweep,
)

_SMALL = {"smoke": {SMALL: SMOKE_DEVICE}}


def _scales(families, **others):
    """{scale: {family name: family}} of the families given, "" the main one."""
    named = {"": families, **others}
    found = {scale: {name: each[scale] for name, each in named.items()} for scale in families}
    found["smoke"][SMALL] = SMOKE_DEVICE
    return found


def _at_ratio_1(method: str, gin_file: str, small=None, **others) -> Variant:
    on_device = None if small is None else {**small, **ratio(1)}
    return Variant(method, gin_file, small=on_device, replay_ratio=1, **others)


FIGURE_1 = Experiment(
    name="fig1",
    aliases=("fig13",),
    title="DQN at replay ratio 1: plain, reset, weight decay, ReDo",
    expected="IQM .30, .32, .42, .60 (read off the figure).",
    variants=(
        _at_ratio_1("DQN", figure("fig01_dqn"), {}),
        _at_ratio_1("DQN + reset", figure("fig01_reset"), RESET),
        _at_ratio_1("DQN + weight decay", figure("fig01_weight_decay"), WEIGHT_DECAY),
        _at_ratio_1("DQN + ReDo", figure("fig01_redo"), REDO),
    ),
    scales=_scales(atari(10)),
    paper=read_off(
        "figure 1",
        "iqm",
        {
            ("DQN", ""): 0.30,
            ("DQN + reset", ""): 0.32,
            ("DQN + weight decay", ""): 0.42,
            ("DQN + ReDo", ""): 0.60,
        },
    ),
)


def _of_ratios(method: str, values: tuple[float, ...]) -> dict[tuple[str, str], float]:
    return {
        (method, f"replay ratio {replay_ratio:g}"): value
        for replay_ratio, value in zip(REPLAY_RATIOS, values, strict=True)
    }


FIGURE_7 = Experiment(
    name="fig7",
    title="Replay ratio against dormant neurons and return, DemonAttack",
    expected="Dormant 15, 30, 35, over 45 % at replay ratio .25, .5, 1, 2; return 4 300, 2 000,"
    " 1 200, 700 (read off the figure).",
    variants=sweep("DQN", figure("fig07"), small={}),
    scales=_scales(atari(10, ("DemonAttack",), ("DemonAttack",))),
    shows=("dormant_percent", "return"),
    setting_name="replay ratio",
    paper=read_off(
        "figure 7, whose tau is not known",
        "dormant_percent",
        _of_ratios("DQN", (15, 30, 35, 45)),
        "DemonAttack",
    )
    + read_off("figure 7", "return", _of_ratios("DQN", (4300, 2000, 1200, 700)), "DemonAttack"),
)

FIGURE_16 = Experiment(
    name="fig16",
    title="Figure 7 on other games",
    expected="Dormant neurons grow with the replay ratio; no value was read off.",
    variants=sweep("DQN", figure("fig16"), small={}),
    scales=_scales(atari(10, ("Asterix", "Seaquest"), ("Asterix", "Seaquest"))),
    shows=("dormant_percent", "return"),
    setting_name="replay ratio",
)

_DRQ_RATIOS = (1, 2, 4, 8)
FIGURE_10 = Experiment(
    name="fig10",
    title="Replay ratio sweep of DQN, 3-step DQN, DQN with a ResNet and DrQ(eps), each with ReDo",
    expected="DQN falls: IQM .45 .42 .30 .12; with ReDo .47 .55 .60 .55 (read off the figure). The"
    " others fall less with ReDo too.",
    variants=(
        *sweep("DQN", figure("fig10_dqn"), small={}),
        *sweep("DQN + ReDo", figure("fig10_dqn_redo"), redo=True, small=REDO),
        *sweep(
            "3-step DQN",
            figure("fig10_nstep3"),
            small={"VectorizedDQN.update_horizon": "3"},
        ),
        *sweep(
            "3-step DQN + ReDo",
            figure("fig10_nstep3_redo"),
            redo=True,
            small={**REDO, "VectorizedDQN.update_horizon": "3"},
        ),
        *sweep("ResNet DQN", figure("fig10_resnet"), family="resnet"),
        *sweep("ResNet DQN + ReDo", figure("fig10_resnet_redo"), redo=True, family="resnet"),
        *sweep("DrQ(eps)", figure("fig10_drq_eps"), family="drq_eps", ratios=_DRQ_RATIOS),
        *sweep(
            "DrQ(eps) + ReDo",
            figure("fig10_drq_eps_redo"),
            redo=True,
            family="drq_eps",
            ratios=_DRQ_RATIOS,
        ),
    ),
    scales=_scales(atari(10), resnet=with_speed(atari(10), "resnet"), drq_eps=drq_eps()),
    setting_name="replay ratio",
    paper=read_off(
        "figure 10",
        "iqm",
        _of_ratios("DQN", (0.45, 0.42, 0.30, 0.12))
        | _of_ratios("DQN + ReDo", (0.47, 0.55, 0.60, 0.55)),
    ),
)

FIGURE_11 = Experiment(
    name="fig11",
    title="DQN at replay ratio 1 with a quarter of the learning rate",
    expected="Dormant 40 % against 47 % at the full rate, 10 % with ReDo (read off the figure).",
    variants=(
        _at_ratio_1("DQN", figure("fig01_dqn"), {}),
        _at_ratio_1(
            "DQN, learning rate / 4",
            figure("fig11_dqn"),
            {"VectorizedDQN.learning_rate": "6.25e-5"},
        ),
        _at_ratio_1("DQN + ReDo", figure("fig11_redo"), REDO),
    ),
    scales=_scales(atari(10)),
    shows=("dormant_percent", "iqm", "return"),
)

_WIDTHS = (1, 2, 4)
FIGURE_12 = Experiment(
    name="fig12",
    title="DQN at replay ratio 1 with networks 1, 2 and 4 times as wide",
    expected="Dormant % is alike at all widths; ReDo is better at each.",
    variants=tuple(
        _at_ratio_1(
            method,
            figure(gin_file),
            # The smoke runs' layer has 32 neurons.
            {**small, "VectorizedDQN.dense": f"({32 * width},)"},
            setting=f"width {width}",
            value=width,
            bindings={"DormantDQNAgent.width": str(width)},
            family="" if width == 1 else f"width {width}",
        )
        for method, gin_file, small in (
            ("DQN", "fig12_dqn", {}),
            ("DQN + ReDo", "fig12_redo", REDO),
        )
        for width in _WIDTHS
    ),
    scales=_scales(
        atari(10),
        **{f"width {width}": with_speed(atari(10), f"width {width}") for width in _WIDTHS[1:]},
    ),
    setting_name="width",
)

EXPERIMENTS = (FIGURE_1, FIGURE_7, FIGURE_10, FIGURE_11, FIGURE_12, FIGURE_16)
