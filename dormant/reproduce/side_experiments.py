"""What the paper trains otherwise than by acting: figures 3, 4 and 8. No agent acts as these runs
are recorded, so that their agent steps are gradient steps."""

from dormant.reproduce.experiments import STUDY, DataSet, Experiment, Family, Variant
from dormant.reproduce.families import PAIR, atari
from dormant.reproduce.methods import REDO, read_off

_FIGURE_3, _FIGURE_4, _FIGURE_8, _FIGURE_4_ATARI, _FIGURE_8_ATARI = (
    f"studies/fig{name}.gin" for name in ("03", "04", "08", "04_atari", "08_atari")
)
_ATARI = "Atari"  # the family of studies on the paper's games
_ATARI_STEPS = 2_500_000  # gradient steps, as many as an online run's of 40M frames
_FRESH = {"Distillation.student": "'fresh'"}
_IMAGES, _GAME = "Images.source", "VectorizedDQN.environment"
_CIFAR_10 = DataSet("Images.folder", "cifar-10-batches-bin", "data_batch_1.bin")
_DQN_REPLAY = DataSet("DQNReplay.folder", "dqn_replay", "{game}/{run}/replay_logs", runs=5)
DATA_PARAMETERS = tuple(data.parameter for data in (_CIFAR_10, _DQN_REPLAY))
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


def _fit(method: str, gin_file: str, **others) -> Variant:
    """A run whose agent steps are gradient steps."""
    return Variant(method, gin_file, replay_ratio=1, **others)


FIGURE_3 = Experiment(
    name="fig3",
    title="A classifier with fixed labels and with labels shuffled every 20 of 100 epochs"
    " (CIFAR-10; the smoke scale has a synthetic set)",
    expected="Dormant 10 to 2 %; with shuffled labels up to 30-40 %, a jump at each shuffle (read"
    " off the figure).",
    variants=(
        _fit("fixed labels", _FIGURE_3),
        _fit("shuffled labels", _FIGURE_3, bindings={"Supervised.labels": "'shuffled'"}),
        _fit(
            "shuffled labels + ReDo",
            _FIGURE_3,
            bindings={"Supervised.labels": "'shuffled'", **REDO},
        ),
    ),
    scales={
        "paper": {"": Family(STUDY, _IMAGES, ("CIFAR-10",), 3, 10_000, {}, "images", _CIFAR_10)},
        "mini": {
            "": Family(
                STUDY, _IMAGES, ("CIFAR-10",), 2, 2_500, _SHORTER_IMAGES, "images", _CIFAR_10
            )
        },
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
    title="DQN on fixed data, its targets synced or random for good (mini and smoke: on MinAtar in"
    " place of Atari's DQN replay data)",
    expected="DemonAttack 20 to 33 %, with random targets 22; Asterix 10 to 50, 20 (read off).",
    variants=tuple(
        _fit(method, gin_file, bindings=bindings, family=family)
        for gin_file, family in ((_FIGURE_4, ""), (_FIGURE_4_ATARI, _ATARI))
        for method, bindings in (
            ("offline DQN", {}),
            ("offline DQN, random targets", {"OfflineDQN.targets": "'random'"}),
        )
    ),
    scales={
        "paper": {
            _ATARI: Family(STUDY, "Atari.game", PAIR, 5, _ATARI_STEPS, {}, "offline", _DQN_REPLAY)
        },
        **_device(50_000, _SMOKE_DATA),
    },
    shows=("dormant_percent", "return"),
    paper=tuple(
        value
        for game, periodic, random in (("DemonAttack", 33, 22), ("Asterix", 50, 20))
        for value in read_off(
            "figure 4",
            "dormant_percent",
            {("offline DQN", ""): periodic, ("offline DQN, random targets", ""): random},
            game,
        )
    ),
)
_TEACHER, _STUDENT = "teacher: DQN", "student before: DQN at replay ratio 1"
FIGURE_8 = Experiment(
    name="fig8",
    title="A DQN distilled into a network trained at replay ratio 1 and into a fresh one (mini and"
    " smoke: on MinAtar in place of Atari)",
    expected="The first gets worse and its dormant % climbs; the second improves.",
    variants=(
        Variant(_TEACHER, "fig09_dqn.gin", family="teacher"),
        Variant(
            _STUDENT,
            "fig07.gin",
            bindings={"LearnerOptions.replay_ratio": "1"},
            family="student",
            replay_ratio=1,
        ),
        _fit("trained at replay ratio 1", _FIGURE_8),
        _fit("fresh network", _FIGURE_8, bindings=_FRESH),
        _fit(
            "trained at replay ratio 1",
            _FIGURE_8_ATARI,
            family=_ATARI,
            reads={"Distillation.teacher_run": _TEACHER, "Distillation.student_run": _STUDENT},
        ),
        _fit(
            "fresh network",
            _FIGURE_8_ATARI,
            bindings=_FRESH,
            family=_ATARI,
            reads={"Distillation.teacher_run": _TEACHER},
        ),
    ),
    scales={
        "paper": {
            "teacher": atari(40, PAIR)["paper"],
            "student": atari(10, PAIR)["paper"],
            _ATARI: Family(STUDY, "Atari.game", PAIR, 5, _ATARI_STEPS, {}, "distillation"),
        },
        **_device(25_000, _SMOKE_LESSON),
    },
    shows=("return", "dormant_percent"),
    baseline="trained at replay ratio 1",
)

EXPERIMENTS = (FIGURE_3, FIGURE_4, FIGURE_8)
