"""How many faults the tests inject: a few of each kind, or, with TORTURE=1 as in `make torture`, all."""

import os

IS_LONG = os.environ.get("TORTURE") == "1"
KILLS = int(os.environ.get("KILLS", "200" if IS_LONG else "6"))
SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS", "600" if IS_LONG else "0"))
SEED = 0
