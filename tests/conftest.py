"""Settings for all tests: no network, and no time limits on a noisy machine."""

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # the reference libraries look at folders only
settings.register_profile("sfumato", deadline=None)
settings.load_profile("sfumato")
