"""What a single file's denoiser predicts, and along which noise it was trained: no shape says it, hints do.

The hints are those that the other tools have agreed upon, in this order: what is said explicitly; empty tensors named
`v_pred` and `ztsnr` (zero terminal signal-to-noise ratio), or `edm_vpred.sigma_max` and `sigma_min`; for Stable
Diffusion 2 the number of training steps, `global_step`, which is 875000 for the published model that predicts noise;
else the spread of one bias, which is above 0.09 in the published models that predict v. All others predict noise.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from sfumato.checkpoints.single.layouts import DENOISER, FLUX_1, STABLE_DIFFUSION_2, STABLE_DIFFUSION_3, Layout
from sfumato.checkpoints.single.renaming import Source
from sfumato.errors import CheckpointError

PREDICTIONS = ("epsilon", "v_prediction")
V, ZERO_SNR, CONTINUOUS, LEAST = "v_pred", "ztsnr", "edm_vpred.sigma_max", "edm_vpred.sigma_min"
SPREAD = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
SPREAD_OF_V = 0.09
BASE_STEPS = 875_000


def prediction_of(
    family: Layout, unet: Mapping[str, Any], names: Collection[str], source: Source, said: str | None
) -> tuple[dict[str, Any], str]:
    """The scheduler's configuration, and how the prediction was guessed if it was.

    Raises:
        CheckpointError: a prediction is said that is not known, or of a model that flows.
    """
    scheduler = dict(family.scheduler)
    if said is not None and (said not in PREDICTIONS or family in (STABLE_DIFFUSION_3, FLUX_1)):
        raise CheckpointError(f"prediction should be one of {', '.join(PREDICTIONS)}, of a U-Net, not {said!r}.")
    if family in (STABLE_DIFFUSION_3, FLUX_1):
        return scheduler, ""
    if CONTINUOUS in names and said is None:
        return scheduler | _continuous(names, source), ""
    if ZERO_SNR in names:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if said is not None:
        return scheduler | {"prediction_type": said}, ""
    if V in names:
        return scheduler | {"prediction_type": "v_prediction"}, ""
    if family is not STABLE_DIFFUSION_2 or unet["in_channels"] != 4:
        return scheduler, ""
    if "global_step" in names:
        base = _number(source, "global_step") == BASE_STEPS
        return scheduler | {"prediction_type": PREDICTIONS[not base]}, f"global_step is {'' if base else 'not '}875000"
    name = next((prefix + SPREAD for prefix in (DENOISER, "") if prefix + SPREAD in names), None)
    if name is None or math.prod(source.shape(name)) > 100_000:
        return scheduler, f"there is no {SPREAD}"
    spread = source.get(name).float().std(correction=0).item()
    relation = "above" if spread > SPREAD_OF_V else "at most"
    told = f"the spread of {name} is {spread:.3f}, {relation} {SPREAD_OF_V}"
    return scheduler | {"prediction_type": PREDICTIONS[spread > SPREAD_OF_V]}, told


def said_in(metadata: Mapping[str, str]) -> str | None:
    """What a file's metadata says of the prediction, in the words of Stability's model specification."""
    words = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
    told = (metadata.get(f"modelspec.{key}", "") for key in ("prediction_type", "predict_key"))
    return next((words[word] for word in told if word in words), None)


def _continuous(names: Collection[str], source: Source) -> dict[str, Any]:
    """CosXL: sigma itself is the time, and v is predicted."""
    if LEAST not in names:
        raise CheckpointError(f"the tensor {LEAST} is missing beside {CONTINUOUS}")
    low, high = _number(source, LEAST), _number(source, CONTINUOUS)
    return {
        "timestep_type": "continuous",
        "prediction_type": "v_prediction",
        "sigma_min": low,
        "sigma_max": high,
        "use_exponential_sigmas": True,
    }


def _number(source: Source, name: str) -> float:
    if math.prod(source.shape(name)) != 1:
        raise CheckpointError(f"the tensor {name} should be one number, not of shape {tuple(source.shape(name))}")
    return float(source.get(name).item())
