"""`python -m deepen` is `deepen`; `torchrun -m deepen train ...` starts it on many ranks."""

from __future__ import annotations

import sys

from deepen.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
