"""The walls between the floors of the package: each imports only from those under it.
The core and the learners must work where neither Dopamine nor TensorFlow is installed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dormant

PACKAGE = Path(dormant.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

DOPAMINE_FAMILY = frozenset(
    "absl ale_py dopamine gin gym gymnasium tensorboard tensorflow tensorflow_probability tf_keras"
    " tqdm".split()
)
ABSENT_FROM_THE_CORE = DOPAMINE_FAMILY - {"absl"} | {"chex", "haiku", "matplotlib"}
ENTRY_POINTS = ("train", "study")
RUN_PACKAGES = frozenset({"absl", "gin", "tqdm"})
CORE_PACKAGES = frozenset({"jax", "flax", "optax", "numpy"})

# What a file may import, by where it stands, the first that fits. The value: the packages that it
# may import besides the standard library, and the parts of dormant ("" is the core).
FLOORS = {
    "agents/": (
        CORE_PACKAGES | DOPAMINE_FAMILY | {"cv2", "minatar", "mujoco", "orbax"},
        {"", "learners", "replay", "runs", "agents"},
    ),
    "train.py": (CORE_PACKAGES | DOPAMINE_FAMILY, {"", "learners", "replay", "runs", "agents"}),
    "train_vectorized.py": (CORE_PACKAGES | RUN_PACKAGES, {"", "learners", "vectorized", "runs"}),
    "study.py": (
        CORE_PACKAGES | RUN_PACKAGES,
        {"", "learners", "replay", "vectorized", "runs", "studies"},
    ),
    "studies/": (
        CORE_PACKAGES | RUN_PACKAGES,
        {"", "learners", "replay", "vectorized", "runs", "studies"},
    ),
    "runs/atari_games.py": ({"ale_py", "gymnasium"}, {"runs"}),
    "runs/": (CORE_PACKAGES | RUN_PACKAGES, {"", "learners", "vectorized", "runs"}),
    "reproduce/": ({"tqdm"}, {"", "evaluation", "reproduce"}),
    "report/": ({"numpy", "matplotlib", "plotly"}, {"", "evaluation", "report"}),
    "evaluation/plots": ({"numpy", "matplotlib"}, {"", "evaluation"}),
    "evaluation/style.py": ({"numpy", "matplotlib"}, {"", "evaluation"}),
    "evaluation/statistics.py": ({"numpy", "scipy", "rliable"}, {"", "evaluation"}),
    "evaluation/": ({"numpy", "scipy"}, {"", "evaluation"}),
    "learners/": (CORE_PACKAGES, {"", "learners"}),
    "replay/": ({"numpy"}, {"learners", "replay"}),
    "vectorized/": (CORE_PACKAGES | {"gymnax"}, {"", "learners", "vectorized"}),
    "": (CORE_PACKAGES, {""}),
}

BLOCKED_IMPORT = """
import importlib.abc, sys

class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("blocked: " + name, name=name)

sys.meta_path.insert(0, Wall())
import {module}
"""

LOADED_BY_IMPORT = """
import sys
import {module}
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def python(program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line, dotted name) of every import in a file, also within functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}"


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def part_of_dormant(name: str) -> str:
    """The folder of `dormant.folder.…`, the name of an entry point, "" for the core."""
    part = name.split(".")[1] if "." in name else ""
    return part if (PACKAGE / part).is_dir() or part.startswith(ENTRY_POINTS) else ""


@pytest.mark.parametrize(
    "module", ["dormant", "dormant.learners", "dormant.replay", "dormant.vectorized"]
)
def test_the_lower_floors_work_without_the_packages_of_the_upper_ones(module):
    python(BLOCKED_IMPORT.format(blocked=set(ABSENT_FROM_THE_CORE), module=module))


@pytest.mark.parametrize(
    "module", ["dormant", "dormant.learners", "dormant.replay", "dormant.vectorized"]
)
def test_importing_the_lower_floors_loads_nothing_heavy(module):
    loaded = set(python(LOADED_BY_IMPORT.format(module=module)).split())
    assert "jax" in loaded
    assert not loaded & (ABSENT_FROM_THE_CORE | {"orbax", "pandas"})


def test_runs_on_the_device_need_neither_dopamine_nor_tensorflow():
    absent = DOPAMINE_FAMILY - {"absl", "gin", "gym", "gymnasium", "tqdm"}
    module = "dormant.train_vectorized, dormant.runs.vectorized_runner, dormant.evaluation.seeds"
    python(BLOCKED_IMPORT.format(blocked=set(absent), module=module))
    studies = ", ".join(f"dormant.studies.{path.stem}" for path in PACKAGE.glob("studies/*.py"))
    module = f"dormant.study, {studies.replace('.__init__', '')}"
    python(BLOCKED_IMPORT.format(blocked=set(absent), module=module))


def test_the_wall_would_notice_a_blocked_package():
    program = BLOCKED_IMPORT.format(blocked={"jax"}, module="dormant")
    with pytest.raises(AssertionError, match="blocked: jax"):
        python(program)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_from_the_floors_under_it(path):
    packages, parts = next(
        allowed for place, allowed in FLOORS.items() if relative(path).startswith(place)
    )
    for line, name in imported(path):
        top = name.partition(".")[0]
        if top == "dormant":
            assert part_of_dormant(name) in parts, f"{relative(path)}:{line} imports {name}"
        else:
            known = top in sys.stdlib_module_names or top in packages
            assert known, f"{relative(path)}:{line} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_file_uses_what_jax_keeps_to_itself(path):
    private = [f"{line}: {name}" for line, name in imported(path) if name.startswith("jax._src")]
    assert not private, f"{relative(path)} {private}"
    assert "jax._src" not in path.read_text("utf-8")
