from __future__ import annotations

from hypothesis import settings

# On a machine that is shared an example may take any time.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
