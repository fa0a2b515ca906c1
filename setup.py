# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Package metadata of dormant: what it is, and the version ranges it was tested with.
The exact set that CI installs is pinned in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION_FILE = ROOT / "dormant" / "version.py"
README = ROOT / "README.md"
# Where the repository is. What else names it, tests/docs holds against this line.
REPOSITORY = "https://github.com/OWNER/dormant"

# The floors are what CI's oldest job installs; its newest job runs the newest below the ceilings.
CORE = [
    "jax>=0.8.0,<0.13",
    "flax>=0.12.0,<0.13",
    "optax>=0.2.7,<0.3",
    "numpy>=2.0,<3",
]
ATARI = [
    "ale-py>=0.12.1,<0.13",
    "gymnasium>=1.3.0,<1.4",
]
TENSORBOARD = ["tensorboard>=2.21,<2.22"]
DOPAMINE = [
    *ATARI,
    "dopamine-rl==4.1.2",
    "jax>=0.10.2,<0.11",  # tensorflow-probability needs a shim that holds for this JAX
    "tensorflow>=2.21,<2.22",
    *TENSORBOARD,  # flax.metrics.tensorboard needs it; TensorFlow no longer brings it
    "gin-config>=0.5.0,<0.6",
    "tqdm>=4.64.1,<5",
    "matplotlib>=3.11,<4",
    "scipy>=1.13,<2",
]
MUJOCO = [
    "mujoco>=3.17,<4",  # 4.0 changes the trajectories of Ant
    "imageio>=2.38,<3",  # Gymnasium's MuJoCo environments import it
]
MINATAR = ["MinAtar>=1.0.15,<2", "pandas<3"]
VECTORIZED = [
    "gymnax>=1.0.1,<2",  # an older one would be taken silently, and does not run; needs JAX <0.12
    "six>=1.16,<2",  # gymnax imports it and does not say so
    "gin-config>=0.5.0,<0.6",
    "absl-py>=2.3,<3",
    "tqdm>=4.64.1,<5",
    "matplotlib>=3.11,<4",
    "scipy>=1.13,<2",
]
REPORT = [
    "plotly>=7.1,<8",
    "matplotlib>=3.11,<4",
    "tqdm>=4.64.1,<5",
]
PROBE = ["safetensors>=0.5,<0.9"]  # to read files of it; the probe's other formats need nothing
DIGITS = [
    "scikit-learn>=1.6,<2",  # whose package holds real images
]
RAY = ["ray>=2.60,<2.61"]  # docs/ray.md says what was tried with it
TPU = ["jax[tpu]>=0.8.0,<0.13"]  # with libtpu, which compiles for TPUs on any machine
DEV = [
    "rliable>=1.2.0,<2",  # the report's intervals are held against its own
    "pandas<3",  # with pandas 3 rliable does not import
    "pytest>=8.4,<10",
    "pytest-xdist>=3.8,<4",
    "hypothesis>=6.150,<7",
    "ruff>=0.14,<1",
    "mypy>=2.4,<3",
    "dm-haiku>=0.0.16,<0.1",
    "equinox>=0.13.8,<0.14",
    "kubernetes-validate>=1.34,<2",  # the manifests are held against Kubernetes' own schemas
    *PROBE,  # written and read back
    "playwright>=1.65,<2",  # the report page is opened in a Chromium that the machine has
]
DOCS = [
    "sphinx>=8.2,<10",
    "furo>=2025.12.19",
    "myst-nb>=1.4,<2",  # runs the notebooks
    "sphinx-copybutton>=0.5.2,<1",
    "matplotlib>=3.11,<4",
    "pandas<3",
]
RELEASE = [
    "build>=1.4,<2",
    "twine>=7,<8",
]
# {package in the wheel: (its folder here, its files)}; dormant/data_files.py finds them.
DATA = {
    "dormant.gin_configs": ("gin_configs", ["*.gin", "*/*.gin"]),
    "dormant.benchmarks.results": ("benchmarks/results", ["runs-*.json"]),
}


def read_version() -> str:
    """Returns __version__ without importing the package, whose requirements are not there yet."""
    match = re.search(r'^__version__ = "([^"]+)"$', VERSION_FILE.read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"__version__ not found in {VERSION_FILE}")
    return match.group(1)


def long_description() -> str:
    """Returns the README, whose relative links lead to the repository: PyPI has no files."""
    text = README.read_text("utf-8") if README.exists() else ""
    link = re.compile(r"(!?)(\[[^\]]*\])\((?!\w+:|#)([^)\s]+)\)")

    def absolute(match: re.Match[str]) -> str:
        kind = "raw" if match[1] else "blob"
        return f"{match[1]}{match[2]}({REPOSITORY}/{kind}/main/{match[3]})"

    return link.sub(absolute, text)


setup(
    name="dormant",
    version=read_version(),
    description="Measure and recycle dormant neurons in JAX networks, and reproduce ReDo",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author="The dormant developers",
    url=REPOSITORY,
    project_urls={
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
        "Paper": "https://arxiv.org/abs/2302.12902",
    },
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=[*find_packages(include=["dormant", "dormant.*"]), *DATA],
    package_dir={package: folder for package, (folder, _) in DATA.items()},
    package_data={
        "dormant": ["py.typed"],
        "dormant.report": ["assets/*", "data/*"],
        "dormant.reproduce": ["engines/*.sh"],
        **{package: patterns for package, (_, patterns) in DATA.items()},
    },
    entry_points={"console_scripts": ["dormant = dormant.__main__:main"]},
    install_requires=CORE,
    extras_require={
        "atari": ATARI,
        "dopamine": DOPAMINE,
        "mujoco": MUJOCO,
        "minatar": MINATAR,
        "vectorized": VECTORIZED,
        "probe": PROBE,
        "report": REPORT,
        "tensorboard": TENSORBOARD,
        "digits": DIGITS,
        "ray": RAY,
        "tpu": TPU,
        "dev": DEV,
        "docs": DOCS,
        "release": RELEASE,
        "all": DOPAMINE + MUJOCO + MINATAR + VECTORIZED + REPORT + DIGITS + DEV + DOCS,
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
