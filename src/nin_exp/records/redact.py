"""Keep secrets out of what is written."""

from __future__ import annotations

import re
from typing import Any

_WORDS = r"(?:(?:api|access|private|secret|auth)_?key|token|password|passwd|passphrase|secret|credentials?)"
_SECRET_KEY = re.compile(rf"(^|_|\.){_WORDS}$", re.IGNORECASE)
_URL_USER = re.compile(r"(\w+://)[^/\s@]+@")
_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s,}&]+)"""
_ASSIGNMENT = re.compile(rf"([\w.]*{_WORDS}['\"]?\s*[=:]\s*){_VALUE}", re.IGNORECASE)
REDACTED = "[redacted]"


def redact(value: Any, key: str = "") -> Any:
    """A copy in which values of secret-looking keys, and users in URLs, are replaced.

    >>> redact({"api_key": "x", "url": "db://me:pw@host/1"})
    {'api_key': '[redacted]', 'url': 'db://[redacted]@host/1'}
    """
    if isinstance(value, dict):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v, key) for v in value]
    if value is not None and _SECRET_KEY.search(key):
        return REDACTED
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """Redact users in URLs and ``key=secret`` assignments inside a text.

    >>> redact_text("tune.storage=db://me:pw@host/1 logger.wandb.api_key=abc")
    'tune.storage=db://[redacted]@host/1 logger.wandb.api_key=[redacted]'
    """
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", _URL_USER.sub(rf"\1{REDACTED}@", text))
