"""What a run says while it trains: everything into its ``log.txt``, and what a user should see to the console."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from nin_exp.records.redact import redact_text

LOG_FILE = "log.txt"
_log = logging.getLogger("nin_exp")


class _RedactingFormatter(logging.Formatter):
    """Libraries quote settings in their errors, secrets included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


@contextlib.contextmanager
def logged(run_dir: Path, console: TextIO | None) -> Iterator[None]:
    """Log into the run directory until the end.

    Args:
        console: gets warnings that say ``extra={"console": True}``; None for nobody.
    """
    handler = logging.FileHandler(run_dir / LOG_FILE, encoding="utf-8")
    handler.setFormatter(_RedactingFormatter("%(asctime)s %(levelname)s %(message)s"))
    shown = _console(run_dir / LOG_FILE, console)
    root = logging.getLogger()
    level = _log.level
    _log.setLevel(logging.INFO)
    root.addHandler(handler)
    _log.addHandler(shown)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.captureWarnings(False)
        _log.removeHandler(shown)
        root.removeHandler(handler)
        _log.setLevel(level)
        handler.close()


def _console(log_file: Path, console: TextIO | None) -> logging.Handler:
    if console is None:
        return logging.NullHandler()
    handler: logging.Handler = logging.StreamHandler(console)
    with contextlib.suppress(OSError, ValueError):  # no console at all
        if os.path.samestat(os.fstat(console.fileno()), log_file.stat()):
            handler = logging.NullHandler()  # a plan's processes write their console into the log
    handler.setFormatter(_RedactingFormatter("nin-exp: warning: %(message)s"))
    handler.addFilter(lambda record: getattr(record, "console", False) is True)
    return handler
