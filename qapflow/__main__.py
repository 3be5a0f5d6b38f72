"""python -m qapflow."""

import sys

from qapflow.cli.main import main

sys.exit(main())
