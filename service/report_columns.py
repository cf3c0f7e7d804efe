"""The columns of a study's report: its objectives first, then whatever else is known of each candidate."""

from devices.plan import Workload
from reports.rows import MetricColumn
from search.objective import METRICS, Metric, metric_named
from service.quality_scores import LOSS, PROXY_NOTES
from service.study_file import StudyDefinition

SHORT_LABELS = {
    "recall_score": "recall",
    "estimated_relative_loss": "loss",
    "ttft_ms_p50": "TTFT",
    "ttft_ms_p95": "TTFT p95",
    "tpot_ms_p50": "TPOT",
    "tpot_ms_p95": "TPOT p95",
    "peak_rss_mb": "RSS",
}
"""A metric's title where a table of five must fit into 80 columns."""

PAIRED_NOTE = "Paired with the sentinel; the interval is that of the ratio to it"


def columns_of(definition: StudyDefinition) -> tuple[MetricColumn, ...]:
    """List a study's metrics, objectives first and in their order."""
    chosen = [(each.metric, each.target) for each in definition.objectives]
    bounded = [(each.metric, each.target) for each in definition.constraints]
    others = [
        (metric, target.name if metric.needs_target else None)
        for metric in _metrics_of(definition.workload)
        for target in definition.targets
    ]
    wanted = list(dict.fromkeys([*chosen, *bounded, *others]))
    several = len(definition.targets) > 1
    return tuple(
        _column(metric, target, definition.workload, (metric, target) in chosen, several)
        for metric, target in wanted
    )


def measured_columns(target: str, workload: Workload) -> tuple[MetricColumn, ...]:
    """List the metrics of one architecture measured on its own."""
    columns = [
        _column(metric, target if metric.needs_target else None, workload, True, False)
        for metric in _metrics_of(workload)
    ]
    return tuple(columns)


def _metrics_of(workload: Workload) -> list[Metric]:
    """List every metric, each of decode followed by the same one at the deeper contexts."""
    found = []
    for metric in METRICS.values():
        found.append(metric)
        if metric_named(f"{metric.name}_at_1"):
            found += [metric.at(depth) for depth in workload.deeper_contexts]
    return found


def _column(
    metric: Metric, target: str | None, workload: Workload, is_objective: bool, several: bool
) -> MetricColumn:
    return MetricColumn(
        name=f"{metric.name}@{target}" if target else metric.name,
        label=f"{metric.label} ({target})" if target and several else metric.label,
        unit=metric.unit,
        direction=metric.direction,
        digits=metric.digits,
        is_objective=is_objective,
        note=_note(metric, workload),
        is_proxy=metric.name in PROXY_NOTES,
        short=_short(metric) + (f" {target}" if target and several else ""),
        error_is_shared=metric.name == LOSS,
    )


def _short(metric: Metric) -> str:
    if metric.context_tokens is None:
        return SHORT_LABELS[metric.name]
    return f"{SHORT_LABELS[metric.name.partition('_at_')[0]]} {_thousands(metric.context_tokens)}"


def _thousands(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else str(tokens)


def _note(metric: Metric, workload: Workload) -> str:
    threads = f"{workload.threads} thread" + ("s" if workload.threads > 1 else "")
    if metric.name in PROXY_NOTES:
        return PROXY_NOTES[metric.name]
    if metric.name.startswith("ttft"):
        return f"Prompt of {workload.prompt_tokens} tokens, {threads}. {PAIRED_NOTE}."
    if metric.name.startswith("tpot"):
        context = metric.context_tokens or workload.context_tokens
        return f"One decode step at a context of {context}, {threads}. {PAIRED_NOTE}."
    return "The kernel's high-water mark in a process of its own, without the sentinel."
