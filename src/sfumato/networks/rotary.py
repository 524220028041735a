"""Rotary positions: queries and keys are turned by an angle that grows with their place (Su et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

KINDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


@dataclass(frozen=True)
class Rotary:
    """How fast each pair of channels turns, under the names of `rope_parameters` in a `config.json`.

    `rope_type` says how a model was stretched to longer texts: "linear" slows all pairs down by `factor` (Chen et al.
    2023), "llama3" only those that turn slowly, with a soft transition (Grattafiori et al. 2024, section 3.4.2).
    """

    rope_theta: float = 10_000.0
    rope_type: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    def __post_init__(self) -> None:
        if self.rope_type not in KINDS:
            raise ValueError(f"rope_type={self.rope_type!r:.100} is not supported, only {', '.join(KINDS)}")
        for name, value in asdict(self).items():
            if name != "rope_type" and not _positive(value):
                raise ValueError(f"rope_parameters: {name}={value!r:.100} must be a positive number")
        if self.low_freq_factor == self.high_freq_factor:
            raise ValueError("rope_parameters: low_freq_factor and high_freq_factor must differ")

    @classmethod
    def read(cls, mapping: Mapping[str, Any], positions: int) -> Rotary:
        """Reads them from a `config.json`, where transformers has put them in several ways over time.

        `positions` is how long the model's texts may be. Raises ValueError for what is not supported.
        """
        told = mapping.get("rope_scaling") or mapping.get("rope_parameters") or {}
        if not isinstance(told, Mapping):
            raise ValueError(f"rope_parameters={told!r:.100} must be a table")
        told = {"rope_theta": mapping.get("rope_theta") or cls.rope_theta, **told}
        kind = told.setdefault("rope_type", told.pop("type", "default"))  # its older name
        told.setdefault("original_max_position_embeddings", positions)
        if told.pop("partial_rotary_factor", 1.0) != 1.0 or mapping.get("partial_rotary_factor", 1.0) != 1.0:
            raise ValueError("partial_rotary_factor is not supported, only 1.0")
        if kind not in KINDS:
            return cls(rope_type=kind)  # which refuses it
        if unknown := set(told) - set(cls.__dataclass_fields__):
            raise ValueError(f"rope_parameters: {sorted(unknown)[0]!r:.100} is not known here")
        if missing := [name for name in KINDS[kind] if name not in told]:
            raise ValueError(f"rope_parameters: {missing[0]} is missing")
        return cls(**{name: told[name] for name in ("rope_theta", "rope_type", *KINDS[kind])})

    def written(self) -> dict[str, Any]:
        """Gives the keys of a `config.json`, for transformers of any age."""
        told = {name: getattr(self, name) for name in ("rope_theta", "rope_type", *KINDS[self.rope_type])}
        return {
            "rope_parameters": told,
            "rope_theta": self.rope_theta,
            "rope_scaling": None if self.rope_type == "default" else told,
        }

    def frequencies(self, width: int, device: torch.device | None = None) -> Float[Tensor, " pairs"]:
        """Gives how far each of the pairs of `width` channels turns from one position to the next, in radians."""
        exponents = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
        frequencies = 1.0 / self.rope_theta**exponents
        if self.rope_type == "linear":
            return frequencies / self.factor
        if self.rope_type == "llama3":
            return self._stretched(frequencies)
        return frequencies

    def _stretched(self, frequencies: Float[Tensor, " pairs"]) -> Float[Tensor, " pairs"]:
        """Slows down by `factor` the pairs that turn less than `low_freq_factor` times in the length once trained."""
        turns = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        kept = ((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0, 1)
        return kept * frequencies + (1 - kept) * frequencies / self.factor

    def rotation(
        self, positions: Int[Tensor, "*s"], width: int
    ) -> tuple[Float[Tensor, "*s {width}"], Float[Tensor, "*s {width}"]]:
        """Gives cosine and sine for `rotated`; the sine of the first half carries its sign."""
        angles = positions[..., None].float() * self.frequencies(width, positions.device)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


def rotated(
    x: Float[Tensor, "b n heads c"], cos: Float[Tensor, "*s c"], sin: Float[Tensor, "*s c"]
) -> Float[Tensor, "b n heads c"]:
    """Turns each channel of the first half with its partner in the second (Su et al. 2021, equation 34)."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
