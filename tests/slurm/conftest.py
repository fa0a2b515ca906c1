# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Slurm that all tests here share."""

import pytest

from tests.slurm.cluster import Cluster, Unavailable, free_ports, unpack


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    try:
        root = unpack(folder / "packages")
    except Unavailable as error:
        pytest.skip(str(error))
    with Cluster(root, folder / "cluster", free_ports(3)) as cluster:
        yield cluster
