"""Text from outside (names, errors, commands), made safe for a page, a terminal, a spreadsheet and LaTeX."""

from __future__ import annotations

import html
import unicodedata

LONGEST_TEXT = 4000
"""Characters of one error or command that are shown; the whole stands in the run's record."""

_DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "µ": r"$\mu$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "ø": r"\o{}",
    "\u00a0": "~",
    **{letter: f"$\\{name}$" for letter, name in zip(_GREEK, _GREEK_NAMES.split(), strict=True)},
}
_TEX_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c", "\u0328": "k",
}  # fmt: skip


def plain_text(text: str, keep: str = "") -> str:
    r"""Show control characters instead of obeying them: an escape sequence can rewrite a terminal's screen.

    Also the controls of writing direction, lone surrogates and non-characters.

    Args:
        keep: control characters that stay, such as a newline.

    >>> plain_text("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _is_control(c) else c.encode("unicode_escape").decode() for c in text)


def _is_control(character: str) -> bool:
    code = ord(character)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or character in _DIRECTION_CONTROLS
        or is_noncharacter
    )


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """Cut a text in the middle: the end of a traceback names the error, its start the place."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def plotly_text(text: str, longest: int = 60) -> str:
    """Escape a name for a figure: Plotly reads texts as HTML, with links, and cuts none."""
    clean = plain_text(text)
    return html.escape(clean if len(clean) <= longest else clean[: longest - 1] + "…")


def csv_cell(value: object) -> str:
    """Write a spreadsheet cell that is not run as a formula (OWASP, "CSV injection").

    Numbers stay numbers; a text that starts with = + - @ gets a quote in front.
    """
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return repr(value)
    text = plain_text(str(value))
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def tex_text(text: str) -> str:
    r"""Escape a text for LaTeX; a letter that pdfLaTeX does not have is named by its code, where it would be an error.

    >>> tex_text("50 % of a_b")
    '50 \\% of a\\_b'
    >>> tex_text("\u00e9, \u03bb, \u4e2d")
    "\\'{e}, $\\lambda$, [U+4E2D]"
    """
    return "".join(_TEX.get(c) or (c if c.isascii() else _tex_letter(c)) for c in plain_text(text))


def _tex_letter(character: str) -> str:
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _TEX_ACCENTS:
        return f"\\{_TEX_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"[U+{ord(character):04X}]"
