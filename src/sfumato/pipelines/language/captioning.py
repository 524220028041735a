"""A captioner in use: it says what pictures show, and how probable a caption is for a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sfumato.checkpoints.folder import has_part, load_part
from sfumato.data.tokens import Tokenizer
from sfumato.devices import choose_device, usual_dtype
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.captioner import Captioner
from sfumato.pipelines.language.choosing import Sampling
from sfumato.pipelines.language.writing import Row, write

PART = "captioner"
LIKELIEST = Sampling(temperature=0)

Seen = Float[Tensor, "n p d"]  # what was seen of pictures


class CaptionModel:
    """Captions pictures, and scores captions.

    Args:
        network: in evaluation mode, on its device.
        tokenizer: whose tokens it was trained on.
        together: pictures that are captioned, and captions that are scored, at a time.

    Raises:
        CheckpointError: the tokenizer is not that of the network.

    Example:
        >>> from sfumato.networks.captioner import CaptionerConfig
        >>> tokenizer = Tokenizer.train(["a cat", "two dogs"], length=8)
        >>> ids = {"bos_token_id": tokenizer.start_id, "eos_token_id": tokenizer.end_id}
        >>> sizes = {"image_size": 8, "channels": (8,), "hidden_size": 16, "num_hidden_layers": 1}
        >>> config = CaptionerConfig(vocab_size=tokenizer.vocab_size, caption_length=8, **sizes, **ids)
        >>> model = CaptionModel(Captioner(config).eval(), tokenizer)
        >>> len(model.caption(torch.zeros(2, 3, 8, 8)))
        2
        >>> model.log_probability(torch.zeros(2, 3, 8, 8), ["a cat", "two dogs"]).shape
        torch.Size([2])
    """

    def __init__(self, network: Captioner, tokenizer: Tokenizer, together: int = 64) -> None:
        ids, config = (tokenizer.vocab_size, tokenizer.start_id, tokenizer.end_id), network.config
        if ids != (config.vocab_size, config.bos_token_id, config.eos_token_id):
            raise CheckpointError(
                f"The tokenizer has {tokenizer.vocab_size} tokens and the captioner {config.vocab_size}, or they begin "
                "and end texts otherwise: they do not belong together."
            )
        self.network, self.tokenizer, self.together = network, tokenizer, together

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", dtype: torch.dtype | None = None) -> CaptionModel:
        """Read a model folder that has a captioner.

        Args:
            folder: of the model.
            device: auto, cpu, cuda, ...
            dtype: of the weights; by default as suits the device.

        Raises:
            CheckpointError: a file is missing, broken or not supported; the message names it.
        """
        path, where = Path(folder), choose_device(device)
        if not has_part(path, PART):
            raise CheckpointError(
                f"{path} holds no captioner. Train one on captioned pictures: sfumato train DATA --recipe captioner"
            )
        network: Captioner = load_part(path, PART, dtype or usual_dtype(where), str(where))
        return cls(network, Tokenizer.load(path / "tokenizer"))

    @property
    def side(self) -> int:
        """Pixels a side of the pictures that it sees."""
        return self.network.config.image_size

    @torch.inference_mode()
    def see(self, pictures: Float[Tensor, "n 3 s s"]) -> Seen:
        """What the captioner sees of pictures in [-1, 1] of its side, on any device; it stays on the captioner's."""
        like = self.network.projection.weight
        return torch.cat([self.network.prefix(some.to(like)) for some in pictures.split(self.together)])

    def caption(
        self,
        pictures: Float[Tensor, "n 3 s s"],
        *,
        sampling: Sampling = LIKELIEST,
        tokens: int | None = None,
        seed: int | Sequence[int] = 0,
    ) -> list[str]:
        """Say what pictures show.

        A caption depends on (model, picture, settings, seed) alone, in float32; see `writing.write`.

        Args:
            pictures: in [-1, 1], of `side` pixels.
            sampling: how words are chosen; by default the likeliest.
            tokens: written at most; by default as many as the captioner has learned.
            seed: of the first caption, the next ones have seed + 1, ...; or one for each.

        Raises:
            ValueError: pictures of another size; PromptError: `tokens` is out of its range.
        """
        most = self.network.config.caption_length - 1  # its start is not written
        limit = most if tokens is None else tokens
        if not 1 <= limit <= most:
            raise PromptError(f"tokens={tokens!r} is out of its range: captions have from 1 to {most}.")
        texts = [""] * len(pictures)
        seeds = range(seed, seed + len(pictures)) if isinstance(seed, int) else seed
        for first in range(0, len(pictures), self.together):
            seen = self.see(pictures[first : first + self.together])
            rows = [
                Row.open(number, [self.tokenizer.start_id], seeds[number], self.tokenizer, (), limit, prefix=each)
                for number, each in enumerate(seen, first)
            ]
            ends = frozenset({self.tokenizer.end_id})
            for piece in write(self.network.language_model, rows, sampling, self.tokenizer.vocab_size, ends):
                texts[piece.row] += piece.text
        return [text.strip() for text in texts]

    def log_probability(self, pictures: Float[Tensor, "n 3 s s"], captions: Sequence[str]) -> Float[Tensor, " n"]:
        """How probable each caption is for its picture, with its end: the natural logarithm, over all its tokens.

        A caption that is longer than those that the captioner has learned is scored by as many tokens as it reads.
        """
        if len(pictures) != len(captions):
            raise ValueError(f"{len(pictures)} pictures and {len(captions)} captions: there must be one for each")
        return self.scored(self.see(pictures), torch.arange(len(pictures)), captions)

    @torch.inference_mode()
    def scored(
        self, seen: Seen, which: Int[Tensor, " n"], captions: Sequence[str], *, by_least: bool = False
    ) -> Float[Tensor, " n"]:
        """The same for pictures that were seen before; `which` of them belongs to each caption. On the CPU.

        With `by_least` only the token counts that is least probable after those before it.
        """
        found = torch.empty(len(captions))
        for some in which.argsort(stable=True).split(self.together):  # captions of one picture stand together
            each, counted = self._tokens(seen, which[some], [captions[place] for place in some.tolist()])
            each = each.where(counted, 0.0)  # which is as probable as can be
            found[some] = (each.amin(1) if by_least else each.sum(1)).cpu()
        return found

    def _tokens(
        self, seen: Seen, which: Int[Tensor, " b"], captions: Sequence[str]
    ) -> tuple[Float[Tensor, "b t"], Bool[Tensor, "b t"]]:
        """The log-probability of each token, and which tokens count.

        Each picture is read once, however many captions it has; then all captions at once.
        """
        gpt, device = self.network.language_model, self.network.projection.weight.device
        ids = self.tokenizer.encode(captions)
        counted = said(ids, self.tokenizer.end_id)
        longest = int(counted.sum(1).max())
        ids, counted = ids[:, : longest + 1].to(device), counted[:, :longest].to(device)
        pictures, rows = which.unique(return_inverse=True)
        read = gpt.new_cache(len(pictures), self.network.config.vectors + longest)
        prefix = seen[pictures.to(seen.device)].to(device, self.network.projection.weight.dtype)
        first = gpt(ids[: len(pictures), :1], read, prefix=prefix)  # all captions begin with the same token
        read.keep(rows.to(device))
        logits = torch.cat([first[rows.to(device)], gpt(ids[:, 1:-1], read)], 1) if longest > 1 else first[rows]
        return logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[:, :, 0], counted


def said(ids: Int[Tensor, "b t+1"], end: int) -> Bool[Tensor, "b t"]:
    """Which tokens after the first belong to a caption: all to its end, which belongs to it, and no padding."""
    ended = (ids[:, 1:] == end).int()
    return ended.cumsum(1) - ended == 0
