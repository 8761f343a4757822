r"""Tables for a paper, in LaTeX with booktabs: ``\input{tables.tex}`` after ``\usepackage{booktabs}``."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.report.analysis import Analysis
from nin_exp.report.contrasts import Contrast
from nin_exp.report.metric import Metric, p_value, percent
from nin_exp.report.text import tex_text
from nin_exp.stats.intervals import Interval


def latex_tables(analysis: Analysis) -> str:
    """Write the table of means and, for a comparison, that of paired differences.

    A mean is bold only where the verdicts support that it is the best (see ``ranking``).
    """
    parts = ["% Made by nin-exp report; needs \\usepackage{booktabs}.\n"]
    if analysis.metric is not None and any(cell.summary is not None for cell in analysis.cells):
        parts.append(_means(analysis, analysis.metric))
    if analysis.contrasts:
        parts.append(_differences(analysis))
    return "\n".join(parts)


def _means(analysis: Analysis, metric: Metric) -> str:
    blocks = analysis.blocks
    header = ["", *(tex_text(block or metric.label) for block in blocks)]
    supported = {(best.arm, best.block) for best in analysis.best if best.is_supported}
    rows = []
    for arm in analysis.arms:
        cells = [tex_text(arm)]
        for block in blocks:
            cell = analysis.cell(arm, block)
            if cell is None or cell.summary is None:
                cells.append("--")
                continue
            spread = "" if cell.summary.sd is None else f" \\pm {metric.spread(cell.summary.sd)}"
            mean = metric.score(cell.summary.mean)
            bold = f"\\mathbf{{{mean}}}" if (arm, block) in supported else mean
            cells.append(f"${bold}{spread}$ ({cell.summary.n})")
        rows.append(cells)
    unit = " in percent" if metric.is_accuracy else ""
    has_spread = any(cell.summary is not None and cell.summary.sd is not None for cell in analysis.cells)
    what = "mean $\\pm$ standard deviation over (number of) seeds" if has_spread else "one run each"
    caption = f"{metric.label[:1].upper()}{tex_text(metric.label[1:])}{unit}: {what}"
    return _table(header, rows, f"l{'r' * len(blocks)}", caption)


def _differences(analysis: Analysis) -> str:
    comparison, metric = analysis.comparison, analysis.metric
    assert comparison is not None  # contrasts come from comparisons alone
    assert metric is not None
    confidence = tex_text(percent(1 - comparison.alpha))
    header = [
        "Arm",
        "Block",
        "Pairs",
        "Difference",
        f"{confidence} interval",
        "Widened",
        "$p$",
        "$p$ (Holm)",
        "Verdict",
    ]
    rows = [_row(contrast, metric) for contrast in analysis.contrasts]
    unit = " in points" if metric.is_accuracy else ""
    caption = (
        f"Paired difference to {tex_text(comparison.baseline)} in {tex_text(metric.label)}{unit}. Verdicts: widened "
        f"interval against $\\pm${tex_text(metric.threshold(comparison.rope))}; "
        f"{'repeated confidence intervals over all looks' if comparison.looks else '$p$: sign-flip permutation test'}"
    )
    return _table(header, rows, "llrrrrrrl", caption)


def _row(contrast: Contrast, metric: Metric) -> list[str]:
    effect, test = contrast.outcome.effect, contrast.outcome.test
    label = contrast.outcome.verdict.label
    verdict = f"\\textbf{{{label}}}" if label in ("better", "worse") else "no verdict" if label == "none" else label
    names = [tex_text(contrast.arm), tex_text(contrast.block)]
    if effect is None:
        return [*names, "0", *(["--"] * 5), verdict]
    decimals = 2 if effect.widened is None else max(2, metric.decimals(effect.widened.width))
    return [
        *names,
        str(effect.n),
        f"${metric.difference(effect.mean, decimals, plus=True)}$",
        _interval(effect.interval, metric, decimals),
        _interval(effect.widened, metric, decimals),
        "--" if test is None else f"${p_value(test.p)}$",
        "--" if contrast.holm_p is None else f"${p_value(contrast.holm_p)}$",
        verdict,
    ]


def _interval(interval: Interval | None, metric: Metric, decimals: int) -> str:
    if interval is None:
        return "--"
    return f"$[{metric.difference(interval.low, decimals)}, {metric.difference(interval.high, decimals)}]$"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], columns: str, caption: str) -> str:
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{caption}.}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        f"{' & '.join(header)} \\\\",
        "\\midrule",
        *(f"{' & '.join(row)} \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"
