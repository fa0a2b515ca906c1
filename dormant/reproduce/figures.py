# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The figures and tables about DQN, DrQ(eps) and SAC, and the paper's searches. Where the games of
a figure are not known they are DemonAttack and Asterix. The others are in `side_experiments`."""

from dormant.reproduce.experiments import Bindings, Experiment, Variant
from dormant.reproduce.families import PAIR, atari, drq_eps, sac
from dormant.reproduce.methods import (
    AT_RATIO_1,
    ORDERS,
    PRUNE,
    REDO,
    REDO_AT_DEFAULT,
    RESET,
    WEIGHT_DECAY,
    end_step,
    fixed_budget,
    order_name,
    sweep,
)

_IQM = ("iqm", None)
_DORMANT, _RETURN = ("dormant_percent", "DemonAttack"), ("return", "DemonAttack")
_RANK = ("rank", "DemonAttack")
_ONE_GAME = ("DemonAttack",)
_RATIO_OF_FIGURE_9 = "Its replay ratio is taken to be that of figure 9."
_QUARTER = {"create_optimizer.learning_rate": "1.5625e-5"}
_LEAKY = {"DormantDQNAgent.activation": "'leaky_relu'"}
_DORMANCY_FIRST, _RETURN_FIRST = ("dormant_percent", "return"), ("return", "dormant_percent")


def _cell(method: str, gin_file: str, *stated: Bindings, **others) -> Variant:
    """A method of a figure's own gin file, and all that the file states of it."""
    merged = {parameter: value for each in stated for parameter, value in each.items()}
    return Variant(method, f"{gin_file}.gin", stated=merged, **others)


_ABOUT_REPLAY_RATIOS = (
    Experiment(
        name="fig1",
        aliases=("fig13",),
        title="DQN at replay ratio 1: plain, reset, weight decay, ReDo",
        expected="IQM .30, .32, .42, .60 (read off the figure).",
        variants=(
            _cell("DQN", "fig01_dqn", AT_RATIO_1, paper={_IQM: 0.30}),
            _cell("DQN + reset", "fig01_reset", RESET, AT_RATIO_1, paper={_IQM: 0.32}),
            _cell(
                "DQN + weight decay",
                "fig01_weight_decay",
                WEIGHT_DECAY,
                AT_RATIO_1,
                paper={_IQM: 0.42},
            ),
            _cell("DQN + ReDo", "fig01_redo", REDO, AT_RATIO_1, paper={_IQM: 0.60}),
        ),
        families={"": atari(10)},
    ),
    Experiment(
        name="fig7",
        title="Replay ratio against dormant neurons and return, DemonAttack",
        expected="Dormant 15, 30, 35, over 45 % at replay ratio .25, .5, 1, 2; return 4 300, 2 000,"
        " 1 200, 700 (read off the figure).",
        notes="Dopamine's own five runs return 2 500 to 3 700 at replay ratio .25.",
        variants=sweep(
            "DQN",
            "fig07.gin",
            paper={_DORMANT: (15, 30, 35, 45), _RETURN: (4300, 2000, 1200, 700)},
        ),
        families={"": atari(10, _ONE_GAME, _ONE_GAME)},
        shows=_DORMANCY_FIRST,
        setting_name="replay ratio",
        caveats={"dormant_percent": "whose tau is not known"},
    ),
    Experiment(
        name="fig10",
        title="Replay ratio sweep of DQN, 3-step DQN, DQN with a ResNet and DrQ(eps), each with"
        " ReDo",
        expected="DQN falls: IQM .45 .42 .30 .12; with ReDo .47 .55 .60 .55 (read off the figure)."
        " The others fall less with ReDo too.",
        notes="Dopamine's own runs at replay ratio .25: IQM .40, with the ResNet .54. The ResNet's"
        " residual stream is measured, not recycled.",
        variants=(
            *sweep("DQN", "fig10_dqn.gin", paper={_IQM: (0.45, 0.42, 0.30, 0.12)}),
            *sweep(
                "DQN + ReDo",
                "fig10_dqn_redo.gin",
                stated=REDO,
                redo=True,
                paper={_IQM: (0.47, 0.55, 0.60, 0.55)},
            ),
            *(
                each
                for method, name, stated, options in (
                    ("3-step DQN", "nstep3", {"JaxDQNAgent.update_horizon": "3"}, {}),
                    (
                        "ResNet DQN",
                        "resnet",
                        {"DormantDQNAgent.network": "'impala'"},
                        {"family": "resnet"},
                    ),
                    ("DrQ(eps)", "drq_eps", {}, {"family": "drq_eps", "ratios": (1, 2, 4, 8)}),
                )
                for each in (
                    *sweep(method, f"fig10_{name}.gin", stated=stated, **options),
                    *sweep(
                        f"{method} + ReDo",
                        f"fig10_{name}_redo.gin",
                        stated={**REDO, **stated},
                        redo=True,
                        **options,
                    ),
                )
            ),
        ),
        families={"": atari(10), "resnet": atari(10, speed="resnet"), "drq_eps": drq_eps()},
        setting_name="replay ratio",
    ),
    Experiment(
        name="fig11",
        title="DQN at replay ratio 1 with a quarter of the learning rate",
        expected="Dormant 40 % against 47 % at the full rate, 10 % with ReDo (read off).",
        variants=(
            _cell("DQN", "fig01_dqn", AT_RATIO_1),
            _cell("DQN, learning rate / 4", "fig11_dqn", _QUARTER, AT_RATIO_1),
            _cell("DQN + ReDo", "fig11_redo", REDO, AT_RATIO_1),
        ),
        families={"": atari(10)},
        shows=("dormant_percent", "iqm", "return"),
    ),
    Experiment(
        name="fig12",
        title="DQN at replay ratio 1 with networks 1, 2 and 4 times as wide",
        expected="Dormant % is alike at all widths; ReDo is better at each.",
        notes="At width 4 an update is about 16 times the arithmetic.",
        variants=tuple(
            _cell(
                *method,
                AT_RATIO_1,
                setting=f"width {width}",
                value=width,
                bindings={"DormantDQNAgent.width": str(width)},
                family=f"width {width}",
            )
            for method in (("DQN", "fig12_dqn"), ("DQN + ReDo", "fig12_redo", REDO))
            for width in (1, 2, 4)
        ),
        families={
            "width 1": atari(10),
            "width 2": atari(10, speed="width 2"),
            "width 4": atari(10, speed="width 4"),
        },
        setting_name="width",
    ),
    Experiment(
        name="fig16",
        title="Figure 7 on other games",
        expected="Dormant neurons grow with the replay ratio; no value was read off.",
        variants=sweep("DQN", "fig16.gin"),
        families={"": atari(10, ("Asterix", "Seaquest"), ("Asterix", "Seaquest"))},
        shows=_DORMANCY_FIRST,
        setting_name="replay ratio",
    ),
)

_DQN_FIG9 = _cell("DQN", "fig09_dqn")
_REDO_FIG9 = _cell("DQN + ReDo", "fig09_redo", REDO_AT_DEFAULT)


def _beside_redo(name: str, title: str, expected: str, method: str, option: str, value: str):
    """ReDo at the default replay ratio, with one option changed in the figure's own gin file."""
    changed = _cell(method, name, REDO_AT_DEFAULT, {option: value})
    return Experiment(
        name=name,
        title=title,
        expected=expected,
        notes=_RATIO_OF_FIGURE_9,
        variants=(_REDO_FIG9, changed),
        families={"": atari(40, PAIR, PAIR)},
        shows=_RETURN_FIRST,
    )


_ABOUT_DORMANCY = (
    Experiment(
        name="fig2",
        title="Dormant neurons of DQN at tau = 0 over 6M gradient steps",
        expected="From about 0 to 27 % (DemonAttack) and 30 % (Asterix) (read off the figure).",
        notes="It is drawn from the records' dormant_percent_pooled at tau 0.",
        variants=(_cell("DQN", "fig02", paper={_DORMANT: 27, ("dormant_percent", "Asterix"): 30}),),
        families={"": atari(96, PAIR, PAIR)},
        shows=_DORMANCY_FIRST,
        tau=0.0,
    ),
    Experiment(
        name="fig5",
        title="Overlap of the dormant neurons with those that were dormant before",
        expected="Rises to 65 % (DemonAttack) and 80 % (Asterix) (read off the figure).",
        notes="It is drawn from the records' overlap_history of the penultimate layer, Dense_0.",
        variants=(
            Variant(
                "DQN",
                "fig05.gin",
                paper={("overlap", "DemonAttack"): 0.65, ("overlap", "Asterix"): 0.80},
            ),
        ),
        families={"": atari(96, PAIR, PAIR)},
        shows=("overlap", "dormant_percent"),
    ),
    Experiment(
        name="fig6",
        title="DQN whose dormant neurons are pruned for good",
        expected="The return is that of the unpruned agent.",
        notes="Dopamine's own five runs, unpruned, return 3 700 to 4 800 on DemonAttack.",
        variants=(
            _cell("DQN", "fig06_dqn"),
            _cell("DQN + pruning", "fig06_prune", PRUNE),
        ),
        families={"": atari(40, PAIR, PAIR)},
        shows=_RETURN_FIRST,
    ),
    Experiment(
        name="fig9",
        title="DQN at its default replay ratio with and without ReDo",
        expected="Dormant 25-30 % to under 5 %; return on DemonAttack 4 000 to 7 000 (read off).",
        notes="Dopamine's own runs of DQN: IQM .99, on DemonAttack a return of 3 700 to 4 800.",
        variants=(
            _cell("DQN", "fig09_dqn", paper={_RETURN: 4000}),
            _cell("DQN + ReDo", "fig09_redo", REDO_AT_DEFAULT, paper={_RETURN: 7000}),
        ),
        families={"": atari(40)},
    ),
    Experiment(
        name="fig15",
        title="A fixed budget of neurons is recycled: of lowest, random or highest score",
        expected="Lowest learns; random and highest collapse.",
        notes="The budget falls on a cosine from 10 % of each layer, dormant or not, to 0. "
        + _RATIO_OF_FIGURE_9,
        variants=tuple(
            _cell(order_name(order), f"fig15_{order}", fixed_budget(order)) for order in ORDERS
        ),
        families={"": atari(40, PAIR, PAIR)},
        shows=_RETURN_FIRST,
        extra={"mini": end_step(495_000), "smoke": end_step(450)},
    ),
    Experiment(
        name="fig17",
        title="Dormant neurons of DrQ(eps)",
        expected="8-16 % (read off the figure).",
        variants=(_cell("DrQ(eps)", "fig17"),),
        families={"": drq_eps()},
        shows=_DORMANCY_FIRST,
    ),
    Experiment(
        name="fig21",
        title="DQN with leaky ReLU (0.01)",
        expected="Mildly fewer dormant neurons than with ReLU.",
        notes=_RATIO_OF_FIGURE_9,
        variants=(_DQN_FIG9, _cell("DQN, leaky ReLU", "fig21", _LEAKY)),
        families={"": atari(40, PAIR, PAIR)},
        shows=_DORMANCY_FIRST,
    ),
    _beside_redo(
        "fig22",
        "Outgoing weights drawn anew instead of zero",
        "Random outgoing weights are worse.",
        "DQN + ReDo, outgoing fresh",
        "ReDo.outgoing",
        "'fresh'",
    ),
    _beside_redo(
        "fig23",
        "Incoming weights scaled to the norm of the live neurons",
        "Alike.",
        "DQN + ReDo, incoming scaled",
        "ReDo.incoming_scale",
        "'live_norm'",
    ),
    Experiment(
        name="fig24",
        title="Neurons scored on 32, 64, 256 and 1024 observations",
        expected="The same dormant %.",
        notes=_RATIO_OF_FIGURE_9,
        variants=tuple(
            _cell(
                "DQN + ReDo",
                "fig24",
                REDO_AT_DEFAULT,
                setting=f"score batch {size}",
                value=size,
                bindings={"SCORE_BATCH": str(size)},
            )
            for size in (32, 64, 256, 1024)
        ),
        families={"": atari(40, PAIR, PAIR)},
        shows=_DORMANCY_FIRST,
        setting_name="score batch",
    ),
    _beside_redo(
        "fig25",
        "ReDo by continual backpropagation's utility in place of the dormancy score",
        "Similar or worse.",
        "DQN + ReDo by utility",
        "ReDo.score",
        "'contribution_utility'",
    ),
    Experiment(
        name="tab7",
        title="Effective rank of the penultimate features, DemonAttack",
        expected="449.2, with ReDo 470.8 (table).",
        notes="Of the penultimate layer, Dense_0, whose rank is at most 512. " + _RATIO_OF_FIGURE_9,
        variants=(
            _cell("DQN", "tab7_dqn", paper={_RANK: 449.2}),
            _cell("DQN + ReDo", "tab7_redo", REDO_AT_DEFAULT, paper={_RANK: 470.8}),
        ),
        families={"": atari(40, _ONE_GAME, _ONE_GAME)},
        shows=("rank", "return", "dormant_percent"),
    ),
)

_NARROW = (("SAC", "tab6_sac"), ("SAC + ReDo", "tab6_redo"))
_OF_SAC = (
    Experiment(
        name="fig14",
        aliases=("fig20",),
        title="SAC: plain, reset, weight decay, ReDo",
        expected="Only ReDo does not degrade plain SAC.",
        notes="The released code recycles the target critics with the critics:"
        " DormantSACAgent.change_target_critics = True.",
        variants=(
            _cell("SAC", "fig14_sac"),
            _cell("SAC + reset", "fig14_reset"),
            _cell("SAC + weight decay", "fig14_weight_decay"),
            _cell("SAC + ReDo", "fig14_redo"),
        ),
        families={"": sac()},
        shows=("return", "iqm", "dormant_percent"),
        tau=0.0,
    ),
    Experiment(
        name="fig18",
        title="Dormant neurons of SAC",
        expected="On Ant 10 % of the actor's, 17 % of the critics' neurons (read off the figure).",
        variants=(
            Variant(
                "SAC",
                "fig18.gin",
                paper={
                    ("dormant_percent, actor", "Ant"): 10,
                    ("dormant_percent, critic", "Ant"): 17,
                },
            ),
        ),
        families={"": sac()},
        shows=("dormant_percent_by_network", "dormant_percent", "return"),
        tau=0.0,
    ),
    Experiment(
        name="fig19",
        title="SAC whose dormant neurons are pruned for good",
        expected="The return is that of the unpruned agent.",
        variants=(_cell("SAC", "fig14_sac"), _cell("SAC + pruning", "fig19_prune")),
        families={"": sac()},
        shows=_RETURN_FIRST,
        tau=0.0,
    ),
    Experiment(
        name="tab6",
        title="SAC with narrow networks on Ant",
        expected="Return 2016 to 2115 with ReDo at width 1/4, 3964 to 4472 at 1/2 (table).",
        variants=tuple(
            _cell(
                *method,
                setting=setting,
                value=width,
                bindings={"SACAgent.hidden_units": units},
                paper={("return", "Ant"): value},
            )
            for setting, width, units, values in (
                ("width 1/4", 0.25, "64", (2016, 2115)),
                ("width 1/2", 0.5, "128", (3964, 4472)),
            )
            for method, value in zip(_NARROW, values, strict=True)
        ),
        families={"": sac(("Ant",))},
        shows=_RETURN_FIRST,
        setting_name="width",
        tau=0.0,
    ),
)

FIGURES = (*_ABOUT_REPLAY_RATIOS, *_ABOUT_DORMANCY, *_OF_SAC)


def _search(name: str, setting: str, title: str, expected: str, variants) -> Experiment:
    """At replay ratio 1 on the 17 games. The values between the ends of weight decays and reset
    periods are not known to us; tau and period of ReDo are."""
    return Experiment(
        name=f"search_{name}",
        title=f"Search of {title}",
        expected=f"{expected} (text).",
        variants=tuple(variants),
        families={"": atari(10)},
        setting_name=setting,
    )


SEARCHES = (
    _search(
        "weight_decay",
        "weight decay",
        "the weight decay of figure 1, from 1e-6 to 1e-3",
        "1e-5 is best",
        (
            _cell(
                "DQN + weight decay",
                "fig01_weight_decay",
                AT_RATIO_1,
                setting=f"weight decay {coefficient}",
                value=float(coefficient),
                bindings={"LearnerOptions.weight_decay": coefficient},
            )
            for coefficient in ("1e-6", "1e-5", "1e-4", "1e-3")
        ),
    ),
    _search(
        "reset",
        "reset period",
        "the reset period of figure 1, from 5e4 to 5e5 gradient steps",
        "1e5 is best",
        (
            _cell(
                "DQN + reset",
                "fig01_reset",
                RESET,
                AT_RATIO_1,
                setting=f"reset period {period:,}",
                value=period,
                bindings={"Reset.period": str(period)},
            )
            for period in (50_000, 100_000, 250_000, 500_000)
        ),
    ),
    _search(
        "tau",
        "tau",
        "ReDo's tau, 0, .01 or .1, and period, 1e3, 1e4 or 1e5 gradient steps",
        "tau 0.1 and period 1 000 are taken",
        (
            _cell(
                f"DQN + ReDo, period {period:,}",
                "fig01_redo",
                REDO,
                AT_RATIO_1,
                setting=f"tau {float(tau):g}",
                value=float(tau),
                bindings={"ReDo.tau": tau, "ReDo.period": str(period)},
            )
            for period in (1_000, 10_000, 100_000)
            for tau in ("0.0", "0.01", "0.1")
        ),
    ),
)
