"""python -m qapflow."""

import sys

from qapflow.cli import main

sys.exit(main())
