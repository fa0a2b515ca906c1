# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The experiments: all of the paper's, with files that exist, runs of their own and lengths."""

import ast
import dataclasses
import inspect
import itertools
import re
import shlex
from pathlib import Path

import pytest

import dormant.studies.runner
import dormant.vectorized.runner  # noqa: F401  (what the gin files name)
from dormant.records.experiment_file import PlannedRun
from dormant.report.scores import normalization
from dormant.reproduce import catalog
from dormant.reproduce.command_line import main
from dormant.reproduce.experiment_folder import identity
from dormant.reproduce.experiments import SCALES, STUDY, TRAIN, TRAIN_VECTORIZED, Variant
from dormant.reproduce.jobs import experiment_file, jobs, slug
from dormant.reproduce.listing import listing
from dormant.reproduce.methods import REDO, RESET, on_device
from dormant.runs import interventions
from dormant.runs.gin_files import parse_gin

ROOT = Path(__file__).resolve().parents[2]
NAMES = [experiment.name for experiment in catalog.EXPERIMENTS]
SCALED = [(name, scale) for name in NAMES for scale in SCALES]
FOLDER = Path("runs/x")
# Runs and agent steps of one as published, where the paper says both.
PUBLISHED = {
    "fig1": (4 * 17 * 5, 2_500_000),
    "fig3": (3 * 3, 100 * 100),
    "fig9": (2 * 17 * 5, 10_000_000),
    "fig14": (4 * 4 * 10, 1_000_000),
    "fig17": (26 * 10, 400_000),
    "tab6": (2 * 2 * 10, 1_000_000),
}


def test_every_figure_and_table_of_the_paper_is_listed():
    text = listing("paper", ROOT / "benchmarks" / "results")
    first_lines = " ".join(part.split(":")[0] for part in text.split("\n\n"))
    known = set(first_lines.replace(",", " ").split())
    assert known >= {*(f"fig{n}" for n in range(1, 26)), "tab6", "tab7"}
    assert "GPU-hours not measured" in text
    for scale in SCALES:
        assert "fig08" in listing(scale, ROOT / "benchmarks" / "results")


@pytest.mark.parametrize("name, scale", SCALED)
def test_its_gin_files_exist_and_no_two_runs_share_a_folder(name, scale):
    experiment = catalog.find(name)
    planned = jobs(experiment, scale, FOLDER)
    folders = [run.folder for job in planned for run in job.runs]
    assert len(set(folders)) == len(folders) > 0
    for job in planned:
        (gin_file,) = [word[12:] for word in job.arguments if word.startswith("--gin_files=")]
        assert (ROOT / "gin_configs" / gin_file).is_file()


def stated(gin_file):
    """A gin file's text after that of the files that it includes."""
    text = (ROOT / "gin_configs" / gin_file).read_text("utf-8")
    included = re.findall(r"^include '(.+)'", text, flags=re.MULTILINE)
    return "\n".join([*map(stated, included), re.sub(r"#.*", "", text)])


def stated_by(job):
    """The text of its gin file and of its bindings."""
    words = [word for word in job.arguments if word.startswith("--gin_")]
    files = [word[12:] for word in words if word.startswith("--gin_files=")]
    return "\n".join([*map(stated, files), *words])


@pytest.mark.parametrize("name, scale", SCALED)
def test_gin_knows_every_option_that_it_binds(name, scale):
    bound = {}  # {gin file: {option: a line that binds it}}
    for job in jobs(catalog.find(name), scale, FOLDER):
        if job.arguments[1] in (TRAIN_VECTORIZED, STUDY):  # the others need Dopamine
            (file,) = [word[12:] for word in job.arguments if word.startswith("--gin_files=")]
            lines = [word[15:] for word in job.arguments if word.startswith("--gin_bindings=")]
            bound.setdefault(file, {}).update({line.partition(" = ")[0]: line for line in lines})
    for file, lines in bound.items():
        parse_gin([file], list(lines.values()))


@pytest.mark.parametrize("name, scale", SCALED)
def test_it_states_how_adams_steps_are_counted(name, scale):
    """Nothing that it trains changes with a default."""
    for job in jobs(catalog.find(name), scale, FOLDER):
        text = stated_by(job)
        for intervention in re.findall(r"intervention = @(ReDo|Reset|FixedBudget)\(\)", text):
            assert f"{intervention}.adam_count = " in text


def test_side_by_side_all_that_draw_weights_anew_restart_adams_count():
    counts = {}
    for job in jobs(catalog.find("minatar_interventions"), "mini", FOLDER):
        text = stated_by(job)
        for name in re.findall(r"intervention = @(\w+)\(\)", text):
            parameters = inspect.signature(getattr(interventions, name)).parameters
            if "adam_count" in parameters:
                bound = re.findall(rf"{name}\.adam_count = '(\w+)'", text)
                counts[name] = (bound or [parameters["adam_count"].default])[-1]
    # It shrinks weights and keeps their moments.
    assert counts.pop("ShrinkAndPerturb") == "keep"
    assert counts.keys() >= {"ReDo", "Reset", "ReGraMa", "PartialResets"}
    assert set(counts.values()) == {"per_entry"}


@pytest.mark.parametrize("name", [name for name, scale in SCALED if scale == "paper"])
def test_what_the_paper_reports_is_of_a_cell_that_is_planned(name):
    experiment = catalog.find(name)
    planned = {
        (run.method, run.setting) for job in jobs(experiment, "paper", FOLDER) for run in job.runs
    }
    games = {run.game for job in jobs(experiment, "paper", FOLDER) for run in job.runs}
    for value in experiment.paper:
        assert (value.method, value.setting) in planned
        assert value.game is None or value.game in games
        of_network = value.measure.startswith("dormant_percent, ")
        shown = "dormant_percent_by_network" if of_network else value.measure
        assert shown in experiment.shows
    if experiment.paper and "iqm" in experiment.shows:
        assert all(normalization(game) is not None for game in games)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_scale_is_that_of_the_paper(name):
    runs = [run for job in jobs(catalog.find(name), "paper", FOLDER) for run in job.runs]
    assert (len(runs), runs[0].agent_steps) == PUBLISHED[name]


def test_figure_10_has_each_agents_own_games_seeds_and_replay_ratios():
    runs = [run for job in jobs(catalog.find("fig10"), "paper", FOLDER) for run in job.runs]
    assert len(runs) == 6 * 4 * 17 * 5 + 2 * 4 * 26 * 10
    drq = [run for run in runs if run.method == "DrQ(eps) + ReDo"]
    assert {run.value for run in drq} == {1, 2, 4, 8} and len({run.game for run in drq}) == 26
    low, high = (run.command for run in (drq[0], drq[-1]))
    assert "ReDo.tau = 0.025" in low and "ReDo.tau = 0.1" in high


def test_smoke_runs_stay_on_the_device_where_the_agent_can():
    planned = jobs(catalog.find("fig10"), "smoke", FOLDER)
    programs = {job.name.split("/")[0]: job.arguments[1] for job in planned}
    assert {name for name, program in programs.items() if program == TRAIN} == {
        name for name in programs if name.startswith(("resnet", "drq"))
    }


@pytest.mark.parametrize(
    "variant, said",
    [
        (Variant("DQN", "a.gin"), {}),
        (Variant("a", "a.gin", stated=RESET, bindings={"Reset.period": "500"}), RESET),
        (
            Variant("a", "a.gin", stated=REDO, bindings={"SCORE_BATCH": "32"}),
            {**REDO, "ReDo.score_batch": "32", "Tracker.score_batch": "32"},
        ),
        (
            Variant("a", "a.gin", stated={"JaxDQNAgent.update_horizon": "3"}),
            {"VectorizedDQN.update_horizon": "3"},
        ),
        (
            Variant("a", "a.gin", stated={"create_optimizer.learning_rate": "1.5625e-5"}),
            {"VectorizedDQN.learning_rate": "6.25e-05"},
        ),
        (
            Variant("a", "a.gin", bindings={"DormantDQNAgent.width": "4"}),
            {"VectorizedDQN.dense": "(128,)"},
        ),
        (Variant("a", "a.gin", stated={"DormantDQNAgent.network": "'impala'"}), None),
    ],
)
def test_a_smoke_run_on_the_device_is_a_translation_of_the_papers(variant, said):
    assert on_device(variant) == said


def test_a_method_that_the_device_cannot_play_keeps_those_beside_it_on_atari():
    planned = jobs(catalog.find("fig21"), "smoke", FOLDER)
    assert [job.gin_file for job in planned] == ["fig09_dqn.gin", "fig21.gin"]


def test_minatars_quickstart_is_whole_by_default_and_binds_nothing_but_its_four_settings():
    gin = pytest.importorskip("gin")
    pytest.importorskip("gymnax")
    from dormant.runs.gin_files import parse_gin
    from dormant.vectorized import agent, options  # noqa: F401 : they register what gin binds

    def bound(bindings):
        parse_gin(["vectorized/quickstart.gin"], bindings)
        text = gin.config_str()
        gin.clear_config()
        return text

    experiment = catalog.find("minatar_quickstart")
    planned = jobs(experiment, experiment.default_scale, FOLDER)
    assert [(run.seed, run.agent_steps) for run in planned[0].runs] == [
        (seed, 40_000) for seed in range(5)
    ]
    for job, (method, ratio) in zip(
        planned, itertools.product(("None", "@ReDo()"), (0.25, 2)), strict=True
    ):
        flags = [word.partition("=") for word in job.arguments]
        given = [value for name, _, value in flags if name == "--gin_bindings"]
        settings = {"replay_ratio": ratio, "intervention": method}
        alone = [f"LearnerOptions.{name} = {value}" for name, value in settings.items()]
        assert job.gin_file == "vectorized/quickstart.gin" and bound(given) == bound(alone)
    smoke = jobs(experiment, "smoke", FOLDER)
    assert 20 * sum(job.agent_steps for job in smoke) < sum(job.agent_steps for job in planned)


def test_the_quickstart_is_a_part_of_the_digits_sweep():
    experiment = catalog.find("quickstart")
    planned = jobs(experiment, experiment.default_scale, FOLDER)
    assert {(run.seed, run.agent_steps) for job in planned for run in job.runs} == {
        (seed, 22_400) for seed in range(5)
    }

    def bound(job):
        return {word for word in job.arguments if not word.startswith("--base_dir")}

    whole = [bound(job) for job in jobs(catalog.find("digits"), "mini", FOLDER)]
    assert all(bound(job) in whole for job in planned)


def test_an_alias_is_its_experiment():
    assert catalog.find("fig13") is catalog.find("fig1")
    assert catalog.find("fig20") is catalog.find("fig14")


def test_an_experiment_of_another_module_runs_by_module_and_name(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "adding" / "figure.md").read_text("utf-8")
    (tmp_path / "my_scores.py").write_text(page.split("```python\n")[1].split("```")[0], "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["my_scores:SCORES", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "--base_dir=runs/minatar_scores-smoke/" in said and "# 16 runs, " in said
    for name, problem in {
        "my_scores:NONE": "an Experiment in my_scores, which has SCORES; got 'my_scores:NONE'",
        "no_such_module:X": "must be of a module that can be imported; got 'no_such_module:X'",
        "..:X": "module:NAME as Python writes a module's name; got '..:X'",
    }.items():
        assert main([name, "--dry_run"]) == 2
        assert problem in capsys.readouterr().err
    ours = catalog.find("my_scores:SCORES")
    mini = dataclasses.replace(ours, families={"mini": ours.families["mini"]})
    assert not experiment_file(mini, "mini", jobs(mini, "mini", FOLDER), "c").reduced
    with pytest.raises(ValueError, match="one that minatar_scores has families of; got 'smoke'"):
        jobs(mini, "smoke", FOLDER)


def test_some_games_and_seeds_can_be_asked_for():
    planned = jobs(catalog.find("fig1"), "paper", FOLDER, seeds=2, games=["Pong"])
    runs = [run for job in planned for run in job.runs]
    assert {run.game for run in runs} == {"Pong"} and {run.seed for run in runs} == {0, 1}
    assert len(runs) == 4 * 2


def test_seeds_on_the_device_share_a_process_and_have_folders_of_their_own():
    job = jobs(catalog.find("minatar_prune"), "mini", FOLDER, seeds=3)[0]
    assert [run.folder for run in job.runs] == [f"{job.name}/seed_{k}" for k in range(3)]
    assert "--gin_bindings=VectorizedRun.seeds = 3" in job.arguments
    assert f"--base_dir=runs/x/{job.name}" in job.arguments
    assert job.agent_steps == 3 * 30_000


def test_a_smoke_run_is_compared_with_no_value_of_the_paper():
    experiment = catalog.find("fig1")
    for scale, expected in (("paper", 4), ("smoke", 0)):
        planned = jobs(experiment, scale, FOLDER)
        file = experiment_file(experiment, scale, planned, "")
        assert len(file.paper) == expected and file.baseline == "DQN"
        assert all(isinstance(run, PlannedRun) for run in file.runs)


def test_a_variant_is_left_out_of_a_scale_that_has_no_runs_of_its_family():
    on_atari, on_minatar = (
        {job.gin_file for job in jobs(catalog.find("fig4"), scale, FOLDER)}
        for scale in ("paper", "mini")
    )
    assert on_atari == {"studies/fig04_atari.gin"}
    assert on_minatar == {"studies/fig04.gin"}


def test_a_study_names_the_runs_of_its_game_and_seed_that_it_reads():
    planned = jobs(catalog.find("fig8"), "paper", FOLDER, 2, ["Asterix"])
    by_name = {job.name: job for job in planned}
    taught = by_name["trained_at_replay_ratio_1/Asterix/seed_1"]
    teacher, student = taught.needs
    assert (teacher, student) == (
        "teacher_dqn/Asterix/seed_1",
        "student_before_dqn_at_replay_ratio_1/Asterix/seed_1",
    )
    for option, need in (("teacher", teacher), ("student", student)):
        place = (FOLDER / need).as_posix()
        assert f'--gin_bindings=Distillation.{option}_run = "{place}"' in taught.arguments
        assert f"--base_dir={place}" in by_name[need].arguments and by_name[need].needs == ()
    assert by_name["fresh_network/Asterix/seed_0"].needs == ("teacher_dqn/Asterix/seed_0",)
    # It stays the same plan wherever its folder lies.
    elsewhere = jobs(catalog.find("fig8"), "paper", FOLDER / "x", 2, ["Asterix"])
    here, there = ([identity(job.runs[0]) for job in each] for each in (planned, elsewhere))
    assert here == there and planned != elsewhere


def test_a_command_names_the_data_set_and_the_plan_stays_the_same_elsewhere():
    from dormant.studies.dqn_replay import RUNS

    planned = jobs(catalog.find("fig4"), "paper", FOLDER, data=Path("/sets"))
    for job in planned:
        (run,) = job.runs
        assert '--gin_bindings=DQNReplay.folder = "/sets/dqn_replay"' in job.arguments
        part = f"{run.game}/{1 + run.seed % RUNS}/replay_logs"
        assert job.data == Path("/sets/dqn_replay", part)
    elsewhere = jobs(catalog.find("fig4"), "paper", FOLDER)
    assert elsewhere[0].data == Path("data/dqn_replay/DemonAttack/1/replay_logs")
    assert [identity(job.runs[0]) for job in planned] == [
        identity(job.runs[0]) for job in elsewhere
    ]
    synthetic = jobs(catalog.find("fig3"), "smoke", FOLDER)
    assert {job.data for job in synthetic} == {None}


@pytest.mark.parametrize("name", ["fig4", "fig8"])
def test_gin_values_are_escaped_wherever_they_come_from(name):
    """A folder's name may hold what ends a string in gin, and the shell's marks."""
    strange = Path("""it's "mine"\\n; $(x)""")
    planned = jobs(catalog.find(name), "paper", strange, data=strange, seeds=1)
    found = 0
    for job in planned:
        assert shlex.split(job.command)[1:] == list(job.arguments)
        for word in job.arguments:
            parameter, _, value = word.partition(" = ")
            if "mine" in value:
                assert ast.literal_eval(value).startswith(str(strange))
                assert "\n" not in value
                found += 1
    assert found
    moved = jobs(catalog.find(name), "paper", Path("elsewhere"), data=Path("data"), seeds=1)
    for before, after in zip(planned, moved, strict=True):
        assert [identity(run) for run in before.runs] == [identity(run) for run in after.runs]


def test_a_study_is_a_process_for_each_seed():
    planned = jobs(catalog.find("fig3"), "paper", FOLDER)
    assert {job.arguments[1] for job in planned} == {STUDY} and len(planned) == 9
    job = planned[4]
    (run,) = job.runs
    assert (run.folder, run.game, run.seed) == (job.name, "CIFAR-10", 1)
    assert job.name == "shuffled_labels/CIFAR-10/seed_1"
    assert f"--base_dir=runs/x/{run.folder}" in job.arguments
    assert "--gin_bindings=LearnerOptions.seed = 1" in job.arguments
    assert '--gin_bindings=Images.source = "CIFAR-10"' in job.arguments


@pytest.mark.parametrize(
    "name, problem",
    [
        ("fig99", "did you mean fig9"),
        ("minatar_replayratio", "did you mean minatar_replay_ratio"),
    ],
)
def test_what_cannot_be_run_says_why(name, problem):
    with pytest.raises(ValueError, match=problem):
        catalog.find(name)


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (("huge", FOLDER), "`--scale` must be one of 'paper', 'mini', 'smoke'; got 'huge'"),
        (("paper", FOLDER, 0), "`--seeds` must be a whole number >= 1; got 0"),
        (("paper", FOLDER, 1, ["pong"]), "`--games` must be one of .*'Pong'.*; got 'pong'"),
    ],
)
def test_a_selection_that_does_not_exist_is_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        jobs(catalog.find("fig1"), *arguments)


def test_a_folders_name_is_plain():
    assert slug("DQN + ReDo replay ratio 0.25") == "dqn_redo_replay_ratio_0.25"
    assert slug("DrQ(eps) ") == "drq_eps"


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_gin_knows_every_file_and_binding(scale):
    from dormant.agents import preflight
    from dormant.runs.gin_files import parse_gin
    from dormant.vectorized import agent, options  # noqa: F401 : they register what gin binds

    seen = set()
    for experiment in catalog.EXPERIMENTS:
        for job in jobs(experiment, scale, FOLDER, seeds=1):
            flags = [word.split("=", 1) for word in job.arguments if word.startswith("--gin")]
            files = [value for name, value in flags if name == "--gin_files"]
            bindings = [value for name, value in flags if name == "--gin_bindings"]
            # One game stands for all.
            key = (*files, *bindings[1:])
            if key in seen:
                continue
            seen.add(key)
            load = preflight.load_gin if job.arguments[1] == TRAIN else parse_gin
            load(files, bindings)
    assert len(seen) > 20


def test_a_part_of_an_experiment_says_what_it_lacks():
    experiment = catalog.find("fig1")
    for scale, seeds, games, said in (
        ("paper", None, (), ""),
        ("paper", 2, (), "2 of 5 seeds"),
        ("paper", None, ("Pong", "Asterix"), "2 of 17 games"),
        ("mini", None, (), "3 of 17 games, 2 of 5 seeds, 500,000 of 2,500,000 agent steps a run"),
    ):
        planned = jobs(experiment, scale, FOLDER, seeds, games)
        assert experiment_file(experiment, scale, planned, "c").reduced == said


def test_a_figure_is_found_by_the_name_of_its_page():
    assert catalog.find("fig06") is catalog.find("fig6")
    assert catalog.find("fig10").name == "fig10"
