"""Names of files and classes are other people's text: what is shown of them is one line, and nothing else."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with ``?`` for what is no character to look at: line ends, what a terminal obeys, broken encodings."""
    return "".join(c if c.isprintable() else "?" for c in text)


def encodable(text: str) -> str:
    r"""The text as UTF-8 can hold it: bytes of a file name that are none stand as ``\udc..``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
