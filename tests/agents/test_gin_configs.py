# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The gin files of the paper's experiments: each is complete, constructs what it names, and differs
from the agent it builds on in nothing but what it claims."""

import re
import shlex
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.agents import preflight
from dormant.agents.inherited_options import option_name
from dormant.records.reading import read_run
from dormant.reproduce import catalog
from dormant.runs.interventions import FixedBudget, Prune, ReDo, Reset, Tracker
from dormant.runs.options import LearnerOptions

GIN_CONFIGS = Path(__file__).resolve().parents[2] / "gin_configs"
FILES = sorted(path.name for path in GIN_CONFIGS.glob("*.gin"))
AGENTS = [name for name in FILES if not re.match(r"(fig|tab)\d", name)]
HEADINGS = ["Command", "Units", "Figure", "Expected", "Runtime"]
# Figures 13 and 20 show the runs of figures 1 and 14; 3, 4 and 8 are in gin_configs/studies.
FIGURES = {1, 2, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25}

every_file = pytest.mark.parametrize("name", FILES)


def load(name, *bindings):
    preflight.load_gin([str(GIN_CONFIGS / name)], bindings)


def check():
    preflight.check_runner()
    preflight.check_environment()


def create_runner(base_dir):
    from dormant.agents.runner import create_dormant_runner

    return create_dormant_runner(str(base_dir))


def header(name):
    """Entries of the comment at a file's top: `[(heading, lines), ...]`, joined at backslashes."""
    comment = (GIN_CONFIGS / name).read_text("utf-8").split("\n\n")[0]
    comment = re.sub(r" \\\n# +", " ", comment)  # a command that goes on in the next line
    parts = re.split(r"^# (\w+) {2,}", comment, flags=re.MULTILINE)[1:]
    texts = [[line.removeprefix("#").strip() for line in part.splitlines()] for part in parts]
    return list(zip(parts[::2], texts[1::2], strict=True))


def bindings(name):
    """Everything that a file binds, with what it includes: `{parameter: value as in gin}`."""
    load(name)
    return in_gin()


def in_gin():
    """Everything that is bound now."""
    lines = gin.config_str(max_line_length=10_000).splitlines()
    return dict(line.split(" = ", 1) for line in lines if " = " in line and line[0] != "#")


def test_there_is_a_file_for_every_figure_and_table():
    figures = {int(found[1]) for found in (re.match(r"fig(\d+)", name) for name in FILES) if found}
    assert figures == FIGURES
    assert {name[:4] for name in FILES if name.startswith("tab")} == {"tab6", "tab7"}


@pytest.mark.parametrize("name", AGENTS)
def test_headers_say_how_to_run_a_file_and_what_to_expect(name):
    entries = header(name)
    assert [heading for heading, _ in entries] == HEADINGS
    assert all(lines[0] for _, lines in entries)
    start = f"python -m dormant.train --gin_files={name} --base_dir=runs/"
    assert " ".join(entries[0][1]).startswith(start)


@pytest.mark.parametrize("name", sorted({*FILES} - {*AGENTS}))
def test_a_figures_file_names_its_experiment_which_uses_it_and_says_how_to_run_it(name):
    entries = {heading: " ".join(lines) for heading, lines in header(name)}
    assert list(entries) == ["Experiment", "Command"]
    experiment = catalog.find(entries["Experiment"])
    kind, number = re.match(r"(fig|tab)(\d+)", name).groups()
    assert experiment.name == f"{kind}{int(number)}"
    assert name in {variant.gin_file for variant in experiment.variants}
    start = f"python -m dormant.train --gin_files={name} --base_dir=runs/{Path(name).stem}"
    assert entries["Command"] == start


STATED = {
    (variant.gin_file, *variant.stated.items())
    for experiment in catalog.EXPERIMENTS
    for variant in experiment.variants
    if variant.stated
}


@pytest.mark.parametrize(("name", "stated"), [(name, stated) for name, *stated in sorted(STATED)])
def test_a_file_binds_what_the_catalog_says_that_it_states(name, stated):
    before = bindings(name)
    load(name, *(f"{parameter} = {value}" for parameter, value in stated))
    assert in_gin() == before


@every_file
def test_files_and_the_changes_their_headers_propose_pass_every_check(name):
    load(name)
    check()
    for line in dict(header(name))["Command"]:
        flags = [word for word in shlex.split(line) if word.startswith("--gin_bindings=")]
        if flags:
            load(name, *(flag.partition("=")[2] for flag in flags))
            check()


# What each file changes of its agent's own file, by the paper.
REPLAY_RATIO_1 = {"LearnerOptions.replay_ratio": "1"}
LONG = {"Runner.num_iterations": "40"}
L2 = {"LearnerOptions.weight_decay": "1e-05", "LearnerOptions.weight_decay_kind": "'l2'"}
QUARTER = {"create_optimizer.learning_rate": "1.5625e-05"}
CLAIMS = [
    ("fig01_dqn", "dqn", REPLAY_RATIO_1),
    ("fig01_weight_decay", "dqn", REPLAY_RATIO_1 | L2),
    ("fig01_redo", "dqn_redo", REPLAY_RATIO_1 | {"ReDo.tau": "0.1"}),
    ("fig02", "dqn", {"Runner.num_iterations": "96"}),
    ("fig05", "fig02", {}),
    ("fig06_dqn", "dqn", LONG),
    ("fig07", "dqn", {}),
    ("fig09_dqn", "dqn", LONG),
    ("fig09_redo", "dqn_redo", LONG),
    ("fig10_dqn", "dqn", {}),
    ("fig10_dqn_redo", "dqn_redo", {}),
    ("fig10_nstep3", "dqn", {"JaxDQNAgent.update_horizon": "3"}),
    ("fig10_nstep3_redo", "dqn_redo", {"JaxDQNAgent.update_horizon": "3"}),
    ("fig10_resnet", "dqn", {"DormantDQNAgent.network": "'impala'"}),
    ("fig10_resnet_redo", "dqn_redo", {"DormantDQNAgent.network": "'impala'"}),
    ("fig10_drq_eps", "drq_eps", {}),
    ("fig11_dqn", "dqn", REPLAY_RATIO_1 | QUARTER),
    ("fig11_redo", "fig01_redo", {}),
    ("fig12_dqn", "dqn", REPLAY_RATIO_1),
    ("fig12_redo", "fig01_redo", {}),
    ("fig14_sac", "sac", {}),
    ("fig14_weight_decay", "sac", L2),
    ("fig15_random", "fig15_lowest", {"FixedBudget.order": "'random'"}),
    ("fig15_highest", "fig15_lowest", {"FixedBudget.order": "'highest'"}),
    ("fig17", "drq_eps", {}),
    ("fig18", "sac", {}),
    ("fig21", "dqn", LONG | {"DormantDQNAgent.activation": "'leaky_relu'"}),
    ("fig22", "dqn_redo", LONG | {"ReDo.outgoing": "'fresh'"}),
    ("fig23", "dqn_redo", LONG | {"ReDo.incoming_scale": "'live_norm'"}),
    ("fig25", "dqn_redo", LONG | {"ReDo.score": "'contribution_utility'"}),
    ("tab6_sac", "sac", {"SACAgent.hidden_units": "64"}),
    ("tab6_redo", "fig14_redo", {"SACAgent.hidden_units": "64"}),
    ("tab7_dqn", "dqn", LONG | {"Tracker.score_batch": "2048"}),
    ("tab7_redo", "dqn_redo", LONG | {"Tracker.score_batch": "2048"}),
]  # fmt: skip
# But for the length of their run.
SAME_AS_THEIR_BASE = {
    f"{name}.gin" for name, _, changes in CLAIMS
    if all(parameter.startswith("Runner.") for parameter in changes)
}  # fmt: skip
every_file_of_its_own = pytest.mark.parametrize(
    "name", [name for name in FILES if name not in SAME_AS_THEIR_BASE]
)


@pytest.fixture
def construct(tmp_path, monkeypatch):
    """`construct(name)`: the runner of an unchanged file, and the shapes of its learner's state.

    Environment, agent, replay and runner are real. The network is traced but neither compiled nor
    initialized, which takes ten seconds a file.
    """
    # What Dopamine computes a distribution's support with; the learner checks its values.
    monkeypatch.setattr(jnp, "linspace", lambda *a: np.linspace(*a, dtype=np.float32))

    runners = []

    def construct(name, *changes):
        load(name, *changes)

        # A function of its own each time: JAX remembers what one returned.
        def initial_state():
            runners.append(create_runner(tmp_path))
            return runners[-1].agent.learner_state

        return jax.eval_shape(initial_state), runners[-1]

    yield construct
    for runner in runners:
        runner._saved.files[0].close()


@every_file_of_its_own
def test_files_construct_their_environment_agent_and_runner(name, construct):
    state, runner = construct(name)
    assert runner.start_iteration == 0
    assert type(runner.agent).__name__ in "\n".join(bindings(name).values())
    assert (state.intervention == ()) == (LearnerOptions().intervention is None)


@pytest.mark.parametrize(("name", "base", "changes"), CLAIMS, ids=[claim[0] for claim in CLAIMS])
def test_a_file_differs_from_its_base_in_exactly_what_it_claims(name, base, changes):
    found, before = bindings(f"{name}.gin"), bindings(f"{base}.gin")
    assert before.keys() <= found.keys()
    assert dict(found.items() - before.items()) == changes


@pytest.mark.parametrize(
    ("name", "ratio", "tau", "period", "score_batch"),
    [
        ("fig01_redo", 1, 0.1, 1_000, 64),
        ("fig09_redo", 0.25, 0.025, 1_000, 64),
        ("fig10_drq_eps_redo", 1, 0.025, 1_000, 64),
        ("fig14_redo", 1, 0.0, 200_000, 256),
        ("fig24", 0.25, 0.025, 1_000, 64),
        ("rainbow_redo", 0.25, 0.025, 1_000, 64),
    ],
)
def test_redo_has_the_papers_settings(name, ratio, tau, period, score_batch):
    load(f"{name}.gin")
    options = LearnerOptions()
    assert options.replay_ratio == ratio
    assert options.intervention == ReDo(
        tau=tau, period=period, score_batch=score_batch, adam_count="keep"
    )
    assert Tracker().score_batch == score_batch


@pytest.mark.parametrize(
    ("name", "intervention"),
    [
        ("fig01_reset", Reset(layers="last_hidden", period=100_000, adam_count="keep")),
        ("fig06_prune", Prune(tau=0.0, period=1_000, score_batch=64)),
        (
            "fig14_reset",
            Reset(layers="all", period=200_000, score_batch=256, adam_count="keep"),
        ),
        ("fig19_prune", Prune(tau=0.0, period=1_000, score_batch=256)),
    ],
)
def test_the_other_interventions_have_the_papers_settings(name, intervention):
    load(f"{name}.gin")
    assert LearnerOptions().intervention == intervention


def test_the_budget_of_figure_15_lasts_the_whole_run():
    load("fig15_lowest.gin")
    budget = LearnerOptions().intervention
    assert isinstance(budget, FixedBudget)
    assert (budget.order, budget.period) == ("lowest", 1_000)
    steps = gin.query_parameter("Runner.num_iterations") * 250_000
    updates = 0.25 * (steps - gin.query_parameter("JaxDQNAgent.min_replay_history"))
    fractions = [float(budget.fraction(step)) for step in (0, updates / 2, updates - 1, updates)]
    assert fractions[:2] == pytest.approx([0.1, 0.1 * 2**-0.5])
    assert fractions[2] > 0 == fractions[3]


@pytest.mark.parametrize("size", [32, 64, 256, 1_024])
def test_the_one_score_batch_of_figure_24_is_that_of_redo_and_of_the_records(size):
    load("fig24.gin", f"SCORE_BATCH = {size}")
    assert LearnerOptions().intervention.score_batch == size == Tracker().score_batch


def test_a_narrow_sac_of_table_6_has_a_quarter_and_half_the_width(construct):
    def neurons(name, *changes):
        state, _ = construct(name, *changes)
        kernels = [leaf for leaf in jax.tree.leaves(state.params) if leaf.ndim == 2]
        return {leaf.shape[1] for leaf in kernels if leaf.shape[1] > 20}

    assert neurons("sac.gin") == {256}
    assert neurons("tab6_sac.gin") == {64}
    assert neurons("tab6_sac.gin", "SACAgent.hidden_units = 128") == {128}


def test_the_effective_rank_of_table_7_is_not_bounded_by_its_batch():
    load("tab7_redo.gin")
    assert Tracker().score_batch > 512
    assert LearnerOptions().intervention.score_batch == 64


# Periods so short that everything happens within 40 agent steps; networks as small as gin allows.
SHORT = {
    "num_iterations": 1, "training_steps": 40, "evaluation_steps": 10, "max_steps_per_episode": 20,
}  # fmt: skip
SMALL = [
    "MaxEpisodeEvalRunner.num_eval_episodes = 1",
    "ReplayBuffer.batch_size = 4",
    "ReplayBuffer.max_capacity = 100",
    "PrioritizedSamplingDistribution.max_capacity = 100",
    "SACAgent.hidden_units = 32",
    "Tracker.tracking_period = 4",
    *(f"{name}.period = 4" for name in ("ReDo", "Reset", "FixedBudget", "Prune")),
]


@pytest.mark.slow
@every_file_of_its_own
def test_files_train_on_their_environment(name, tmp_path):
    load(name)
    agent = gin.get_bindings("create_dormant_runner")["agent"]
    kind = "ContinuousRunner" if "SAC" in agent.__name__ else "Runner"
    history = option_name(agent, "min_replay_history")
    sizes = [f"{kind}.{option} = {value}" for option, value in SHORT.items()]
    if gin.get_bindings("DormantDQNAgent").get("network") in ("nature", "impala"):
        sizes.append("DormantDQNAgent.width = 0.25")
    load(name, *SMALL, *sizes, f"{history} = 15")
    check()
    runner = create_runner(tmp_path)
    before = jax.tree.map(np.array, runner.agent.learner_state.params)
    runner.run_experiment()
    state = runner.agent.learner_state
    leaves = zip(jax.tree.leaves(before), jax.tree.leaves(state.params), strict=True)
    assert any((old != new).any() for old, new in leaves)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    updates = runner.agent.gradient_step
    assert updates >= 4
    run = read_run(tmp_path)
    assert [record.gradient_step for record in run.tracking] == [*range(4, updates + 1, 4)]
    interventions = state.intervention
    if not isinstance(interventions, dict):
        interventions = {"network": interventions} if interventions != () else {}
    for acted in interventions.values():
        assert int(acted.report.step) == updates // 4 * 4
