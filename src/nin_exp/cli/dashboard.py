"""``nin-exp dashboard``: studies, live, in a browser on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nin_exp.cli.flags import make_parser
from nin_exp.records.index import find_study

DEFAULT_PORT = 8766
_DESCRIPTION = "Watch studies in a browser on this machine, while they run or afterwards."


def run(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit code."""
    parser = make_parser("dashboard", _DESCRIPTION, "example:\n  nin-exp dashboard heads --port 0 --no-browser")
    parser.add_argument("studies", nargs="*", metavar="study", help="names or paths (default: the newest study)")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where studies lie")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 for any free one")
    parser.add_argument("--no-browser", action="store_true", help="only say where it is")
    args = parser.parse(arguments)
    runs_dir = Path(args.runs_dir).expanduser()
    studies = list(dict.fromkeys(find_study(name, runs_dir) for name in args.studies or [None]))
    from nin_exp.dashboard.server import serve

    serve(studies, host="127.0.0.1", port=args.port, open_browser=not args.no_browser)
    return 0
