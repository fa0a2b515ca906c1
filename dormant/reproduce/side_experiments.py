"""What the paper trains otherwise than by acting: figures 3, 4 and 8. No agent acts as these runs
are recorded, so that their agent steps are gradient steps."""

from dormant.reproduce.experiments import STUDY, Experiment, Family, Variant
from dormant.reproduce.methods import REDO, read_off

_FIGURE_3, _FIGURE_4, _FIGURE_8 = (f"gin_configs/studies/fig{n}.gin" for n in ("03", "04", "08"))
_IMAGES, _GAME = "Images.source", "VectorizedDQN.environment"
_GAMES = ("Asterix-MinAtar", "Breakout-MinAtar", "SpaceInvaders-MinAtar")

# A synthetic set in place of CIFAR-10, which does not come with this package.
_SMOKE_IMAGES = {
    "Images.count": "2_000",
    "Supervised.network": "'mlp'",
    "Supervised.dense": "(128, 128)",
    "Supervised.shuffle_every": "10",
    "StudyRun.num_iterations": "20",
    "StudyRun.training_steps": "40",
    "Tracker.tracking_period": "20",
    "ReDo.period": "20",
}
_SHORTER_IMAGES = {"Supervised.shuffle_every": "5", "StudyRun.num_iterations": "25"}
_SMOKE_DEVICE = {
    "VectorizedDQN.dense": "(32,)",
    "VectorizedDQN.min_replay_history": "200",
    "VectorizedDQN.target_update_period": "200",
    "StudyRun.num_iterations": "2",
    "StudyRun.training_steps": "500",
    "Tracker.tracking_period": "100",
    "ReDo.period": "100",
}
_SMOKE_DATA = {**_SMOKE_DEVICE, "OfflineDQN.data_steps": "2_000"}
_SMOKE_LESSON = {
    **_SMOKE_DEVICE,
    "Distillation.teacher_steps": "2_000",
    "Distillation.student_steps": "2_000",
}


def _device(gradient_steps: int, smoke: dict[str, str]) -> dict[str, dict[str, Family]]:
    """What there is without the paper's own data: three seeds on MinAtar, and a run of seconds."""
    return {
        "mini": {"": Family(STUDY, _GAME, _GAMES, 3, gradient_steps)},
        "smoke": {"": Family(STUDY, _GAME, _GAMES[1:2], 1, 1_000, smoke)},
    }


FIGURE_3 = Experiment(
    name="fig3",
    title="A classifier with fixed labels and with labels shuffled every 20 of 100 epochs"
    " (CIFAR-10; the smoke scale has a synthetic set)",
    expected="Dormant 10 to 2 %; with shuffled labels up to 30-40 %, a jump at each shuffle (read"
    " off the figure).",
    variants=(
        Variant("fixed labels", _FIGURE_3),
        Variant("shuffled labels", _FIGURE_3, bindings={"Supervised.labels": "'shuffled'"}),
        Variant(
            "shuffled labels + ReDo",
            _FIGURE_3,
            bindings={"Supervised.labels": "'shuffled'", **REDO},
        ),
    ),
    scales={
        "paper": {"": Family(STUDY, _IMAGES, ("CIFAR-10",), 3, 10_000)},
        "mini": {"": Family(STUDY, _IMAGES, ("CIFAR-10",), 2, 2_500, _SHORTER_IMAGES)},
        "smoke": {"": Family(STUDY, _IMAGES, ("synthetic",), 1, 800, _SMOKE_IMAGES)},
    },
    shows=("dormant_percent",),
    baseline="fixed labels",
    paper=read_off(
        "figure 3",
        "dormant_percent",
        # Of 30 to 40 % the middle.
        {("fixed labels", ""): 2, ("shuffled labels", ""): 35},
        "CIFAR-10",
    ),
)
FIGURE_4 = Experiment(
    name="fig4",
    title="DQN on fixed data, its targets synced or random for good (MinAtar in place of Atari's"
    " DQN replay data)",
    expected="DemonAttack 20 to 33 %, with random targets 22; Asterix 10 to 50, 20 (read off).",
    variants=(
        Variant("offline DQN", _FIGURE_4),
        Variant(
            "offline DQN, random targets", _FIGURE_4, bindings={"OfflineDQN.targets": "'random'"}
        ),
    ),
    scales=_device(50_000, _SMOKE_DATA),
    shows=("dormant_percent", "return"),
    missing={
        "paper": "there is no reader of the DQN replay data set of Atari, 50M frames for each game;"
        " --scale=mini has DQN's own data on MinAtar",
    },
)
FIGURE_8 = Experiment(
    name="fig8",
    title="A DQN distilled into a network trained at replay ratio 1 and into a fresh one (MinAtar"
    " in place of Atari)",
    expected="The first gets worse and its dormant % climbs; the second improves.",
    variants=(
        Variant("trained at replay ratio 1", _FIGURE_8),
        Variant("fresh network", _FIGURE_8, bindings={"Distillation.student": "'fresh'"}),
    ),
    scales=_device(25_000, _SMOKE_LESSON),
    shows=("return", "dormant_percent"),
    missing={
        "paper": "distillation does not run on Atari; --scale=mini does it on MinAtar",
    },
)

EXPERIMENTS = (FIGURE_3, FIGURE_4, FIGURE_8)
