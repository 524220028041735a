"""How fast is a text written, beside transformers' `generate` on the same weights?

    python benchmarks/writing.py [--layout gpt2|llama] [--width 768] [--layers 12] [--batches 1 16] [--threads 2]

A network of random weights, of the shape of the smallest GPT-2 unless told otherwise, goes on from the same random
tokens in both libraries, each token the likeliest, so many of them, with a cache of keys. The two take turns; a time is
the median of the repeats, and so is the ratio, of the two of each turn. Ours includes the turning of tokens to text and
the log-probability of each; transformers' is without both. Where a choice is so close that rounding decides it, the two
may go different ways from there: the last column tells how many texts are the same throughout.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from sfumato.checkpoints.language import save_language_model
from sfumato.data.text.tokens import TextTokenizer
from sfumato.networks.gpt import GPT
from sfumato.networks.gpt2 import GPT2, GPT2Config
from sfumato.networks.initialisation import initialise
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language.choosing import Sampling
from sfumato.pipelines.language.writing import Row, write

NO_IDS = {"bos_token_id": None, "eos_token_id": None}


def make(layout: str, width: int, layers: int, heads: int, vocabulary: int, positions: int) -> GPT:
    if layout == "gpt2":
        sizes = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": positions}
        network: GPT = GPT2(GPT2Config(vocab_size=vocabulary, **sizes, **NO_IDS))
    else:
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=8 * width // 3,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 4 if heads % 4 == 0 else heads,
            max_position_embeddings=positions,
            tie_word_embeddings=True,
            **NO_IDS,
        )
        network = Llama(config)
    return initialise(network).eval().requires_grad_(False)


def ours(network: GPT, ids: Tensor, tokens: int) -> Callable[[], list[list[int]]]:
    tokenizer = TextTokenizer.train([])
    vocabulary = network.config.vocab_size

    def run() -> list[list[int]]:
        rows = [Row.open(number, prompt, 0, tokenizer, (), tokens) for number, prompt in enumerate(ids.tolist())]
        texts: list[list[int]] = [[] for _ in rows]
        for piece in write(network, rows, Sampling(temperature=0), vocabulary, frozenset()):
            texts[piece.row].append(piece.token)
        return texts

    return run


def theirs(folder: Path, layout: str, ids: Tensor, tokens: int) -> Callable[[], list[list[int]]]:
    from transformers import GPT2LMHeadModel, LlamaForCausalLM

    model = (GPT2LMHeadModel if layout == "gpt2" else LlamaForCausalLM).from_pretrained(folder).eval()
    settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}

    def run() -> list[list[int]]:
        mask = torch.ones_like(ids)
        return model.generate(ids, attention_mask=mask, **settings)[:, ids.shape[1] :].tolist()

    return run


def seconds(run: Callable[[], list[list[int]]]) -> tuple[float, list[list[int]]]:
    began = time.perf_counter()
    texts = run()
    return time.perf_counter() - began, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=("gpt2", "llama"), nargs="+", default=["gpt2", "llama"])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--prompt", type=int, default=32, help="tokens")
    parser.add_argument("--tokens", type=int, default=64, help="that are written")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    titles = f"{'layout':<8}{'batch':>6}{'ours, tokens/s':>16}{'transformers':>14}{'ratio':>8}"
    print(titles + f"{'from':>7}{'to':>7}{'same':>8}")
    for layout in settings.layout:
        positions = settings.prompt + settings.tokens
        network = make(layout, settings.width, settings.layers, settings.heads, settings.vocabulary, positions)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "model"
            save_language_model(folder, network)
            for batch in settings.batches:
                ids = torch.randint(0, settings.vocabulary, (batch, settings.prompt))
                runs = (ours(network, ids, settings.tokens), theirs(folder, layout, ids, settings.tokens))
                texts = [run() for run in runs]  # once before it counts
                same = sum(a == b for a, b in zip(*texts, strict=True))
                times = [[seconds(run)[0] for run in runs] for _ in range(settings.repeats)]
                written = batch * settings.tokens
                rates = [written / statistics.median(column) for column in zip(*times, strict=True)]
                ratios = sorted(other / own for own, other in times)
                print(
                    f"{layout:<8}{batch:>6}{rates[0]:>16.1f}{rates[1]:>14.1f}{statistics.median(ratios):>8.2f}"
                    f"{ratios[0]:>7.2f}{ratios[-1]:>7.2f}{same:>5}/{batch}"
                )


if __name__ == "__main__":
    main()
