"""k-diffusion as a reference, loaded as the benchmarks load it."""

import importlib.util
from pathlib import Path

import pytest

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers.py"


@pytest.fixture(scope="session")
def k_diffusion():
    """k-diffusion's `utils`, `sampling` and `external`; a test that asks for them is skipped where it is absent."""
    spec = importlib.util.spec_from_file_location("peers", PEERS)
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    found = peers.load_k_diffusion()
    if found is None:
        pytest.skip("needs: pip install --no-deps k-diffusion")
    return found
