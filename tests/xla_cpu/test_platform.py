# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What decides whether a program is compiled for a CPU: its devices, else JAX's default one."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from dormant.vectorized import MinAtarCNN
from dormant.xla_cpu import is_cpu

GPU = SimpleNamespace(platform="gpu")


def test_the_devices_decide_where_they_are_told():
    assert is_cpu(jax.devices("cpu")) and not is_cpu([GPU])


def test_else_the_default_device_decides(monkeypatch):
    cpu = jax.devices("cpu")[0]
    monkeypatch.setattr(jax, "devices", lambda: [GPU])
    assert not is_cpu()
    with jax.default_device(cpu):
        assert is_cpu()


@pytest.mark.parametrize(("on_cpu", "convolutions"), [(True, 0), (False, 1)])
def test_a_network_computes_for_the_platform_that_it_is_told(on_cpu, convolutions):
    network, observation = MinAtarCNN(3, on_cpu=on_cpu), jnp.zeros((10, 10, 4))
    params = jax.eval_shape(network.init, jax.random.key(0), observation)
    program = str(jax.make_jaxpr(network.apply)(params, observation))
    assert program.count("conv_general_dilated[") == convolutions
