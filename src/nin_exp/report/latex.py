r"""Tables for a paper, in LaTeX with booktabs: ``\input{tables.tex}`` after ``\usepackage{booktabs}``."""

from __future__ import annotations

from collections.abc import Sequence

from nin_exp.report.analysis import Analysis
from nin_exp.report.contrasts import Contrast
from nin_exp.report.metric import Metric, p_value, percent
from nin_exp.report.text import tex_text
from nin_exp.stats.intervals import Interval
from nin_exp.stats.scores import ScoreSummary


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
    """Arms by blocks; the longer of the two are the rows, so that the table fits the width of a text."""
    supported = {(best.arm, best.block) for best in analysis.best if best.is_supported}
    sizes = {cell.summary.n for cell in analysis.cells if cell.summary is not None}
    texts = {
        (cell.arm, cell.block): _mean(cell.summary, metric, (cell.arm, cell.block) in supported, len(sizes) > 1)
        for cell in analysis.cells
        if cell.summary is not None
    }
    arms = [(arm, tex_text(arm)) for arm in analysis.arms]
    blocks = [(block, tex_text(block or metric.label)) for block in analysis.blocks]
    if len(blocks) > len(arms):
        header = ["", *(text for _, text in arms)]
        rows = [[text, *(texts.get((arm, block), "--") for arm, _ in arms)] for block, text in blocks]
    else:
        header = ["", *(text for _, text in blocks)]
        rows = [[text, *(texts.get((arm, block), "--") for block, _ in blocks)] for arm, text in arms]
    unit = " in percent" if metric.is_accuracy else ""
    over = f"{next(iter(sizes))}" if len(sizes) == 1 else "(number of)"
    what = "one run each" if sizes == {1} else f"mean $\\pm$ standard deviation over {over} seeds"
    caption = f"{metric.label[:1].upper()}{tex_text(metric.label[1:])}{unit}: {what}"
    return _table(header, rows, f"l{'r' * (len(header) - 1)}", caption, "means")


def _mean(summary: ScoreSummary, metric: Metric, is_bold: bool, has_size: bool) -> str:
    mean = metric.score(summary.mean)
    spread = "" if summary.sd is None else f" \\pm {metric.spread(summary.sd)}"
    bold = f"\\mathbf{{{mean}}}" if is_bold else mean
    return f"${bold}{spread}$" + (f" ({summary.n})" if has_size else "")


def _differences(analysis: Analysis) -> str:
    comparison, metric = analysis.comparison, analysis.metric
    assert comparison is not None  # contrasts come from comparisons alone
    assert metric is not None
    has_tests = any(contrast.outcome.test is not None for contrast in analysis.contrasts)
    together = len(analysis.contrasts) > 1
    header = ["Arm", "Block", "Pairs", "Difference", f"{tex_text(percent(1 - comparison.alpha))} interval"]
    header += ["$p$ (Holm)" if together else "$p$"] if has_tests else []
    rows = [_row(contrast, metric, has_tests) for contrast in analysis.contrasts]
    unit = " in points" if metric.is_accuracy else ""
    kind = "repeated confidence intervals over all looks" if comparison.looks else "paired $t$ intervals"
    kind += ", which hold together" if together else ""
    test = "; $p$: sign-flip permutation test" if has_tests else ""
    caption = (
        f"Paired difference to {tex_text(comparison.baseline)} in {tex_text(metric.label)}{unit}; {kind}{test}. "
        f"Verdicts: the interval against $\\pm${tex_text(metric.threshold(comparison.rope))}"
    )
    return _table([*header, "Verdict"], rows, f"ll{'r' * (len(header) - 2)}l", caption, "differences")


def _row(contrast: Contrast, metric: Metric, has_tests: bool) -> list[str]:
    effect = contrast.outcome.effect
    label = contrast.outcome.verdict.label
    verdict = f"\\textbf{{{label}}}" if label in ("better", "worse") else "no verdict" if label == "none" else label
    names = [tex_text(contrast.arm), tex_text(contrast.block)]
    if effect is None:
        return [*names, "0", *(["--"] * (2 + has_tests)), verdict]
    decimals = 2 if effect.widened is None else max(2, metric.decimals(effect.widened.width))
    p = "--" if contrast.holm_p is None else f"${p_value(contrast.holm_p)}$"
    return [
        *names,
        str(effect.n),
        f"${metric.difference(effect.mean, decimals, plus=True)}$",
        _interval(effect.widened, metric, decimals),
        *([p] if has_tests else []),
        verdict,
    ]


def _interval(interval: Interval | None, metric: Metric, decimals: int) -> str:
    if interval is None:
        return "--"
    return f"$[{metric.difference(interval.low, decimals)}, {metric.difference(interval.high, decimals)}]$"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], columns: str, caption: str, name: str) -> str:
    lines = [
        "\\begin{table}",
        "\\centering",
        "\\small\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{caption}.}}",
        f"\\label{{tab:nin-exp-{name}}}",
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        "\\toprule",
        f"{' & '.join(header)} \\\\",
        "\\midrule",
        *(f"{' & '.join(row)} \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"
