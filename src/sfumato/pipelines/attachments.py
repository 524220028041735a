"""The networks that requests attach to a model's U-Net: found, checked against it, and kept from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import has_part, load_network
from sfumato.checkpoints.ip_adapter import load_ip_adapter
from sfumato.diffusion.levels import Level
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.clip import ImageConfig
from sfumato.networks.controlnet import ControlNet
from sfumato.networks.extras import ImagePrompt
from sfumato.networks.ip_adapter import IPAdapter
from sfumato.networks.t2i_adapter import T2IAdapter
from sfumato.networks.unet import UNet
from sfumato.pipelines.attached import Attached, Features, Steering, span_of
from sfumato.pipelines.digests import hash_of
from sfumato.pipelines.fitting import channels_of, misfit
from sfumato.pipelines.hints import MOST_HINTS, Control, Like
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import Request

MOST_KEPT = MOST_HINTS  # of a kind, so that those of one request are always among them
SUFFIXES = (".json", ".safetensors", ".bin")


class Attachments:
    """The networks of controls and likenesses, loaded when they are first asked for; the last few are kept.

    A network whose file was replaced meanwhile is loaded anew.
    """

    def __init__(self, model: Model, factor: int) -> None:
        self.model, self.factor = model, factor
        self._kept: dict[str, dict[tuple[Any, ...], Any]] = {}

    def identified(self, plan: Request) -> Request:
        """The request with the fingerprints of its networks.

        Raises CheckpointError when one is missing, broken, for another kind of model, or has another fingerprint than
        the request names.
        """
        if not plan.control and not plan.like:
            return plan
        control = tuple(replace(one, fingerprint=self._known(one)) for one in plan.control)
        return replace(
            plan, control=control, like=tuple(replace(one, fingerprint=self._known(one)) for one in plan.like)
        )

    def attached(self, plan: Request, width: int, height: int, levels: Level) -> Attached | None:
        """What a request attaches to a run along `levels` of a picture of this size; None when that is nothing.

        Raises as `identified` does; PromptError for a control that no step would see.
        """
        if not plan.control and not plan.like:
            return None
        plan = self.identified(plan)
        controls: list[Steering] = []
        features: list[Features] = []
        with torch.inference_mode(False), torch.no_grad():  # guidance by CLIP takes gradients through what is made here
            for control in plan.control:
                network, span = self._network(control), span_of(levels, control.start, control.end)
                picture = self._picture(control, network, width, height)
                if isinstance(network, ControlNet):
                    controls.append(Steering(network, picture, control.scale, control.guess, span))
                else:
                    features.append(Features(tuple(each * control.scale for each in network(picture)), span))
            images = tuple(self._image_prompt(like) for like in plan.like)
        return Attached(tuple(controls), tuple(features), images)

    # --- networks -------------------------------------------------------------------------------------------------

    def _network(self, control: Control) -> ControlNet | T2IAdapter:
        path = Path(control.network)
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{path} is no folder of a ControlNet or T2I-Adapter: it has no config.json.")
        network = self._once("network", _files(path), lambda: self._loaded(path))
        if control.guess and isinstance(network, T2IAdapter):
            raise PromptError(f"{path} is a T2I-Adapter, which knows no guess; leave it out.")
        return network

    def _loaded(self, path: Path) -> ControlNet | T2IAdapter:
        network = load_network(path, "controlnet", self._dtype, str(self.model.device))
        for unet in self._unets:
            wrong = misfit(network, unet, self.factor)
            if wrong:
                raise CheckpointError(f"{path} is for another kind of model than {self.model.name}: {wrong}.")
        return network

    def _adapter(self, like: Like) -> IPAdapter:
        path, unet = Path(like.adapter), self._unets[0]
        if not path.is_file():
            raise CheckpointError(f"There is no IP-Adapter {path}; it is a .safetensors file.")
        return self._once("adapter", [path], lambda: load_ip_adapter(path, unet, self._dtype, str(self.model.device)))

    def _encoder_folder(self, like: Like) -> Path:
        """Where the image encoder is whose vectors, or states, the adapter takes."""
        projection, file = self._adapter(like).image_proj, Path(like.adapter)
        if like.encoder is not None:
            places = [Path(like.encoder)]
        else:  # as files lie in h94/IP-Adapter: sdxl_models/, and models/, whose encoder some others use too
            parents = (self.model.folder, file.parent, file.parent.parent / "models")
            places = [parent / "image_encoder" for parent in parents]
        wanted, seen = projection.inputs, []
        for place in (place for place in places if has_part(place.parent, place.name)):
            config = ImageConfig.from_dict(read_json(place / "config.json"))
            width = config.hidden_size if projection.takes_states else config.projection_dim
            if width == wanted:
                return place
            seen.append(f"that in {place} gives {width}")
        raise CheckpointError(
            f"{file} takes {wanted} numbers of an image encoder; "
            f"{', '.join(seen) or 'there is none in ' + ', '.join(map(str, places))}. Name its folder as the encoder."
        )

    @property
    def _unets(self) -> list[UNet]:
        if self.model.way != "latents" or not all(isinstance(each, UNet) for each in self.model.denoisers):
            raise PromptError(f"The model {self.model.name} has no U-Net of latents: it takes no control and no like.")
        return self.model.denoisers

    @property
    def _dtype(self) -> torch.dtype:
        return next(self._unets[0].parameters()).dtype

    # --- files ----------------------------------------------------------------------------------------------------

    def _known(self, hint: Control | Like) -> str:
        if isinstance(hint, Control):
            self._network(hint)
            files, path = _files(Path(hint.network)), hint.network
        else:
            folder, path = self._encoder_folder(hint), hint.adapter
            files = [Path(hint.adapter), *(_files(folder) if folder.parent != self.model.folder else ())]
        known = self._once(
            f"fingerprint of {type(hint).__name__}", files, lambda: hash_of((file.name, file) for file in files)
        )
        if hint.fingerprint not in ("", known):
            raise CheckpointError(
                f"{path} has the fingerprint {known}; the picture was made with {hint.fingerprint} in its place."
            )
        return known

    def _once(self, kind: str, files: Sequence[Path], make: Callable[[], Any]) -> Any:
        """What `make` makes of files, kept as long as they stay as they are and few others are asked for after them."""
        kept = self._kept.setdefault(kind, {})
        key = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        if key in kept:
            kept[key] = kept.pop(key)  # to the end, the last to be dropped
            return kept[key]
        with torch.inference_mode(False):
            kept[key] = made = make()
        for old in list(kept)[:-MOST_KEPT]:
            del kept[old]
        return made

    # --- pictures -------------------------------------------------------------------------------------------------

    def _picture(
        self, control: Control, network: ControlNet | T2IAdapter, width: int, height: int
    ) -> Float[Tensor, "1 k h w"]:
        """In [0, 1]."""
        pixels = control.picture.pixels(width, height, grey=channels_of(network) == 1)[None]
        return ((pixels + 1) / 2).to(self.model.device, self._dtype)

    def _image_prompt(self, like: Like) -> ImagePrompt:
        adapter, folder = self._adapter(like), self._encoder_folder(like)
        encoder = self._once(
            "encoder",
            _files(folder),
            lambda: load_network(folder, "image_encoder", self._dtype, str(self.model.device)),
        )
        side = encoder.config.image_size
        pixels = torch.stack([picture.for_clip(side) for picture in like.pictures])
        pixels = pixels.to(self.model.device, self._dtype)
        seen = torch.stack([adapter.look_away(encoder, pixels), adapter.look(encoder, pixels)])
        try:
            return adapter(seen, like.scale)
        except ValueError as error:
            raise PromptError(f"The scale of {like.adapter}: {error}") from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
