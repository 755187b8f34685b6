from __future__ import annotations

import sys
from pathlib import Path

# Workers unpickle the requests of toy_handler by the name that the module has in the tests.
sys.path.insert(0, str(Path(__file__).parent))
