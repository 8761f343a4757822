"""Keep secrets out of what is written."""

from __future__ import annotations

import re
from typing import Any

_SECRET_KEY = re.compile(r"(^|_|\.)(api_?key|token|password|passwd|secret|credentials?)$", re.IGNORECASE)
_URL_USER = re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@")
_ASSIGNMENT = re.compile(r"([\w.]*(?:api_?key|token|password|passwd|secret|credentials?)\s*=\s*)\S+", re.IGNORECASE)
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
    """Redact users in URLs and ``key=secret`` assignments inside a text."""
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", _URL_USER.sub(rf"\1{REDACTED}@", text))
