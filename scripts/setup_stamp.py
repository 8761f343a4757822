"""Say or write down whether .venv holds what a lock asks for.

Run in the repository's root by .venv's own Python: ``setup_stamp.py check|write run|dev``. The stamp is
written last, so an installation that was killed has none. `dev` holds `run`.
"""

import hashlib
import os
import sys

STAMP = os.path.join(".venv", "nin-exp-stamp")  # noqa: PTH118 (pathlib would double the start-up time)
SOURCES = ("requirements/run.lock", "requirements/dev.lock", "pyproject.toml", "scripts/setup.sh")


def installed_key() -> str:
    """Return a hash of what was asked for, the Python's version and the place.

    The place counts because an editable installation and console scripts hold absolute paths.
    """
    digest = hashlib.sha256()
    for name in SOURCES:
        with open(name, "rb") as file:  # noqa: PTH123
            digest.update(file.read())
    digest.update(repr((sys.version_info[:2], os.getcwd())).encode())  # noqa: PTH109
    return digest.hexdigest()


def main(action: str, level: str) -> int:
    """Write the stamp, or return 0 where it covers `level` and 1 where it does not."""
    if action == "write":
        with open(STAMP, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(f"{installed_key()} {level}\n")
        return 0
    try:
        with open(STAMP, encoding="ascii") as file:  # noqa: PTH123
            key, installed_level = file.read().split()
    except (OSError, ValueError):
        return 1
    return int(key != installed_key() or level not in {"run", installed_level})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
