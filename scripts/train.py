"""``nin-exp train`` for people who run from a checkout: python scripts/train.py head=gap dataset=digits."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from nin_exp.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    raise SystemExit(main())
