# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The update skeleton of every algorithm: step, tracker, intervention, target.
An algorithm supplies its step or its loss, its policies and its target rule; nothing here knows
of Q-values."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check, check_function, check_init_and_update
from dormant.graph import NeuronGraph
from dormant.interventions.intervention import Intervention, state_at_start
from dormant.learners.finiteness import Finiteness, after_update, all_finite
from dormant.learners.targets import Params, TargetRule, keep_target

Metrics = dict[str, jax.Array]
# (params, target_params, batch, key) -> (scalar loss, metrics); differentiated in params.
LossFunction = Callable[[Params, Params, Any, jax.Array], tuple[jax.Array, Metrics]]
# (params, target_params, opt_state, batch, key) -> (params, opt_state, metrics)
Step = Callable[
    [Params, Params, optax.OptState, Any, jax.Array], tuple[Params, optax.OptState, Metrics]
]
# (params, target_params, batch, key) -> gradient, a tree like params
Gradient = Callable[[Params, Params, Any, jax.Array], Params]
# (params, target_params, batch, key) -> (loss of the network's outputs, its inputs), for which
# `loss(params, ...)` is the loss of `apply(params, *inputs)`
OutputLoss = Callable[
    [Params, Params, Any, jax.Array], tuple[Callable[[Any], jax.Array], tuple[Any, ...]]
]
# (params, observation, key, epsilon) -> action; the key is consumed.
Policy = Callable[[Params, Any, jax.Array, Any], jax.Array]
# (params, target_params, state of the intervention) -> target_params
TargetIntervention = Callable[[Params, Params, Any], Params]


@dataclasses.dataclass(frozen=True)
class Interventions:
    """What measures and changes the network after the optimizer's step.

    Attributes:
      tracker: None, or what `dormant.track` returns; sees the parameters first, and is given the
        gradient as a function, to be computed where something is due.
      intervention: None, or what `dormant.redo` returns, or `dormant.combine` for several.
      target_intervention: None, or `target_intervention(params, target_params, state of the
        intervention) -> target_params`, such as `mirror_in_target` returns; called after the
        intervention, only when there are `score_inputs`.

    Raises:
      ValueError: when one is not of the kind asked for.
    """

    tracker: Intervention | None = None
    intervention: Intervention | None = None
    target_intervention: TargetIntervention | None = None

    def __post_init__(self) -> None:
        for name in ("tracker", "intervention"):
            if getattr(self, name) is not None:
                check_init_and_update(name, getattr(self, name), "None or ")
        if self.target_intervention is not None:
            check_function("target_intervention", self.target_intervention)
            allowed = "None where there is no `intervention`"
            has_target = self.intervention is not None
            check(has_target, "target_intervention", allowed, self.target_intervention)


NO_INTERVENTIONS = Interventions()


class Gradients(NamedTuple):
    """What tracker and intervention may read besides: the loss at the parameters that they score,
    on the step's batch and key; computed only where something is due that reads it.

    Attributes:
      of_parameters: `of_parameters(params, target_params, batch, key) -> gradient`, like params.
      output_loss: `output_loss(params, target_params, batch, key) -> (loss, inputs)`, with the loss
        a function of the network's outputs for these inputs; for gradients of pre-activations, None
        where there are none.
    """

    of_parameters: Gradient
    output_loss: OutputLoss | None = None

    @property
    def given(self) -> set[str]:
        """The keywords that an intervention's `update` is given."""
        return {"gradient"} | ({"pre_activation_gradients"} if self.output_loss else set())


class LearnerState(NamedTuple):
    """Everything a learner carries from one gradient step to the next; a pytree of arrays.

    Attributes:
      params: tree of float arrays.
      target_params: same structure, shapes and dtypes as params, never the same buffers.
      opt_state: of the one optimizer over the whole of params.
      tracker: state of the tracker, () without one.
      intervention: state of the intervention, () without one.
      gradient_step: int32 (), updates made so far.
      key: (), folded with the number of the gradient step at every update, never advanced.
      loss: float32 (), of the last update; 0 before the first.
      finiteness: which update was the first that brought what is not finite.
    """

    params: Params
    target_params: Params
    opt_state: optax.OptState
    tracker: Any
    intervention: Any
    gradient_step: jax.Array
    key: jax.Array
    loss: jax.Array
    finiteness: Finiteness


class Learner(NamedTuple):
    """A learning algorithm as pure functions; jit, vmap over seeds, scan and donate them.

    Attributes:
      init: `init(key) -> LearnerState`. The key is consumed. No two arrays of the state share a
        buffer, nor one with what the network's own `init` returned: the state may be donated.
      update: `update(state, batch, score_inputs=None) -> (state, metrics)`, one gradient step.
        `score_inputs` is the tuple of network inputs with which tracker and intervention score
        neurons; None says that nothing is due, so that they only count the step. A tuple and None
        are two compiled programs. `metrics` holds float32 arrays: the scalars `loss` and those that
        the loss or step returns; where replay may be prioritized also `sample_loss` (B,), each
        transition's loss without its importance weight. It is `step` and then `after_step`.
      act: `act(state, observation, key, epsilon) -> action` for one observation without a batch
        dimension; epsilon is the probability of a random action. The key is consumed.
      sync_target: `sync_target(state) -> state`, target parameters now a copy of the parameters.
      act_in_evaluation: as `act`, without the exploration that the network itself makes: a noisy
        network's noise is off, a stochastic actor gives its mean action.
      step: `step(state, batch) -> (state, metrics)`, the optimizer's step alone. Compiled apart
        from what follows it, it is one program whether or not neurons are scored, so that a run
        with tracking is bit-equal to one without: what else a program computes changes how XLA
        rounds.
      after_step: `after_step(state, batch, score_inputs=None) -> state`, the rest of an update:
        whether all is finite, tracker, intervention, target, and the count of gradient steps.
    """

    init: Callable[[jax.Array], LearnerState]
    update: Callable[..., tuple[LearnerState, Metrics]]
    act: Callable[[LearnerState, Any, jax.Array, Any], jax.Array]
    sync_target: Callable[[LearnerState], LearnerState]
    act_in_evaluation: Callable[[LearnerState, Any, jax.Array, Any], jax.Array]
    step: Callable[[LearnerState, Any], tuple[LearnerState, Metrics]]
    after_step: Callable[..., LearnerState]


def gradient_learner(
    init: Callable[[jax.Array], Params],
    optimizer: optax.GradientTransformation,
    *,
    loss: LossFunction,
    policy: Policy,
    evaluation_policy: Policy | None = None,
    target_rule: TargetRule = keep_target,
    interventions: Interventions = NO_INTERVENTIONS,
    output_loss: OutputLoss | None = None,
) -> Learner:
    """`step_learner` whose step is one optimizer step down the gradient of a loss.

    What an algorithm needs beyond the skeleton has its place in what it supplies:
      - what one update consumes is in `batch`, any pytree, which reaches the loss untouched: an
        algorithm that weighs samples gives its batch a field for the weights;
      - random numbers come from the key that the loss is given, another one at every update;
      - per-sample results (replay priorities) are returned in the loss's metrics, with shape (B,);
      - several optimizers are one `optax.partition` over a params tree with one branch for each.

    Args:
      init: `init(key) -> params`, the network's own initializer.
      optimizer: any optax transformation; its state is never looked into. It is given `batch=`.
      loss: `loss(params, target_params, batch, key) -> (scalar, metrics)`.
      policy, evaluation_policy, target_rule, interventions: as in `step_learner`.
      output_loss: the same loss as one of the network's outputs, as `Gradients` has it.

    Raises:
      ValueError: when an argument is not of the kind asked for.
    """
    check_function("loss", loss)
    check_init_and_update("optimizer", optimizer)
    loss_gradient = jax.value_and_grad(loss, has_aux=True)
    # What takes a batch is given it, such as `regularizers.churn_reduction`.
    given_batch = optax.with_extra_args_support(optimizer)

    def step(params, target_params, opt_state, batch, key):
        (loss_value, metrics), gradient = loss_gradient(params, target_params, batch, key)
        updates, opt_state = given_batch.update(gradient, opt_state, params, batch=batch)
        params = optax.apply_updates(params, updates)
        return params, opt_state, {**metrics, "loss": loss_value}

    def gradient(params, target_params, batch, key):
        return loss_gradient(params, target_params, batch, key)[1]

    return step_learner(
        init,
        optimizer,
        step=step,
        gradients=Gradients(gradient, output_loss),
        policy=policy,
        evaluation_policy=evaluation_policy,
        target_rule=target_rule,
        interventions=interventions,
    )


def step_learner(
    init: Callable[[jax.Array], Params],
    optimizer: optax.GradientTransformation,
    *,
    step: Step,
    gradients: Gradients | None = None,
    policy: Policy,
    evaluation_policy: Policy | None = None,
    target_rule: TargetRule = keep_target,
    interventions: Interventions = NO_INTERVENTIONS,
) -> Learner:
    """Builds a learner from a whole optimizer step, for example another library's train function.

    One update is, in this order: step, tracker, intervention, target intervention, target rule. So
    tracker and intervention see the parameters after the optimizer's step, and the target network
    receives recycled parameters, as in the released ReDo code.

    Args:
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optax transformation that `step` applies; here only its `init` is called.
      step: `step(params, target_params, opt_state, batch, key) -> (params, opt_state, metrics)`,
        with the loss under `"loss"` in the metrics.
      gradients: the loss's gradient, whose norms the tracker reports and which scores may read.
        None where there is none.
      policy: `policy(params, observation, key, epsilon) -> action`.
      evaluation_policy: the same without the exploration of the network itself; None: `policy`.
      target_rule: `target_rule(params, target_params, gradient_step) -> target_params`, called last
        with the number of updates made, this one included.
      interventions: what tracks and what acts after the step.

    Raises:
      ValueError: when an argument is not of the kind asked for.
    """
    if evaluation_policy is None:
        evaluation_policy = policy
    check_function("init", init)
    check_function("step", step)
    if gradients is not None:
        check(isinstance(gradients, Gradients), "gradients", "learners.Gradients(...)", gradients)
    check_function("policy", policy)
    check_function("evaluation_policy", evaluation_policy)
    check_function("target_rule", target_rule)
    check_init_and_update("optimizer", optimizer)
    are_bundled = isinstance(interventions, Interventions)
    check(are_bundled, "interventions", "learners.Interventions(...)", interventions)
    tracker, intervention = interventions.tracker, interventions.intervention
    given = set() if gradients is None else gradients.given
    for name in getattr(intervention, "needs", ()):
        allowed = (
            "one whose scores read no gradients, or, where the learner has any, those of weights"
        )
        check(name in given, "intervention", allowed, f"one that needs {name!r}")
    target_intervention = interventions.target_intervention

    def init_state(key: jax.Array) -> LearnerState:
        # Always three keys: the parameters of a seed do not depend on who watches or recycles them.
        params_key, tracker_key, intervention_key = jax.random.split(key, 3)
        params = init(params_key)
        opt_state = optimizer.init(params)
        state = LearnerState(
            params=params,
            target_params=params,
            opt_state=opt_state,
            tracker=() if tracker is None else state_at_start(tracker, tracker_key, params),
            intervention=()
            if intervention is None
            else state_at_start(intervention, intervention_key, params),
            gradient_step=jnp.zeros((), jnp.int32),
            key=jax.random.fold_in(key, 3),
            loss=jnp.zeros((), jnp.float32),
            finiteness=all_finite(params, opt_state),
        )
        return jax.tree.map(_own_buffer, state)

    def key_of(state: LearnerState) -> jax.Array:
        """The key of the update under way, whose gradient step is not counted yet."""
        return jax.random.fold_in(state.key, state.gradient_step + 1)

    def optimizer_step(state: LearnerState, batch: Any) -> tuple[LearnerState, Metrics]:
        allowed = "a LearnerState, as `init` returns it"
        check(isinstance(state, LearnerState), "state", allowed, state)
        params, opt_state, metrics = step(
            state.params, state.target_params, state.opt_state, batch, key_of(state)
        )
        metrics = jax.tree.map(functools.partial(jnp.asarray, dtype=jnp.float32), metrics)
        state = state._replace(params=params, opt_state=opt_state, loss=metrics["loss"])
        return state, metrics

    def after_step(
        state: LearnerState, batch: Any, score_inputs: tuple | None = None
    ) -> LearnerState:
        if score_inputs is not None and type(score_inputs) is not tuple:
            raise ValueError(
                "`score_inputs` must be None or the tuple of the network's inputs, for one array"
                f" (array,); got {type(score_inputs).__name__}"
            )
        inputs = () if score_inputs is None else score_inputs
        params, target_params, opt_state = state.params, state.target_params, state.opt_state
        tracker_state, intervention_state = state.tracker, state.intervention
        given = (params, target_params, batch, key_of(state))
        measured = _functions(gradients, *given) if inputs and gradients is not None else {}
        if tracker is not None:
            params, opt_state, tracker_state = tracker.update(
                params, opt_state, tracker_state, *inputs, **measured
            )
        if intervention is not None:
            params, opt_state, intervention_state = intervention.update(
                params, opt_state, intervention_state, *inputs, **measured
            )
        if target_intervention is not None and score_inputs is not None:
            target_params = target_intervention(params, target_params, intervention_state)
        gradient_step = state.gradient_step + 1
        return state._replace(
            params=params,
            target_params=target_rule(params, target_params, gradient_step),
            opt_state=opt_state,
            tracker=tracker_state,
            intervention=intervention_state,
            gradient_step=gradient_step,
            # Of the optimizer's own parameters, before anything redraws them.
            finiteness=after_update(state, gradient_step),
        )

    def update(
        state: LearnerState, batch: Any, score_inputs: tuple | None = None
    ) -> tuple[LearnerState, Metrics]:
        state, metrics = optimizer_step(state, batch)
        return after_step(state, batch, score_inputs), metrics

    def act(state: LearnerState, observation: Any, key: jax.Array, epsilon: Any) -> jax.Array:
        return policy(state.params, observation, key, epsilon)

    def act_in_evaluation(
        state: LearnerState, observation: Any, key: jax.Array, epsilon: Any
    ) -> jax.Array:
        return evaluation_policy(state.params, observation, key, epsilon)

    def sync_target(state: LearnerState) -> LearnerState:
        return state._replace(target_params=jax.tree.map(_own_buffer, state.params))

    return Learner(
        init_state, update, act, sync_target, act_in_evaluation, optimizer_step, after_step
    )


def _functions(gradients: Gradients, params: Params, *rest: Any) -> dict[str, Callable]:
    """The keywords of an intervention's `update`, which calls them where something is due."""
    found: dict[str, Callable] = {"gradient": lambda: gradients.of_parameters(params, *rest)}
    if gradients.output_loss is not None:
        output_loss = gradients.output_loss

        def of_pre_activations(graph: NeuronGraph) -> dict[str, jax.Array]:
            loss, inputs = output_loss(params, *rest)
            return graph.pre_activation_gradients(loss, params, *inputs)

        found["pre_activation_gradients"] = of_pre_activations
    return found


def _own_buffer(array: jax.Array) -> jax.Array:
    # A shared buffer cannot be donated twice. The explicit dtype drops weak types, for which the
    # second update would compile again.
    return jnp.array(array, dtype=jnp.result_type(array), copy=True)
