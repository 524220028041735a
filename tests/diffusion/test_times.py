"""Spacings."""

import torch

from sfumato.diffusion.processes import Karras
from sfumato.diffusion.times import timetable


def test_karras_timetable_is_that_of_k_diffusion(k_diffusion):
    reference = k_diffusion.sampling.get_sigmas_karras(10, 0.002, 80.0)
    assert torch.allclose(timetable(Karras(), 10).sigma.float(), reference, rtol=1e-5)
