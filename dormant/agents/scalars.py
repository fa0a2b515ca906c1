"""The records of metrics.jsonl as scalars for Dopamine's collectors, among them TensorBoard."""

from dopamine.metrics.statistics_instance import StatisticsInstance

from dormant.records.metrics import Record


def tracking_scalars(record: Record) -> list[StatisticsInstance]:
    """A tracking record as scalars for `CollectorDispatcher`, at its gradient step."""
    scalars = {"ReDo/RecycledTotal": record["recycled_total"]}
    for name, value in record.items():
        if isinstance(value, float):
            group = name.removesuffix("_total")
            scalars[f"Train/{_title(name)}" if group == name else f"{_title(group)}/Total"] = value
    for layer, count in record["recycled"].items():
        scalars[f"ReDo/Recycled/{layer}"] = count
    per_tau = {"DormantPercent": {"Pooled": record["dormant_percent_pooled"]}}
    per_tau["DormantPercent"] |= record.get("dormant_percent_by_network", {})
    per_tau["DormantPercent"] |= record["dormant_percent"]
    per_tau["DormantOverlap"] = record["overlap"]
    per_tau["DormantOverlapHistory"] = record["overlap_history"]
    for group, layers in per_tau.items():
        for layer, values in layers.items():
            for tau, value in zip(record["taus"], values, strict=True):
                scalars[f"{group}/tau={tau:g}/{layer}"] = value
    for group in ("effective_rank", "feature_norm", "weight_norm", "gradient_norm"):
        scalars |= {f"{_title(group)}/{layer}": value for layer, value in record[group].items()}
    step = record["gradient_step"]
    return [
        StatisticsInstance(name, value, step)
        for name, value in scalars.items()
        if value is not None
    ]


def _title(name: str) -> str:
    """`q_mean` as TensorBoard has it: `QMean`."""
    return "".join(word.capitalize() for word in name.split("_"))
