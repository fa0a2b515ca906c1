# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The workflows: valid, with no more rights than they use, and with actions that cannot change."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RIGHTS = {"contents": "read"}
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8"))


def triggers(content):
    return content[True]  # YAML 1.1 reads `on` as a boolean


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_is_whole(path):
    text = path.read_text("utf-8")
    content = yaml.safe_load(text)
    assert content["name"] and triggers(content) and content["permissions"] == RIGHTS
    for name, job in content["jobs"].items():
        assert job["runs-on"] == "ubuntu-latest" and job["timeout-minutes"] <= 60, name
        needed = job.get("needs", [])
        assert {needed} if isinstance(needed, str) else set(needed) <= set(content["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            assert not re.search(r"\$\{\{ *github\.(event|head_ref)", step.get("run", "")), step
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert all(PINNED.fullmatch(action) and "# v" in version for action, version in used)


def test_an_action_has_one_version_everywhere():
    text = "\n".join(path.read_text("utf-8") for path in FILES)
    versions = set(re.findall(r"uses: ([\w-]+/[\w-]+)(@\S+ +# \S+)", text))
    assert len(versions) == len({action for action, _ in versions})


def test_the_release_is_made_by_a_tag_with_a_trusted_publisher():
    content = workflow("release")
    assert triggers(content)["push"] == {"tags": ["v*"]}
    jobs = content["jobs"]
    rights = {name: job.get("permissions") for name, job in jobs.items()}
    assert [name for name, each in rights.items() if each] == ["publish"]
    assert rights["publish"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert set(jobs["publish"]["needs"]) == {"build", "install"}
    assert jobs["install"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert "password" not in str(content) and "secrets" not in str(content)


def test_the_site_is_built_for_every_change_and_published_from_main_alone():
    content = workflow("docs")
    assert "pull_request" in triggers(content)
    build, publish = content["jobs"]["build"], content["jobs"]["publish"]
    assert "make docs" in str(build) and "permissions" not in build
    assert publish["if"] == "github.ref == 'refs/heads/main' && github.event_name != 'pull_request'"
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}


def test_make_docs_takes_every_warning_for_an_error():
    rule = (ROOT / "Makefile").read_text("utf-8").partition("\ndocs:")[2].partition("\n\n")[0]
    assert "-W" in rule.split() and "-n" in rule.split()
