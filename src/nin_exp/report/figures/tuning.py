"""The expected best value against the number of trials, a line an arm."""

from __future__ import annotations

from nin_exp.report.figures.figure import Figure, Trace, arm_colour, arm_dash, axis, layout, numbers
from nin_exp.report.metric import Metric
from nin_exp.report.text import plain_text, plotly_text
from nin_exp.report.tuning import Tuning


def tuning_figure(tuning: Tuning) -> Figure | None:
    """Draw the curves; None where no arm has two trials that are done."""
    drawn = [(place, one) for place, one in enumerate(tuning.arms) if one.expected.size > 1]
    if not drawn:
        return None
    metric = Metric(tuning.objective)
    name = metric.label if metric.is_accuracy else tuning.objective
    unit = f", {metric.unit}" if metric.unit else ""
    data: list[Trace] = []
    spoken = []
    for place, one in drawn:
        values = [metric.scale * float(value) for value in one.expected]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": plotly_text(one.arm or "all trials"),
                "x": list(range(1, one.expected.size + 1)),
                "y": numbers(values),
                "line": {"color": arm_colour(place), "dash": arm_dash(place), "width": 2, "shape": "hv"},
            }
        )
        ends = f"{metric.score(float(one.expected[0]))} to {metric.score(float(one.expected[-1]))}"
        spoken.append(f"{plain_text(one.arm or 'all trials')} goes from {ends} over {one.expected.size} trials")
    return Figure(
        key="tuning",
        title="What trials are worth",
        caption=(
            "The mean of the best over all subsets of so many trials (Tang et al. 2020). The end of a line is its best "
            "trial alone: read it well before."
        ),
        description=f"Expected best {name} by number of trials: {'; '.join(spoken)}.",
        data=data,
        layout=layout(axis("trials"), axis(f"expected best {name}{unit}"), has_legend=len(drawn) > 1),
        height=320,
    )
