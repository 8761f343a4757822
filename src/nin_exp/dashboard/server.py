"""The dashboard: studies, live, on this machine alone.

Read-only, standard library. A page elsewhere in the browser could ask 127.0.0.1 too, under a name of its own that it
points here (DNS rebinding): requests for any other host than ours are refused, and no answer may be framed or read
across origins. Scripts run by nonce only; whatever comes from run directories is text.
"""

from __future__ import annotations

import json
import secrets
import webbrowser
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from nin_exp.dashboard.live import LiveStudy
from nin_exp.dashboard.pages import render_live, render_overview, render_report, render_run
from nin_exp.dashboard.run_view import describe_run
from nin_exp.dashboard.state import describe, outline
from nin_exp.errors import ConfigError, NinExpError, StorageError

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


class DashboardServer(ThreadingHTTPServer):
    """Serves some studies until it is shut down.

    Args:
        studies: by the name under which each is shown.
        host: of a loopback interface; others would show the runs to the network.

    Raises:
        ConfigError: the host is not local, or no study is given.
        StorageError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, studies: Mapping[str, Path], host: str, port: int) -> None:
        if host not in ("127.0.0.1", "localhost"):
            raise ConfigError(f"the dashboard's host must be 127.0.0.1 or localhost, got '{host}'; use an SSH tunnel")
        if not studies:
            raise ConfigError("the dashboard needs at least one study, got none; give a folder such as runs/<study>")
        self.studies = {name: LiveStudy(path) for name, path in studies.items()}
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise StorageError(f"port {port} on {host} cannot be used: {error}; give another with --port") from error

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer
    server_version = "nin-exp"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page, JSON, or a plain refusal."""
        if self.headers.get("Host", "") not in {f"{name}:{self.server.server_port}" for name in LOCAL_NAMES}:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "this server answers for 127.0.0.1 only\n", "text/plain")
            return
        try:
            self._route([unquote(part) for part in urlsplit(self.path).path.split("/") if part])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader has gone
        except (NinExpError, FileNotFoundError) as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n", "text/plain")
        except Exception as error:  # a bug: the page says so, and the other pages go on
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"a bug of the dashboard: {error!r}\n", "text/plain")
            raise

    do_HEAD = do_GET

    def _route(self, parts: list[str]) -> None:
        nonce = secrets.token_urlsafe(16)
        studies = self.server.studies
        is_one_of_many = len(studies) > 1
        if not parts:
            names = list(studies)
            overview = render_overview(names, nonce) if is_one_of_many else None
            self._page(overview or render_live(names[0], nonce, is_one_of_many=False), nonce)
            return
        if parts == ["studies.json"]:
            self._json({"studies": [_outline(name, study) for name, study in studies.items()]})
            return
        study = studies.get(parts[1]) if parts[0] == "study" and len(parts) > 1 else None
        rest = parts[2:]
        if study is None or len(rest) > 2:
            self._send(HTTPStatus.NOT_FOUND, "there is no such page\n", "text/plain")
        elif not rest:
            self._page(render_live(parts[1], nonce, is_one_of_many=is_one_of_many), nonce)
        elif rest == ["state.json"]:
            self._state(study)
        elif rest == ["report"]:
            self._page(render_report(parts[1], nonce), nonce)
        elif rest == ["report", "page"]:  # it carries a policy of its own; our page may frame it
            framed = {"Content-Security-Policy": "frame-ancestors 'self'", "X-Frame-Options": "SAMEORIGIN"}
            self._send(HTTPStatus.OK, study.report(), "text/html", framed)
        else:
            self._run(parts[1], study, rest, nonce)

    def _state(self, study: LiveStudy) -> None:
        """The state of a study; in short where the page that asks has this one."""
        snapshot = study.look()
        asked = parse_qs(urlsplit(self.path).query)
        tokens = {"token": snapshot.token, "results_token": snapshot.results_token}
        is_known = asked.get("token") == [snapshot.token] or asked.get("results") == [snapshot.results_token]
        self._json(tokens if is_known else describe(snapshot))

    def _json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, json.dumps(value, allow_nan=False), "application/json")

    def _run(self, name: str, study: LiveStudy, rest: list[str], nonce: str) -> None:
        analysis = study.look().analysis
        # Looked up in the plan, never joined to a path: a request names no file.
        run = next((r for r in analysis.runs if rest == ["run", r.job.job_id]), None)
        if run is None:
            self._send(HTTPStatus.NOT_FOUND, "there is no such page\n", "text/plain")
            return
        self._page(render_run(name, describe_run(analysis, run), nonce), nonce)

    def _page(self, html: str, nonce: str) -> None:
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, html, "text/html", {"Content-Security-Policy": policy})

    def _send(self, status: HTTPStatus, text: str, kind: str, headers: Mapping[str, str] | None = None) -> None:
        body = text.encode("utf-8", errors="replace")
        self.send_response(status)
        fixed = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in {**fixed, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line."""


def _outline(name: str, study: LiveStudy) -> dict[str, Any]:
    """A study in short; its problem where it cannot be read: the others are shown all the same."""
    try:
        return {"key": name, "problem": None, "state": outline(study.look())}
    except (NinExpError, FileNotFoundError) as error:
        return {"key": name, "problem": str(error), "state": None}


def serve(studies: Sequence[Path], *, host: str, port: int, open_browser: bool) -> None:
    """Serve studies until interrupted, and say where.

    Args:
        studies: their folders. port: 0 for any that is free.

    Raises:
        ConfigError, StorageError: as ``DashboardServer``.
    """
    names: dict[str, Path] = {}
    for path in studies:
        names[path.name if path.name not in names else f"{path.name}-{len(names)}"] = path
    with DashboardServer(names, host, port) as server:
        print(f"dashboard: {server.url} (Ctrl-C ends it)", flush=True)  # noqa: T201
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever(poll_interval=0.2)
