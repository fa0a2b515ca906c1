# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Properties that hold for every network: hypothesis draws architectures and silent neurons.
Silent neurons are made by hand, and which layers can be recycled is known from the construction."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import dormant

EXAMPLES = 16
KEY = jax.random.key(11)
BATCH, ACTIONS = 3, 3
DRAWN = 2048  # more than any drawn network has parameters
SGD = optax.sgd(0.1)

# Without shrinking: networks are small already, and every attempt would compile again.
drawn = functools.partial(
    settings,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# All of them map 0 to 0; the first two also map every negative number to 0.
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
    "leaky": lambda x: jax.nn.leaky_relu(x, 0.01),
    "elu": jax.nn.elu,
    "tanh": jnp.tanh,
    "swish": jax.nn.swish,
}


@jax.jit
def uniform(key):
    """One compilation for every architecture; exact, so that every program draws the same bits."""
    return jax.random.uniform(key, (DRAWN,)) - 0.5


@dataclasses.dataclass(frozen=True)
class Convolution:
    features: int
    size: int
    stride: int
    padding: str
    pool: str | None  # after the activation; "before": max pooling before it


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Convolutions, flatten or mean over space, dense layers, branch, residual block, head."""

    convolutions: tuple[Convolution, ...]
    flatten: bool
    dense: tuple[int, ...]
    branch: int | None  # width of a layer for a second input; 0: the input itself
    residual: int | None  # width inside a residual block
    normalized: bool  # a LayerNorm in the last dense layer
    dueling: bool
    activation: str
    bias: bool
    dtype: str
    vmapped: bool

    def kernels(self):
        """Shape of every kernel, by the name of its layer, in the order of use."""
        shapes, space, channels = {}, 6, 2
        for i, conv in enumerate(self.convolutions):
            shapes[f"conv{i}"] = (conv.size, conv.size, channels, conv.features)
            space, channels = _space_after(conv, space), conv.features
        width = channels * space**2 if self.flatten or not self.convolutions else channels
        width = width if self.convolutions else 4
        if self.branch is not None:
            shapes |= {"branch": (2, self.branch)} if self.branch else {}
            width += self.branch or 2
        for i, neurons in enumerate(self.dense):
            shapes[f"dense{i}"] = (width, neurons)
            width = neurons
        if self.residual is not None:
            shapes |= {"inner": (width, self.residual), "outer": (self.residual, width)}
        if self.dueling:
            shapes |= {"value": (width, 3), "value_out": (3, 1), "advantage_out": (width, ACTIONS)}
        else:
            shapes["out"] = (width, ACTIONS)
        return shapes

    def hidden(self):
        """{layer: neurons} of the hidden layers."""
        return {name: s[-1] for name, s in self.kernels().items() if not name.endswith("out")}

    def obstructed(self):
        """The layers that cannot be recycled: residual stream and normalization."""
        last = f"dense{len(self.dense) - 1}"
        return ({last, "outer"} if self.residual is not None else set()) | (
            {last} if self.normalized else set()
        )

    def init(self, key):
        return self.parameters(uniform(key))

    def parameters(self, values):
        """The parameter tree from a vector of numbers: traced by `init`, NumPy's by the tests."""
        params, start = {}, 0
        for name, shape in self.kernels().items():
            params[name] = {"kernel": values[start : (start := start + math.prod(shape))]}
            params[name]["kernel"] = params[name]["kernel"].reshape(shape)
            if self.bias:
                params[name]["bias"] = values[start : (start := start + shape[-1])]
        assert start <= DRAWN
        return jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(self.dtype)), params)

    def inputs(self):
        random = np.random.default_rng(5)
        shape = (BATCH, 6, 6, 2) if self.convolutions else (BATCH, 4)
        found = [random.normal(size=shape), random.normal(size=(BATCH, 2))]
        return tuple(jnp.asarray(x, self.dtype) for x in found)

    def apply(self, params, x, second):
        if self.vmapped:
            return jax.vmap(lambda *one: self.forward(params, *one), 0)(x, second)
        return self.forward(params, x, second)

    def forward(self, params, x, second):
        act = ACTIVATIONS[self.activation]
        lead = second.shape[:-1]  # (B,), or () under vmap

        def linear(name, x):
            y = x @ params[name]["kernel"]
            return y + params[name]["bias"] if self.bias else y

        if self.convolutions:
            x = x if lead else x[None]
            for i, conv in enumerate(self.convolutions):
                x = _convolve(conv, params[f"conv{i}"]["kernel"], x)
                x = x + params[f"conv{i}"]["bias"] if self.bias else x
                x = act(_pool("max", x)) if conv.pool == "before" else _pool(conv.pool, act(x))
            x = x.reshape(*lead, -1) if self.flatten else x.mean((1, 2)).reshape(*lead, -1)
        if self.branch is not None:
            other = act(linear("branch", second)) if self.branch else second
            x = jnp.concatenate([x, other], axis=-1)
        for i in range(len(self.dense)):
            x = linear(f"dense{i}", x)
            if self.normalized and i == len(self.dense) - 1:
                x = jax.nn.standardize(x, axis=-1)
            x = act(x)
        if self.residual is not None:
            x = x + linear("outer", act(linear("inner", x)))
        if not self.dueling:
            return linear("out", x)
        value = linear("value_out", act(linear("value", x)))
        advantage = linear("advantage_out", x)
        return value + advantage - advantage.mean(-1, keepdims=True)


def _space_after(conv, space):
    if conv.padding == "SAME":
        space = -(-space // conv.stride)
    else:
        space = (space - conv.size) // conv.stride + 1
    return space if conv.pool is None else -(-space // 2)


def _convolve(conv, kernel, x):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (conv.stride, conv.stride),
        conv.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _pool(kind, x):
    if kind is None:
        return x
    window = (1, 2, 2, 1)
    if kind == "max":
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "SAME")
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "SAME") / 4


@st.composite
def architectures(draw, activations=tuple(ACTIVATIONS), dtypes=("float32", "bfloat16")):
    convolution = st.builds(
        Convolution,
        features=st.integers(2, 4),
        size=st.integers(1, 3),
        stride=st.integers(1, 2),
        padding=st.sampled_from(["SAME", "VALID"]),
        pool=st.sampled_from([None, None, "max", "mean", "before"]),
    )
    convolutions = tuple(draw(st.lists(convolution, max_size=2)))
    space = 6
    for conv in convolutions:  # a kernel must fit into what is left of the image
        if space < conv.size:
            convolutions = convolutions[:1]
            break
        space = _space_after(conv, space)
    extra = draw(st.sampled_from(["none", "none", "residual", "normalized"]))
    least = 0 if convolutions and extra == "none" else 1
    return Architecture(
        convolutions=convolutions,
        flatten=draw(st.booleans()),
        dense=tuple(draw(st.lists(st.integers(2, 6), min_size=least, max_size=2))),
        branch=draw(st.sampled_from([None, None, 0, 3])),
        residual=draw(st.integers(2, 5)) if extra == "residual" else None,
        normalized=extra == "normalized",
        dueling=draw(st.booleans()),
        activation=draw(st.sampled_from(activations)),
        bias=draw(st.booleans()),
        dtype=draw(st.sampled_from(dtypes)),
        vmapped=draw(st.booleans()),
    )


@st.composite
def subsets(draw, neurons):
    return np.array(draw(st.lists(st.booleans(), min_size=neurons, max_size=neurons)))


def draw_parameters(architecture, key):
    params = architecture.parameters(np.asarray(uniform(key)))
    return jax.tree.map(jnp.asarray, params)


def silence(architecture, params, masks, by_bias):
    """Silences the masked neurons: incoming entries 0, or a bias far below zero."""
    params = jax.tree.map(np.array, params)
    for name, mask in masks.items():
        if by_bias and architecture.bias and architecture.activation in ("relu", "relu2"):
            params[name]["bias"][mask] = -1000
        else:
            for leaf in params[name].values():
                leaf[..., mask] = 0
    return jax.tree.map(jnp.asarray, params)


def same_values(one, other):
    """Bit for bit, but for the sign of a zero."""
    return (np.asarray(one) + 0.0).tobytes() == (np.asarray(other) + 0.0).tobytes()


def named_entries(graph, masks, side):
    """{path: bool array} of the entries that the graph gives to the masked neurons."""
    shapes = zip(graph.parameters.paths, graph.parameters.shapes, strict=True)
    found = {path: np.zeros(shape, bool) for path, shape in shapes}
    for name, mask in masks.items():
        for entries in getattr(graph[name], side):
            index = entries.index.array
            hit = (index >= 0) & mask[np.maximum(index, 0)]
            array = found[entries.path]
            sizes = dict(zip(entries.axes, index.shape, strict=True))
            array |= hit.reshape([sizes.get(axis, 1) for axis in range(array.ndim)])
    return found


def check_recycled(graph, masks, before, after, fresh):
    """The whole specification of a recycle, given the entries that the graph names."""
    incoming, outgoing = (named_entries(graph, masks, side) for side in ("incoming", "outgoing"))
    leaves = zip(*(jax.tree.leaves(tree) for tree in (before, after, fresh)), strict=True)
    for path, (old, new, drawn) in zip(graph.parameters.paths, leaves, strict=True):
        assert (new.dtype, new.shape) == (old.dtype, old.shape), path
        expected = np.where(incoming[path], drawn, old)
        expected = np.where(outgoing[path], np.zeros_like(expected), expected)
        assert np.asarray(new).tobytes() == expected.tobytes(), path
        # The incoming entries are whole columns of the layer's own arrays, known by their name.
        name = path.split("/")[0]
        columns = masks.get(name, np.zeros(old.shape[-1], bool))
        assert (incoming[path] == columns).all(), path


# A drawn network may have no layer that can be recycled; its outputs must stay as they are too.
@pytest.mark.filterwarnings("ignore:no layer of this network can be recycled:UserWarning")
@drawn(max_examples=EXAMPLES)
@given(data=st.data())
def test_recycling_silent_neurons_changes_no_output_and_only_named_entries(data):
    architecture = data.draw(architectures())
    hidden, inputs = architecture.hidden(), architecture.inputs()
    silent = {name: data.draw(subsets(neurons), label=name) for name, neurons in hidden.items()}
    params = draw_parameters(architecture, jax.random.key(data.draw(st.integers(0, 2**16))))
    params = silence(architecture, params, silent, by_bias=data.draw(st.booleans()))
    graph = dormant.trace(architecture.apply, params, *inputs)
    assert {layer.name: layer.neurons for layer in graph.layers} == hidden
    obstructed = {layer.name for layer in graph.layers if not layer.recyclable}
    assert obstructed == architecture.obstructed(), str(graph)

    redo = dormant.redo(graph, architecture.init, SGD, tau=0.0, period=1)
    update, apply = jax.jit(redo.update), jax.jit(architecture.apply)
    opt_state, state, outputs = SGD.init(params), redo.init(KEY), apply(params, *inputs)
    assert np.all(np.isfinite(np.asarray(outputs, np.float32)))
    for step in (1, 2):
        before = params
        params, opt_state, state = update(before, opt_state, state, *inputs)
        assert same_values(apply(params, *inputs), outputs)

        found = {name: np.asarray(sets[0]) for name, sets in state.dormant.items()}
        recycled = {name: found[name] for name in hidden if name not in obstructed}
        fresh = draw_parameters(architecture, jax.random.fold_in(KEY, step))
        check_recycled(graph, recycled, before, params, fresh)
        assert {name: int(count) for name, count in state.report.recycled.items()} == {
            name: int(recycled[name].sum()) if name in recycled else 0 for name in hidden
        }
        if step == 1:
            for name in recycled:
                assert found[name][silent[name]].all(), name
    assert update._cache_size() == 1


@drawn(max_examples=EXAMPLES)
@given(data=st.data())
def test_recycling_live_neurons_changes_outputs_and_only_named_entries(data):
    smooth = ("leaky", "elu", "tanh", "swish")
    architecture = data.draw(architectures(activations=smooth, dtypes=("float32",)))
    inputs = architecture.inputs()
    params = draw_parameters(architecture, jax.random.key(data.draw(st.integers(0, 2**16))))
    fresh = draw_parameters(architecture, KEY)
    graph = dormant.trace(architecture.apply, params, *inputs)
    layer = data.draw(st.sampled_from(graph.layers), label="layer")
    mask = data.draw(subsets(layer.neurons).filter(np.any), label="mask")
    also = () if layer.recyclable else (layer.name,)

    recycle = jax.jit(functools.partial(dormant.recycle, graph, also=also))
    apply = jax.jit(architecture.apply)
    new = recycle(params, fresh, {layer.name: mask})
    check_recycled(graph, {layer.name: mask}, params, new, fresh)
    assert not same_values(apply(new, *inputs), apply(params, *inputs))
    unchanged = recycle(params, fresh, {layer.name: np.zeros_like(mask)})
    assert all(jax.tree.leaves(jax.tree.map(same_values, unchanged, params)))
