# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The figures and tables about DQN, DrQ(eps) and SAC, and the paper's searches. Where the games of
a figure are not known they are DemonAttack and Asterix. The others are in `side_experiments`."""

import functools
from collections.abc import Sequence

from dormant.reproduce.experiments import NO_BINDINGS, Bindings, Experiment, Families, Variant
from dormant.reproduce.families import PAIR, atari, drq_eps, sac
from dormant.reproduce.methods import (
    AT_RATIO_1,
    ORDERS,
    PRUNE,
    REDO,
    REDO_AT_DEFAULT,
    REPLAY_RATIOS,
    RESET,
    WEIGHT_DECAY,
    at_each,
    end_step,
    fixed_budget,
    sweep,
)

_ONE_GAME = ("DemonAttack",)
_DORMANCY_FIRST, _RETURN_FIRST = ("dormant_percent", "return"), ("return", "dormant_percent")
_RATIO_OF_FIGURE_9 = "Its replay ratio is taken to be that of figure 9."
_DQN_FIG9 = Variant("DQN", "fig09_dqn.gin")
_REDO_FIG9 = Variant("DQN + ReDo", "fig09_redo.gin", REDO_AT_DEFAULT)

# At replay ratio 1, or at several, on the 17 games.
_of_17_games = functools.partial(Experiment, families=atari(10))
# At the default replay ratio, on two games.
_of_pair = functools.partial(
    Experiment, families=atari(40, PAIR), shows=_RETURN_FIRST, notes=_RATIO_OF_FIGURE_9
)
_of_sac = functools.partial(Experiment, families=sac(), tau=0.0)


def _with_redo(
    method: str,
    name: str,
    stated: Bindings = NO_BINDINGS,
    families: Families | None = None,
    ratios: Sequence[str] = REPLAY_RATIOS,
) -> tuple[Variant, ...]:
    """Figure 10's sweeps of a method, without and with ReDo."""
    plain = Variant(method, f"fig10_{name}.gin", stated, families=families)
    file, both = f"fig10_{name}_redo.gin", {**REDO, **stated}
    redo = Variant(f"{method} + ReDo", file, both, families=families)
    return *sweep(plain, ratios), *sweep(redo, ratios, redo=True)


def _beside_redo(name: str, title: str, expected: str, method: str, option: Bindings) -> Experiment:
    """ReDo at the default replay ratio, with one option changed in the figure's own gin file."""
    changed = Variant(method, f"{name}.gin", {**REDO_AT_DEFAULT, **option})
    return _of_pair(name=name, title=title, expected=expected, variants=(_REDO_FIG9, changed))


FIGURES = (
    _of_17_games(
        name="fig1",
        aliases=("fig13",),
        title="DQN at replay ratio 1: plain, reset, weight decay, ReDo",
        expected="IQM .30, .32, .42, .60 (read off the figure).",
        variants=(
            Variant("DQN", "fig01_dqn.gin", AT_RATIO_1),
            Variant("DQN + reset", "fig01_reset.gin", RESET | AT_RATIO_1),
            Variant("DQN + weight decay", "fig01_weight_decay.gin", WEIGHT_DECAY | AT_RATIO_1),
            Variant("DQN + ReDo", "fig01_redo.gin", REDO | AT_RATIO_1),
        ),
        reported={("iqm", None): (0.30, 0.32, 0.42, 0.60)},
    ),
    Experiment(
        name="fig2",
        title="Dormant neurons of DQN at tau = 0 over 6M gradient steps",
        expected="From about 0 to 27 % (DemonAttack) and 30 % (Asterix) (read off the figure).",
        notes="It is drawn from the records' dormant_percent_pooled at tau 0.",
        variants=(Variant("DQN", "fig02.gin"),),
        families=atari(96, PAIR),
        reported={("dormant_percent", "DemonAttack"): (27,), ("dormant_percent", "Asterix"): (30,)},
        shows=_DORMANCY_FIRST,
        tau=0.0,
    ),
    Experiment(
        name="fig5",
        title="Overlap of the dormant neurons with those that were dormant before",
        expected="Rises to 65 % (DemonAttack) and 80 % (Asterix) (read off the figure).",
        notes="It is drawn from the records' overlap_history of the penultimate layer, Dense_0.",
        variants=(Variant("DQN", "fig05.gin"),),
        families=atari(96, PAIR),
        reported={("overlap", "DemonAttack"): (0.65,), ("overlap", "Asterix"): (0.80,)},
        shows=("overlap", "dormant_percent"),
    ),
    _of_pair(
        name="fig6",
        title="DQN whose dormant neurons are pruned for good",
        expected="The return is that of the unpruned agent.",
        notes="Dopamine's own five runs, unpruned, return 3 700 to 4 800 on DemonAttack.",
        variants=(
            Variant("DQN", "fig06_dqn.gin"),
            Variant("DQN + pruning", "fig06_prune.gin", PRUNE),
        ),
    ),
    Experiment(
        name="fig7",
        title="Replay ratio against dormant neurons and return, DemonAttack",
        expected="Dormant 15, 30, 35, over 45 % at replay ratio .25, .5, 1, 2; return 4 300, 2 000,"
        " 1 200, 700 (read off the figure).",
        notes="Dopamine's own five runs return 2 500 to 3 700 at replay ratio .25.",
        variants=sweep(Variant("DQN", "fig07.gin")),
        families=atari(10, _ONE_GAME),
        reported={
            ("dormant_percent", "DemonAttack"): (15, 30, 35, 45),
            ("return", "DemonAttack"): (4300, 2000, 1200, 700),
        },
        shows=_DORMANCY_FIRST,
        setting_name="replay ratio",
        caveats={"dormant_percent": "whose tau is not known"},
    ),
    Experiment(
        name="fig9",
        title="DQN at its default replay ratio with and without ReDo",
        expected="Dormant 25-30 % to under 5 %; return on DemonAttack 4 000 to 7 000 (read off).",
        notes="Dopamine's own runs of DQN: IQM .99, on DemonAttack a return of 3 700 to 4 800.",
        variants=(_DQN_FIG9, _REDO_FIG9),
        families=atari(40),
        reported={("return", "DemonAttack"): (4000, 7000)},
    ),
    _of_17_games(
        name="fig10",
        title="Replay ratio sweep of DQN, 3-step DQN, DQN with a ResNet and DrQ(eps), each with"
        " ReDo",
        expected="DQN falls: IQM .45 .42 .30 .12; with ReDo .47 .55 .60 .55 (read off the figure)."
        " The others fall less with ReDo too.",
        notes="Dopamine's own runs at replay ratio .25: IQM .40, with the ResNet .54. The ResNet's"
        " residual stream is measured, not recycled.",
        variants=(
            *_with_redo("DQN", "dqn"),
            *_with_redo("3-step DQN", "nstep3", {"JaxDQNAgent.update_horizon": "3"}),
            *_with_redo(
                "ResNet DQN",
                "resnet",
                {"DormantDQNAgent.network": "'impala'"},
                families=atari(10, speed="resnet"),
            ),
            *_with_redo("DrQ(eps)", "drq_eps", families=drq_eps(), ratios=("1", "2", "4", "8")),
        ),
        reported={("iqm", None): (0.45, 0.42, 0.30, 0.12, 0.47, 0.55, 0.60, 0.55)},
        setting_name="replay ratio",
    ),
    _of_17_games(
        name="fig11",
        title="DQN at replay ratio 1 with a quarter of the learning rate",
        expected="Dormant 40 % against 47 % at the full rate, 10 % with ReDo (read off).",
        variants=(
            Variant("DQN", "fig01_dqn.gin", AT_RATIO_1),
            Variant(
                "DQN, learning rate / 4",
                "fig11_dqn.gin",
                {"create_optimizer.learning_rate": "1.5625e-5"} | AT_RATIO_1,
            ),
            Variant("DQN + ReDo", "fig11_redo.gin", REDO | AT_RATIO_1),
        ),
        shows=("dormant_percent", "iqm", "return"),
    ),
    _of_17_games(
        name="fig12",
        title="DQN at replay ratio 1 with networks 1, 2 and 4 times as wide",
        expected="Dormant % is alike at all widths; ReDo is better at each.",
        notes="At width 4 an update is about 16 times the arithmetic.",
        variants=tuple(
            Variant(
                method,
                f"fig12_{name}.gin",
                {**stated, **AT_RATIO_1},
                {"DormantDQNAgent.width": str(width)},
                f"width {width}",
                width,
                None if width == 1 else atari(10, speed=f"width {width}"),
            )
            for method, name, stated in (("DQN", "dqn", NO_BINDINGS), ("DQN + ReDo", "redo", REDO))
            for width in (1, 2, 4)
        ),
        setting_name="width",
    ),
    _of_sac(
        name="fig14",
        aliases=("fig20",),
        title="SAC: plain, reset, weight decay, ReDo",
        expected="Only ReDo does not degrade plain SAC.",
        notes="The released code resets the target critics with the critics, and recycles them with"
        " `reset_target_models` alone, which is off: DormantSACAgent.change_target_critics.",
        variants=(
            Variant("SAC", "fig14_sac.gin"),
            Variant("SAC + reset", "fig14_reset.gin"),
            Variant("SAC + weight decay", "fig14_weight_decay.gin"),
            Variant("SAC + ReDo", "fig14_redo.gin"),
        ),
        shows=("return", "iqm", "dormant_percent"),
    ),
    _of_pair(
        name="fig15",
        title="A fixed budget of neurons is recycled: of lowest, random or highest score",
        expected="Lowest learns; random and highest collapse.",
        notes="The budget falls on a cosine from 10 % of each layer, dormant or not, to 0. "
        + _RATIO_OF_FIGURE_9,
        variants=tuple(
            Variant(name, f"fig15_{order}.gin", fixed_budget(order))
            for name, order in ORDERS.items()
        ),
        extra={"mini": end_step(495_000), "smoke": end_step(450)},
    ),
    Experiment(
        name="fig16",
        title="Figure 7 on other games",
        expected="Dormant neurons grow with the replay ratio; no value was read off.",
        variants=sweep(Variant("DQN", "fig16.gin")),
        families=atari(10, ("Asterix", "Seaquest")),
        shows=_DORMANCY_FIRST,
        setting_name="replay ratio",
    ),
    Experiment(
        name="fig17",
        title="Dormant neurons of DrQ(eps)",
        expected="8-16 % (read off the figure).",
        variants=(Variant("DrQ(eps)", "fig17.gin"),),
        families=drq_eps(),
        shows=_DORMANCY_FIRST,
    ),
    _of_sac(
        name="fig18",
        title="Dormant neurons of SAC",
        expected="On Ant 10 % of the actor's, 17 % of the critics' neurons (read off the figure).",
        variants=(Variant("SAC", "fig18.gin"),),
        reported={
            ("dormant_percent, actor", "Ant"): (10,),
            ("dormant_percent, critic", "Ant"): (17,),
        },
        shows=("dormant_percent_by_network", "dormant_percent", "return"),
    ),
    _of_sac(
        name="fig19",
        title="SAC whose dormant neurons are pruned for good",
        expected="The return is that of the unpruned agent.",
        variants=(Variant("SAC", "fig14_sac.gin"), Variant("SAC + pruning", "fig19_prune.gin")),
        shows=_RETURN_FIRST,
    ),
    _of_pair(
        name="fig21",
        title="DQN with leaky ReLU (0.01)",
        expected="Mildly fewer dormant neurons than with ReLU.",
        variants=(
            _DQN_FIG9,
            Variant("DQN, leaky ReLU", "fig21.gin", {"DormantDQNAgent.activation": "'leaky_relu'"}),
        ),
        shows=_DORMANCY_FIRST,
    ),
    _beside_redo(
        "fig22",
        "Outgoing weights drawn anew instead of zero",
        "Random outgoing weights are worse.",
        "DQN + ReDo, outgoing fresh",
        {"ReDo.outgoing": "'fresh'"},
    ),
    _beside_redo(
        "fig23",
        "Incoming weights scaled to the norm of the live neurons",
        "Alike.",
        "DQN + ReDo, incoming scaled",
        {"ReDo.incoming_scale": "'live_norm'"},
    ),
    _of_pair(
        name="fig24",
        title="Neurons scored on 32, 64, 256 and 1024 observations",
        expected="The same dormant %.",
        variants=at_each(
            Variant("DQN + ReDo", "fig24.gin", REDO_AT_DEFAULT),
            "score batch",
            "SCORE_BATCH",
            ("32", "64", "256", "1024"),
        ),
        shows=_DORMANCY_FIRST,
        setting_name="score batch",
    ),
    _beside_redo(
        "fig25",
        "ReDo by continual backpropagation's utility in place of the dormancy score",
        "Similar or worse.",
        "DQN + ReDo by utility",
        {"ReDo.score": "'contribution_utility'"},
    ),
    _of_sac(
        name="tab6",
        title="SAC with narrow networks on Ant",
        expected="Return 2016 to 2115 with ReDo at width 1/4, 3964 to 4472 at 1/2 (table).",
        variants=tuple(
            Variant(
                method,
                gin_file,
                bindings={"SACAgent.hidden_units": units},
                setting=setting,
                value=width,
            )
            for setting, width, units in (("width 1/4", 0.25, "64"), ("width 1/2", 0.5, "128"))
            for method, gin_file in (("SAC", "tab6_sac.gin"), ("SAC + ReDo", "tab6_redo.gin"))
        ),
        families=sac(("Ant",)),
        reported={("return", "Ant"): (2016, 2115, 3964, 4472)},
        shows=_RETURN_FIRST,
        setting_name="width",
    ),
    _of_pair(
        name="tab7",
        title="Effective rank of the penultimate features, DemonAttack",
        expected="449.2, with ReDo 470.8 (table).",
        notes="Of the penultimate layer, Dense_0, whose rank is at most 512. " + _RATIO_OF_FIGURE_9,
        variants=(
            Variant("DQN", "tab7_dqn.gin"),
            Variant("DQN + ReDo", "tab7_redo.gin", REDO_AT_DEFAULT),
        ),
        families=atari(40, _ONE_GAME),
        reported={("rank", "DemonAttack"): (449.2, 470.8)},
        shows=("rank", "return", "dormant_percent"),
    ),
)

# The values between the ends of weight decays and reset periods are not known to us; tau and period
# of ReDo are.
SEARCHES = (
    _of_17_games(
        name="search_weight_decay",
        title="Search of the weight decay of figure 1, from 1e-6 to 1e-3",
        expected="1e-5 is best (text).",
        variants=at_each(
            Variant("DQN + weight decay", "fig01_weight_decay.gin", AT_RATIO_1),
            "weight decay",
            "LearnerOptions.weight_decay",
            ("1e-6", "1e-5", "1e-4", "1e-3"),
        ),
        setting_name="weight decay",
    ),
    _of_17_games(
        name="search_reset",
        title="Search of the reset period of figure 1, from 5e4 to 5e5 gradient steps",
        expected="1e5 is best (text).",
        variants=tuple(
            Variant(
                "DQN + reset",
                "fig01_reset.gin",
                RESET | AT_RATIO_1,
                {"Reset.period": str(period)},
                f"reset period {period:,}",
                period,
            )
            for period in (50_000, 100_000, 250_000, 500_000)
        ),
        setting_name="reset period",
    ),
    _of_17_games(
        name="search_tau",
        title="Search of ReDo's tau, 0, .01 or .1, and period, 1e3, 1e4 or 1e5 gradient steps",
        expected="tau 0.1 and period 1 000 are taken (text).",
        variants=tuple(
            Variant(
                f"DQN + ReDo, period {period:,}",
                "fig01_redo.gin",
                REDO | AT_RATIO_1,
                {"ReDo.tau": str(tau), "ReDo.period": str(period)},
                f"tau {tau:g}",
                tau,
            )
            for period in (1_000, 10_000, 100_000)
            for tau in (0.0, 0.01, 0.1)
        ),
        setting_name="tau",
    ),
)
