import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.report.metric import Metric, count, duration, memory, p_equation, p_value, percent
from nin_exp.report.text import csv_cell, plain_text, plotly_text, shorten, tex_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ümlaut, 漢字, 🙂", "plain, ümlaut, 漢字, 🙂"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202eevil", "\\u202eevil"),
        ("\udc80", "\\udc80"),
        ("a\u2028b\x85c\x00", "a\\u2028b\\x85c\\x00"),
        ("\ufffe\U0001ffff", "\\ufffe\\U0001ffff"),
    ],
)
def test_controls_are_shown(text: str, shown: str) -> None:
    assert plain_text(text) == shown


def test_newlines_can_stay() -> None:
    assert plain_text("a\n\tb\x07", keep="\n\t") == "a\n\tb\\x07"


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_plain_text_is_printable_and_encodable(text: str) -> None:
    shown = plain_text(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "  =1+1", "\t=1", "\r=1", "\x1b[31m"])
def test_csv_cells_are_no_formulas(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell(text)])
    (cell,) = next(csv.reader(io.StringIO(file.getvalue())))
    assert cell[:1] not in "=+-@\t\r\n"
    assert "\x1b" not in cell


def test_csv_numbers_stay_numbers() -> None:
    assert [csv_cell(v) for v in (-1.5, 3, None, True, "gap")] == ["-1.5", "3", "", "True", "gap"]


def test_tex_and_plotly_text() -> None:
    assert tex_text("a_b & 50% {x} \\ ~^#$<>") == (
        r"a\_b \& 50\% \{x\} \textbackslash{} \textasciitilde{}\textasciicircum{}\#\$\textless{}\textgreater{}"
    )
    assert plotly_text("<a href='http://x'>l</a>") == "&lt;a href=&#x27;http://x&#x27;&gt;l&lt;/a&gt;"
    assert plotly_text("x" * 100, 10) == "x" * 9 + "…"


def test_shorten_keeps_both_ends() -> None:
    text = shorten("A" + "x" * 10_000 + "Z", 100)
    assert text.startswith("A")
    assert text.endswith("Z")
    assert "9902 characters left out" in text


def test_metric_numbers() -> None:
    acc, nll = Metric("test/acc"), Metric("val/nll")
    assert (acc.label, nll.label) == ("test accuracy", "validation negative log-likelihood")
    assert (acc.score(0.98765), nll.score(0.123456), acc.score(None)) == ("98.77", "0.1235", "–")
    assert [acc.difference(-0.012, 1), acc.difference(0.012, 1, plus=True)] == ["-1.2", "+1.2"]
    assert [acc.difference(-1e-6), acc.difference(1e-6, plus=True)] == ["0.00", "0.00"]
    assert (acc.amount(-0.012, 1), acc.threshold(0.002), nll.threshold(0.01)) == ("1.2 points", "0.2 points", "0.01")


@pytest.mark.parametrize(
    ("width", "decimals"), [(0.5, 1), (0.01, 1), (0.004, 2), (0.0005, 2), (0.0001, 3), (1e-6, 4), (0, 2)]
)
def test_decimals_follow_the_width(width: float, decimals: int) -> None:
    assert Metric("test/acc").decimals(width) == decimals


def test_p_values_round_half_up_and_never_to_zero() -> None:
    assert [p_value(p) for p in (0.0625, 0.0078125, 0.5, 1.0, 0.00099, 0.0, None)] == [
        "0.063",
        "0.008",
        "0.5",
        "1",
        "< 0.001",
        "< 0.001",
        "–",
    ]
    assert (p_equation(0.031), p_equation(1e-6)) == ("p = 0.031", "p < 0.001")


def test_quantities() -> None:
    assert (percent(0.95), percent(1 - 0.001)) == ("95 %", "99.9 %")
    assert count(1234567).replace("\u202f", " ") == "1 234 567"
    assert [memory(v) for v in (None, 512, 2048, 3 * 2**30)] == ["–", "512 B", "2 KiB", "3.00 GiB"]
    assert [duration(v) for v in (None, 1.23, 41, 200, 7500)] == ["–", "1.2 s", "41 s", "3 min 20 s", "2 h 05 min"]
