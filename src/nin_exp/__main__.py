"""``python -m nin_exp`` is ``nin-exp``."""

from nin_exp.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
