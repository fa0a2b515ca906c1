"""Options that `redo` and `track` refuse, as soon as they are made and with one clear message.
Each message begins with the option's name and ends with the value received."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

import dormant

KEY = jax.random.key(0)
ADAM = optax.adam(1e-3)


def init(key):
    return {"w1": jax.random.normal(key, (3, 4)), "w2": jnp.zeros((4, 2))}


@functools.cache
def graph():
    def mlp(params, states):
        return jax.nn.relu(states @ params["w1"]) @ params["w2"]

    return dormant.trace(mlp, jax.eval_shape(init, KEY), jnp.ones((1, 3)))


COMMON_ERRORS = [
    ({"period": 0}, "`period`", "0"),
    ({"period": -5}, "`period`", "-5"),
    ({"period": 1.5}, "`period`", "1.5"),
    ({"period": True}, "`period`", "True"),
    ({"period": None}, "`period`", "None"),
    ({"start": -1}, "`start`", "-1"),
    ({"start": "0"}, "`start`", "'0'"),
    ({"start": 10, "end": 9}, "`end`", "9"),
    ({"end": 1e6}, "`end`", "1000000.0"),
    ({"score_batch": 0}, "`score_batch`", "0"),
    ({"score_batch": 64.0}, "`score_batch`", "64.0"),
    ({"taus": ()}, "`taus`", "()"),
    ({"taus": (0.0, -0.1)}, "`taus`", "-0.1"),
    ({"taus": 0.1}, "`taus`", "0.1"),
    ({"taus": ("0.1",)}, "`taus`", "'0.1'"),
    ({"graph": None}, "`graph`", "None"),
]
REDO_ERRORS = [
    ({"tau": -0.1}, "`tau`", "-0.1"),
    ({"tau": float("nan")}, "`tau`", "nan"),
    ({"tau": "0.1"}, "`tau`", "'0.1'"),
    ({"tau": False}, "`tau`", "False"),
    ({"max_fraction": 1.01}, "`max_fraction`", "1.01"),
    ({"max_fraction": -0.1}, "`max_fraction`", "-0.1"),
    ({"max_fraction": "half"}, "`max_fraction`", "'half'"),
    ({"outgoing": "one"}, "`outgoing`", "'one'"),
    ({"incoming_scale": "norm"}, "`incoming_scale`", "'norm'"),
    ({"moments": True}, "`moments`", "True"),
    ({"adam_count": "reset"}, "`adam_count`", "'reset'"),
    ({"flatten_layout": "tile"}, "`flatten_layout`", "'tile'"),
    ({"also": ("w9",)}, "`also`", "'w9'"),
    ({"adam_count": "per_entry"}, "`adam_count`", "tuple"),
    ({"init": None}, "`init`", "None"),
    ({"optimizer": "adam"}, "`optimizer`", "'adam'"),
]


def check_error(factory, arguments, named, ending):
    with pytest.raises(ValueError) as error:
        factory(**arguments)
    assert str(error.value).startswith(named), error.value
    assert str(error.value).endswith(ending), error.value


@pytest.mark.parametrize("options, named, ending", COMMON_ERRORS + REDO_ERRORS, ids=str)
def test_redo_refuses_invalid_options_when_it_is_made(options, named, ending):
    check_error(
        dormant.redo, {"graph": graph(), "init": init, "optimizer": ADAM} | options, named, ending
    )


@pytest.mark.parametrize("options, named, ending", COMMON_ERRORS, ids=str)
def test_trackers_refuse_invalid_options_when_they_are_made(options, named, ending):
    check_error(dormant.track, {"graph": graph()} | options, named, ending)
    redo = functools.partial(dormant.redo, init=init, optimizer=ADAM, tau=None)
    check_error(redo, {"graph": graph()} | options, named, ending)


@pytest.mark.parametrize("options, named, ending", REDO_ERRORS[4:9], ids=str)
def test_options_are_checked_also_when_only_tracking(options, named, ending):
    redo = functools.partial(dormant.redo, graph(), init, ADAM, None)
    check_error(redo, options, named, ending)
