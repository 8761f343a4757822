"""The fork server's first import: from here on Ctrl-C ends it at once and without a word, while it imports for seconds.

Python's own handler would print a traceback of those imports on the user's terminal. The server is started with SIGINT
blocked, so that one that came earlier counts now; when it serves, it ignores SIGINT.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
