"""``python -m node.sandbox``."""

from __future__ import annotations

import sys

from node.sandbox.child import main

sys.exit(main())
