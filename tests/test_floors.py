# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The walls between the rooms of the package: each imports only from those under it.
The core and the learners must work where neither Dopamine nor TensorFlow is installed."""

import ast
import graphlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dormant
from dormant import layers, learners, regularizers, replay, vectorized

PACKAGE = Path(dormant.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

DOPAMINE_FAMILY = frozenset(
    "absl ale_py dopamine gin gym gymnasium tensorboard tensorflow tensorflow_probability tf_keras"
    " tqdm".split()
)
ABSENT_FROM_THE_CORE = DOPAMINE_FAMILY - {"absl"} | {"chex", "haiku", "matplotlib"}
RUN_PACKAGES = frozenset({"absl", "gin", "tqdm"})
CORE_PACKAGES = frozenset({"jax", "flax", "optax", "numpy"})

# Every room, from the ground up, with the rooms under it that it may import from and the packages
# that it may import besides the standard library. The "face" is `dormant` itself, the names that
# users import from it; the "commands" are what `python -m dormant.…` runs.
ROOMS = {
    "ground": ((), CORE_PACKAGES),
    "tracing": (("ground",), CORE_PACKAGES),
    "measures": (("ground",), CORE_PACKAGES),
    "interventions": (("ground", "measures"), CORE_PACKAGES),
    "layers": (("ground",), CORE_PACKAGES),
    "regularizers": (("ground", "interventions"), CORE_PACKAGES),
    "face": (
        ("ground", "tracing", "measures", "interventions", "layers", "regularizers"),
        CORE_PACKAGES,
    ),
    "xla_cpu": (("ground", "tracing"), CORE_PACKAGES),
    "records": (("ground", "measures"), {"jax", "numpy"}),
    "learners": (("ground", "interventions"), CORE_PACKAGES),
    "replay": (("ground", "learners"), {"numpy"}),
    "runs": (
        (
            *("ground", "measures", "interventions", "regularizers", "face", "records"),
            "learners",
        ),
        CORE_PACKAGES | RUN_PACKAGES | {"ale_py", "gymnasium"},
    ),
    "vectorized": (
        (
            *("ground", "interventions", "layers", "regularizers", "face", "xla_cpu", "records"),
            *("learners", "runs"),
        ),
        CORE_PACKAGES | {"gin", "gymnax"},
    ),
    "studies": (
        (
            *("ground", "interventions", "face", "xla_cpu", "records", "learners", "replay"),
            *("runs", "vectorized"),
        ),
        CORE_PACKAGES | RUN_PACKAGES | {"sklearn"},
    ),
    "agents": (
        ("ground", "interventions", "face", "xla_cpu", "records", "learners", "replay", "runs"),
        CORE_PACKAGES | DOPAMINE_FAMILY | {"cv2", "minatar", "mujoco", "orbax"},
    ),
    "reproduce": (("ground", "records"), {"ray", "tqdm"}),
    "report": (
        ("ground", "measures", "interventions", "records", "reproduce"),
        {"numpy", "matplotlib", "plotly", "tensorboard"},
    ),
    "probe": (
        (
            *("ground", "measures", "interventions", "face", "records", "learners", "replay"),
            *("runs", "vectorized", "report"),
        ),
        CORE_PACKAGES | {"orbax", "safetensors"},
    ),
    "commands": (
        ("ground", "face", "replay", "runs", "vectorized", "studies", "agents"),
        CORE_PACKAGES | RUN_PACKAGES | {"tensorflow"},
    ),
}
COMMANDS = ("train", "train_vectorized", "study", "__main__")
GROUND = (
    "graph",
    "checks",
    "command_parser",
    "hardware",
    "memory",
    "data_files",
    "interruption",
    "primitives",
    "version",
)
# The only files of a run on the device that know gin; the rest are pure functions.
KNOW_GIN = ("vectorized/agent.py", "vectorized/options.py", "vectorized/runner.py")

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


def room_of(path: Path) -> str:
    """The room that a file of the package stands in."""
    return room_of_name(".".join(["dormant", *path.relative_to(PACKAGE).with_suffix("").parts]))


def room_of_name(name: str) -> str:
    """The room of the dotted name of a module, or of something in it."""
    part = (name.split(".") + [""])[1]
    if part in GROUND:
        return "ground"
    if part in COMMANDS:
        return "commands"
    return part if part in ROOMS else "face"


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
    module = "dormant.train_vectorized, dormant.vectorized.runner, dormant.records.reading"
    python(BLOCKED_IMPORT.format(blocked=set(absent), module=module))
    studies = ", ".join(f"dormant.studies.{path.stem}" for path in PACKAGE.glob("studies/*.py"))
    module = f"dormant.study, {studies.replace('.__init__', '')}"
    python(BLOCKED_IMPORT.format(blocked=set(absent), module=module))


def test_the_wall_would_notice_a_blocked_package():
    program = BLOCKED_IMPORT.format(blocked={"jax"}, module="dormant")
    with pytest.raises(AssertionError, match="blocked: jax"):
        python(program)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_from_the_rooms_under_it(path):
    room = room_of(path)
    rooms, packages = ROOMS[room]
    for line, name in imported(path):
        top = name.partition(".")[0]
        if top == "dormant":
            found = room_of_name(name)
            assert found == room or found in rooms, f"{relative(path)}:{line} imports {name}"
        else:
            known = top in sys.stdlib_module_names or top in packages
            assert known, f"{relative(path)}:{line} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("vectorized/*.py")), ids=relative)
def test_a_program_on_the_device_knows_no_gin(path):
    known = any(name.partition(".")[0] == "gin" for _, name in imported(path))
    assert known <= (relative(path) in KNOW_GIN)


def test_every_room_stands_above_all_that_it_imports_from():
    order = list(ROOMS)
    for room, (rooms, _) in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in rooms)
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(ROOMS) - {"ground", "face", "commands"}


def test_no_two_files_import_each_other():
    modules = {
        ".".join(["dormant", *path.relative_to(PACKAGE).with_suffix("").parts]): path
        for path in FILES
    }
    reads = {}
    for module, path in modules.items():
        names = {name for _, name in imported(path)}
        found = {name if name in modules else name.rpartition(".")[0] for name in names}
        reads[module] = (found & set(modules)) - {module}
    while reads:
        leaves = {module for module, found in reads.items() if not found & set(reads)}
        assert leaves, f"a circle among {sorted(reads)}"
        reads = {module: found for module, found in reads.items() if module not in leaves}


def test_the_house_has_at_most_ten_floors():
    """A floor stands above all that it imports from; folders, and files of the root, are rooms."""
    reads = {}
    for path in FILES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        names = {name.split(".")[1] for _, name in imported(path) if name.startswith("dormant.")}
        # `from dormant import learners` reads that room, `from dormant import trace` the face.
        rooms = {name if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() else
                 "__init__" for name in names}  # fmt: skip
        imports_face = any(name == "dormant" for _, name in imported(path))
        rooms |= {"__init__"} if imports_face and room != "__init__" else set()
        reads[room] = reads.get(room, set()) | rooms - {room}
    floor: dict[str, int] = {}
    for room in graphlib.TopologicalSorter(reads).static_order():  # an error where rooms go round
        floor[room] = 1 + max((floor[other] for other in reads[room]), default=0)
    assert max(floor.values()) <= 10


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=relative)
def test_no_module_is_shadowed_by_what_its_package_exports(path):
    dotted = ".".join(["dormant", *path.relative_to(PACKAGE).parent.parts])
    if room_of(path) in ("agents",):
        pytest.importorskip("dopamine", reason="the agents' package imports Dopamine")
    package = __import__(dotted, fromlist=["__all__"])
    names = {each.stem for each in path.parent.glob("*.py")} - {"__init__", "__main__"}
    shadowed = {name for name in names if not inspect.ismodule(getattr(package, name, inspect))}
    assert not shadowed


def test_the_face_of_the_package_is_small():
    # Besides its rooms, such as `dormant.parts`, which hold the rest.
    rooms = [name for name in dormant.__all__ if inspect.ismodule(getattr(dormant, name, None))]
    assert len(dormant.__all__) - len(rooms) <= 30
    assert all(hasattr(dormant, name) for name in dormant.__all__)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_file_uses_what_jax_keeps_to_itself(path):
    private = [f"{line}: {name}" for line, name in imported(path) if name.startswith("jax._src")]
    assert not private, f"{relative(path)} {private}"
    assert "jax._src" not in path.read_text("utf-8")


def public_functions() -> Iterator[tuple[str, Callable]]:
    faces = (dormant, dormant.measures, layers, dormant.parts, regularizers)
    for module in (*faces, learners, replay, vectorized):
        for name in module.__all__:
            if inspect.isfunction(getattr(module, name)):
                yield f"{module.__name__}.{name}", getattr(module, name)


def test_no_public_function_takes_more_than_eight_parameters():
    counts = {name: len(inspect.signature(each).parameters) for name, each in public_functions()}
    assert {"dormant.redo", "dormant.parts.recycling", "dormant.learners.sac"} <= counts.keys()
    assert {name: count for name, count in counts.items() if count > 8} == {}
