"""Which rows a table or a chart is about: the front, the measured, the references, the failed."""

from reports.rows import Cell, MetricColumn, StudyReport, TrialRow


def objective_columns(report: StudyReport) -> tuple[MetricColumn, ...]:
    """The columns that the study optimises, in their order."""
    return tuple(column for column in report.columns if column.is_objective)


def measured_trials(report: StudyReport) -> tuple[TrialRow, ...]:
    """Every candidate with measured values; references are not among them."""
    return tuple(trial for trial in report.trials if trial.state == "measured" and trial.kind != "reference")


def measured_references(report: StudyReport) -> tuple[TrialRow, ...]:
    """The references with measured values."""
    return tuple(trial for trial in report.trials if trial.state == "measured" and trial.kind == "reference")


def failed_trials(report: StudyReport) -> tuple[TrialRow, ...]:
    """Everything whose measurement failed, references included."""
    return tuple(trial for trial in report.trials if trial.state == "failed")


def front_trials(report: StudyReport) -> tuple[TrialRow, ...]:
    """The Pareto front, best in the first objective first; only measured candidates can be on it."""
    columns = objective_columns(report)
    on_front = [trial for trial in measured_trials(report) if trial.on_front]
    return tuple(sorted(on_front, key=lambda trial: _place(trial, columns)))


def outside_trials(report: StudyReport) -> tuple[TrialRow, ...]:
    """The measured candidates that miss a constraint: they can't be on the front, whatever their values."""
    return tuple(trial for trial in measured_trials(report) if trial.violations)


def closest_miss(report: StudyReport) -> TrialRow | None:
    """The least violating candidate of a study in which none meets the constraints; None where one does."""
    return next((trial for trial in measured_trials(report) if trial.closest), None)


def knee_trial(report: StudyReport) -> TrialRow | None:
    """The front's knee, if the study has one."""
    return next((trial for trial in front_trials(report) if trial.knee), None)


def best_trial(trials: tuple[TrialRow, ...], column: MetricColumn) -> TrialRow | None:
    """The trial with the best value of one metric, None where none has a value."""
    having = [trial for trial in trials if column.name in trial.cells]
    return min(having, key=lambda trial: loss(trial.cells[column.name], column), default=None)


def loss(cell: Cell, column: MetricColumn) -> float:
    """The value turned so that smaller is better."""
    return cell.value if column.direction == "minimize" else -cell.value


def _place(trial: TrialRow, columns: tuple[MetricColumn, ...]) -> tuple[tuple[float, ...], int]:
    losses = (loss(trial.cells[c.name], c) if c.name in trial.cells else float("inf") for c in columns)
    return tuple(losses), trial.number
