"""Whether Weights & Biases can be reached: asked before anything is sent, since its own client waits for minutes."""

from __future__ import annotations

import http.client
import netrc
import os
import urllib.error
import urllib.parse
import urllib.request

ANSWER_SECONDS = 3.0


def why_offline() -> str | None:
    """What keeps W&B from being reached: told to be offline, no key, no answer; None where it can be."""
    mode = os.environ.get("WANDB_MODE")
    if mode in ("offline", "disabled", "dryrun"):
        return f"WANDB_MODE is {mode}"
    if not has_key():
        return "no key is known: wandb login, or WANDB_API_KEY"
    url = _server().geturl()
    return None if _answers(url) else f"{url} does not answer"


def has_key() -> bool:
    """Whether W&B would find a key: in the environment, or stored by ``wandb login``."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(str(_server().hostname)) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _server() -> urllib.parse.SplitResult:
    import wandb

    return urllib.parse.urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url)


def _answers(url: str) -> bool:
    """Whether something that is not broken answers there within some seconds; what it says does not matter."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except (OSError, ValueError, http.client.HTTPException):
        return False
