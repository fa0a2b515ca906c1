# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Calls that several agents make at the same time, answered together: actions and bursts.
The agents differ in nothing but their seeds, so that they run the same compiled programs."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.agents.burst import reported_update, scan_of, stack, tell
from dormant.agents.lockstep import Execute
from dormant.learners import Learner


class Act(NamedTuple):
    """A request for an action of an agent's compiled policy, `program`."""

    program: Callable[..., jax.Array]
    state: Any
    observation: Any
    key: jax.Array
    step: int


class Burst(NamedTuple):
    """A request for a burst of updates by `program`, made by `make_burst`."""

    program: Callable[..., Any]
    state: Any
    batches: Any
    score_inputs: tuple | None
    due: Sequence[bool]
    after_update: Callable[[Mapping[str, Any]], None] | None


def one_by_one(requests: Mapping[int, Act | Burst]) -> dict[int, Any]:
    """Answers every request with its agent's own programs: to the bit what the agent alone has.

    Nothing is waited for: the device computes one answer while the host prepares the next.
    """
    return {member: _attempt(*request) for member, request in requests.items()}


def by_program(
    answers: Mapping[Callable, Execute], requests: Mapping[int, Act | Burst]
) -> dict[int, Any]:
    """Answers requests as `answers` says of their programs, or one by one where it does not."""
    asked: dict[Callable, dict[int, Act | Burst]] = {}
    for member, request in requests.items():
        asked.setdefault(request.program, {})[member] = request
    found: dict[int, Any] = {}
    for program, own in asked.items():
        found |= answers.get(program, one_by_one)(own)
    return found


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    # An error belongs to the member whose request it was.
    try:
        return function(*arguments)
    except Exception as error:
        return error


class OneDispatch:
    """Answers the requests of all members with one compiled program; of fewer one by one.

    Bursts are one scan, vmapped over the members. That changes how XLA rounds, so that parameters
    are those of a single run to float32 tolerance only. Actions are computed next to each other in
    one program.
    """

    def __init__(self, learner: Learner, members: int):
        """Compiles nothing yet; `learner` is that of any of the members."""
        self._members = members
        self._compiled_acts = jax.jit(_act_side_by_side, static_argnums=0)
        self._compiled_bursts = jax.jit(_vmapped_scan(learner), donate_argnums=0)

    def acts(self, requests: Mapping[int, Act]) -> dict[int, Any]:
        """The actions (), or (...) where they are vectors, of each member."""
        programs = {request.program for request in requests.values()}
        if len(requests) < self._members or len(programs) > 1:
            return one_by_one(requests)
        arguments = tuple(request[1:] for request in requests.values())
        # One transfer for all of them.
        actions = np.asarray(self._compiled_acts(programs.pop(), arguments))
        return dict(zip(requests, actions, strict=True))

    def bursts(self, requests: Mapping[int, Burst]) -> dict[int, Any]:
        """The new state and the metrics of each member, as from `make_burst`'s function."""
        lengths = {len(request.due) for request in requests.values()}
        if len(requests) < self._members or len(lengths) > 1:
            return one_by_one(requests)
        drawn = {member: _attempt(tuple, request.batches) for member, request in requests.items()}
        failed = {member: own for member, own in drawn.items() if isinstance(own, Exception)}
        requests = {
            member: request._replace(batches=drawn[member])
            for member, request in requests.items()
            if member not in failed
        }
        return failed | (one_by_one(requests) if failed else self._dispatch(requests))

    def _dispatch(self, requests: Mapping[int, Burst]) -> dict[int, Any]:
        asked = list(requests.values())
        batches = tuple(request.batches for request in asked)
        inputs = [request.score_inputs for request in asked if any(request.due)]
        # Members at which nothing is due ignore what they are given, as the learner counts for
        # itself; the program wants something of that shape.
        filled = inputs and tuple(
            request.score_inputs if any(request.due) else inputs[0] for request in asked
        )
        states = tuple(request.state for request in asked)
        reported = np.array([reported_update(request.due) for request in asked], np.int32)
        states, reported, metrics = self._compiled_bursts(states, batches, filled or None, reported)
        answers = dict(zip(requests, zip(states, reported, strict=True), strict=True))
        if any(request.after_update for request in asked):
            metrics = jax.device_get(metrics)  # once for all, not number by number
            for index, (member, request) in enumerate(requests.items()):
                own = jax.tree.map(operator.itemgetter(index), metrics)
                error = _attempt(tell, request.after_update, own, len(request.due))
                answers[member] = answers[member] if error is None else error
        return answers


def _act_side_by_side(
    act: Callable[..., jax.Array], arguments: tuple[tuple[Any, ...], ...]
) -> jax.Array:
    return jnp.stack([act(*own) for own in arguments])


def _vmapped_scan(learner: Learner) -> Callable[..., Any]:
    one_member = scan_of(learner)

    def all_members(states, batches, score_inputs, reported):
        # Stacked by the device: on the host every byte would be copied once more.
        batches = stack([stack(own) for own in batches])
        if score_inputs is not None:
            score_inputs = stack(score_inputs)
        number = len(states)
        state, metrics = jax.vmap(one_member)(stack(states), batches, score_inputs)
        reported = jax.tree.map(lambda each: each[jnp.arange(number), reported], metrics)
        return _unstack(state, number), _unstack(reported, number), metrics

    return all_members


def _unstack(tree: Any, number: int) -> tuple[Any, ...]:
    return tuple(jax.tree.map(operator.itemgetter(index), tree) for index in range(number))
