# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The scalars of a tracking record for TensorBoard."""

from dormant.agents.scalars import tracking_scalars

RECORD = {
    "kind": "tracking",
    "gradient_step": 40,
    "agent_step": 160,
    "taus": [0.0, 0.025, 0.1],
    "dormant_percent": {"critic/Dense_0": [0.0, 25.0, 50.0]},
    "dormant_percent_pooled": [0.0, 20.0, 40.0],
    "overlap": {"critic/Dense_0": [None, 0.5, 1.0]},
    "overlap_history": {"critic/Dense_0": [None, 1.0, 0.75]},
    "recycled": {"critic/Dense_0": 3},
    "recycled_total": 7,
    "effective_rank": {"critic/Dense_0": 12.0},
    "feature_norm": {"critic/Dense_0": 3.0},
    "weight_norm": {"critic/Dense_0": 4.0, "critic/output": 3.0},
    "gradient_norm": {"critic/Dense_0": 6.0, "critic/output": None},
    "weight_norm_total": 5.0,
    "gradient_norm_total": None,
    "dormant_percent_by_network": {"actor": [0.0, 10.0, 20.0]},
    "critic_loss": 2.0,
    "temperature": 3.0,
    "loss": 0.5,
    "q_mean": -1.5,
}


def test_every_number_of_the_record_is_sent_and_nothing_that_is_undefined():
    scalars = tracking_scalars(RECORD)
    assert {scalar.step for scalar in scalars} == {40}
    layer = "critic/Dense_0"
    percents = {layer: (0, 25, 50), "Pooled": (0, 20, 40), "actor": (0, 10, 20)}
    assert {scalar.name: scalar.value for scalar in scalars} == {
        f"DormantPercent/tau={tau}/{where}": percent
        for where, of_taus in percents.items()
        for tau, percent in zip(("0", "0.025", "0.1"), of_taus, strict=True)
    } | {
        f"DormantOverlap/tau=0.025/{layer}": 0.5,
        f"DormantOverlap/tau=0.1/{layer}": 1.0,
        f"DormantOverlapHistory/tau=0.025/{layer}": 1.0,
        f"DormantOverlapHistory/tau=0.1/{layer}": 0.75,
        f"ReDo/Recycled/{layer}": 3,
        "ReDo/RecycledTotal": 7,
        f"EffectiveRank/{layer}": 12.0,
        f"FeatureNorm/{layer}": 3.0,
        f"WeightNorm/{layer}": 4.0,
        "WeightNorm/critic/output": 3.0,
        "WeightNorm/Total": 5.0,
        f"GradientNorm/{layer}": 6.0,
        "Train/CriticLoss": 2.0,
        "Train/Temperature": 3.0,
        "Train/Loss": 0.5,
        "Train/QMean": -1.5,
    }


def test_a_learner_without_gradient_or_q_values_sends_none():
    without = {name: value for name, value in RECORD.items() if name != "q_mean"}
    names = {scalar.name for scalar in tracking_scalars(without)}
    assert "Train/QMean" not in names and "GradientNorm/Total" not in names
