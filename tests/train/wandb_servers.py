"""Loopback servers where Weights & Biases should be, each bad in its way."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Kind = Literal["offline", "refuse", "error", "hang", "late", "breaks", "stalls"]

_PROJECT = {"id": "UHJvamVjdDox", "name": "nin_exp", "entity": {"id": "RW50aXR5OjE=", "name": "me"}}
_RUN = {
    "id": "QnVja2V0OjE=", "name": "run", "displayName": "run", "description": "", "config": "{}", "sweepName": None,
    "project": _PROJECT, "historyLineCount": 0, "summaryMetrics": "{}", "createdAt": "2026-01-01T00:00:00", "tags": [],
}  # fmt: skip
_TAKEN = {
    "viewer": {
        "id": "VXNlcjox",
        "username": "me",
        "entity": "me",
        "admin": False,
        "flags": "{}",
        "teams": {"edges": []},
    },
    "serverInfo": {"cliVersionInfo": {"max_cli_version": "99.0.0"}, "latestLocalVersionInfo": None, "features": []},
    "upsertBucket": {"bucket": _RUN, "inserted": True},
    "model": None,
}
"""What a server says that takes a run: whatever was asked, the answer is in it."""


class BadServer:
    """Serves until the end of its ``with``.

    Args:
        kind: ``offline`` is not even asked; ``refuse`` does not listen; ``hang`` takes connections and never answers;
            ``error`` answers 500; ``late`` does so to POST alone; ``breaks`` and ``stalls`` take the run, and then
            answer 500 or no more.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind, self.requests = kind, list[str]()
        self._ends = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        port = self._server.server_port
        self.url = f"http://127.0.0.1:{port}"
        mode = "offline" if kind == "offline" else "online"
        self.environment = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": mode}

    def __enter__(self) -> BadServer:
        if self.kind in ("refuse", "offline"):
            self._server.server_close()
        else:
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        if self.kind not in ("refuse", "offline"):
            self._server.shutdown()
            self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any] | None:
        """Status and content; None for no answer."""
        if self.kind == "hang":
            return None
        is_taken = path == "/graphql" and b"createRunFiles" not in body and self.kind in ("breaks", "stalls")
        if is_taken or (method == "GET" and self.kind in ("late", "breaks", "stalls")):
            return 200, {"data": _TAKEN}
        return None if self.kind == "stalls" else (500, {"error": "broken"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bad = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                bad.requests.append(f"{self.command} {self.path}")
                found = bad.answer(self.command, self.path, asked)
                if found is None:
                    bad._ends.wait()
                    self.close_connection = True
                    return
                body = json.dumps(found[1]).encode()
                with contextlib.suppress(OSError):  # whoever asked has gone
                    self.send_response(found[0])
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_POST = do_PUT = do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        return Handler
