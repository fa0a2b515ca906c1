# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Seeds spread over eight devices, and over two processes, against one device."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dormant.runs.host_arrays import to_host
from dormant.vectorized import initialize_distributed, local_seeds, shard
from tests.vectorized.small_environments import keys, learner_factory, program

ROOT = Path(__file__).parents[2]
RUN = """
import jax, numpy as np
from dormant.runs.host_arrays import to_host
from dormant.vectorized import initialize_distributed, local_seeds, shard
from tests.learners.comparing import close
from tests.vectorized.small_environments import keys, learner_factory, program, run

def everything(of, seeds, only=slice(None)):
    rates = {"rate": np.linspace(1e-3, 1e-2, seeds).astype(np.float32)[only]}
    return run(of, keys(seeds)[only], 4, rates)
"""
EIGHT_DEVICES = """
jax.config.update("jax_num_cpu_devices", 8)
of = program(learner_factory(track=4, redo=3))
sharded = everything(shard(of), 16)
leaves = jax.tree.leaves(sharded[0].replay)
try:
    shard(of).init(keys(12))
except ValueError as error:
    assert "multiple of 8 seeds, the number of devices; got 12" in str(error)
else:
    raise AssertionError("12 seeds on 8 devices")
assert {len(leaf.sharding.device_set) for leaf in leaves} == {8}
assert sharded[0].learner.gradient_step.shape == ()
assert local_seeds(16) == list(range(16))
host, one_device = to_host(sharded), shard(of, jax.devices()[:1])
evaluated = to_host(shard(of).evaluate(sharded[0], 3))
# Two seeds at a time, as each of the eight devices has them: products of the same shapes.
for first in (0, 14):
    two = slice(first, first + 2)
    on_one = everything(one_device, 16, two)
    plain, of_one = to_host(on_one), to_host(one_device.evaluate(on_one[0], 3))
    for part in (1, 2):
        close(jax.tree.map(lambda values: values[two], host[part]), plain[part], rtol=1e-4)
    params = jax.tree.map(lambda values: values[two], host[0].learner.params)
    close(params, plain[0].learner.params, rtol=1e-4)
shard(of).advance(sharded[0], 4)
assert all(leaf.is_deleted() for leaf in leaves)
"""
TWO_PROCESSES = """
import sys
process, address = int(sys.argv[1]), sys.argv[2]
jax.config.update("jax_num_cpu_devices", 2)
initialize_distributed(address, 2, process)
assert (jax.process_index(), len(jax.devices()), len(jax.local_devices())) == (process, 4, 2)
of = program(learner_factory(track=4, redo=3))
results = to_host(everything(shard(of), 8))
mine = local_seeds(8)
assert mine == [[0, 1, 2, 3], [4, 5, 6, 7]][process]
# All eight seeds again, on one device of this process.
plain = to_host(everything(of, 8))
assert results[0].agent_step == plain[0].agent_step
assert results[0].learner.gradient_step == plain[0].learner.gradient_step
for part in (1, 2):
    wanted = jax.tree.map(lambda values: values[mine], plain[part])
    close(results[part], wanted, rtol=1e-3, atol=1e-5)
close(
    results[0].learner.params,
    jax.tree.map(lambda values: values[mine], plain[0].learner.params),
    rtol=1e-3,
    atol=1e-5,
)
"""


def start(program, *arguments):
    # With a thread per core XLA's several CPU devices can wait for each other without end.
    environment = os.environ | {"PJRT_NPROC": "64", "NPROC": "64"}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN + program, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output


@pytest.mark.slow
def test_eight_devices_do_what_one_does():
    finish(start(EIGHT_DEVICES))


@pytest.mark.slow
def test_two_processes_do_what_one_does():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    finish(*[start(TWO_PROCESSES, str(process), address) for process in (0, 1)])


def test_the_seeds_must_be_a_multiple_of_the_devices():
    class Device:
        """Stands for a second device: only the process of it is looked at."""

        process_index = 0

    with pytest.raises(ValueError, match="`number` must be a multiple of 2, .*; got 3"):
        local_seeds(3, [Device(), Device()])


def test_no_devices_are_refused():
    with pytest.raises(
        ValueError, match=r"`devices` must be None or hold at least one .*; got \[\]"
    ):
        shard(program(learner_factory()), [])


def test_to_host_gives_numpy_arrays():
    tree = to_host({"key": keys(2), "values": jax.numpy.arange(3)})
    assert all(type(leaf) is np.ndarray for leaf in tree.values())
    assert tree["key"].dtype == np.uint32


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("localhost:1", 2), "must be given all three, or none of them; got none for process_id"),
        (("localhost", 2, 0), "`coordinator_address` must be 'host:port'; got 'localhost'"),
        (("localhost:1", 0, 0), "`num_processes` must be a whole number >= 1; got 0"),
        (("localhost:1", 2, 2), "`process_id` must be below `num_processes`, 2; got 2"),
    ],
)
def test_wrong_places_among_the_processes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        initialize_distributed(*arguments)
