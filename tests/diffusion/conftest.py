"""k-diffusion as a reference: its modules `sampling` and `external`, without the package around them."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import pytest


@pytest.fixture(scope="session")
def k_diffusion():
    """k-diffusion's `sampling` and `external`; a test that asks for them is skipped where it is not installed.

    Its package asks for torchvision, wandb, kornia, CLIP and more, for training and evaluation that no test here
    needs. So it is installed alone (`pip install --no-deps k-diffusion`, as .ci/run does; the test extra brings what
    its sampling does need) and its modules are loaded from their files, without its `__init__`, which imports the rest.
    """
    try:
        found = importlib.util.find_spec("k_diffusion")  # finds a package without running it
    except ValueError:
        found = None
    if found is None:
        pytest.skip("needs: pip install --no-deps k-diffusion")
    package = ModuleType("k_diffusion")
    package.__path__ = found.submodule_search_locations
    torchvision, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    transforms.functional = ModuleType("torchvision.transforms.functional")  # for pictures, which no solver sees
    absent = {"torchvision": torchvision, "torchvision.transforms": transforms}
    with patch.dict(sys.modules, {"k_diffusion": package, **absent}):
        names = ("utils", "sampling", "external")
        modules = {name: importlib.import_module(f"k_diffusion.{name}") for name in names}
    return SimpleNamespace(**modules)
