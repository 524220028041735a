"""What comes in other files than model folders, tiny: a whole model in one file, and what is attached to models."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

TEXT = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}


@functools.cache
def host() -> Any:
    """The U-Net that adapters are attached to; it has the way down of the ControlNet."""
    from sfumato.networks.unet import UNet
    from sfumato.networks.unet_config import unet_config

    torch.manual_seed(1)
    return UNet(unet_config((8, 16), cross_attention_dim=16, head_dim=8))


def make_single(folder: Path) -> None:
    """A whole model in one file, in the layout of Stable Diffusion 1."""
    from sfumato.checkpoints.single.sources import Listed
    from sfumato.checkpoints.single.writing import write_single_file
    from sfumato.networks.clip import TextConfig, TextEncoder
    from sfumato.networks.unet import UNet
    from sfumato.networks.unet_config import UNetConfig
    from sfumato.networks.vae import AutoencoderKL, autoencoder_config

    class Held:
        """A network's weights as an opened file."""

        def __init__(self, network: torch.nn.Module):
            self.entries = network.state_dict()

        def get(self, name: str) -> torch.Tensor:
            return self.entries[name]

    torch.manual_seed(0)
    unet = UNetConfig(block_out_channels=(32, 32), layers_per_block=1, cross_attention_dim=64,
                      down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                      up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))  # fmt: skip
    text = TextConfig(vocab_size=520, eos_token_id=519, architectures=("CLIPTextModel",), **TEXT)
    networks = {
        "unet": UNet(unet),
        "vae": AutoencoderKL(autoencoder_config((32, 32), norm_num_groups=32, scaling_factor=0.18215)),
        "text_encoder": TextEncoder(text),
    }
    parts = {name: Listed(Held(network)) for name, network in networks.items()}
    scheduler = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
                 "beta_end": 0.012, "prediction_type": "epsilon"}  # fmt: skip
    configs = {name: network.config.to_dict() for name, network in networks.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_single_file(folder / "single.safetensors", parts, configs, scheduler)


def open_single(folder: Path) -> None:
    """Read every part of the file as a network."""
    from sfumato.checkpoints.fill import build, fill
    from sfumato.checkpoints.folder import NETWORKS
    from sfumato.checkpoints.single.family import naming, recognise, unpacked
    from sfumato.checkpoints.single.sources import Listed, Part
    from sfumato.checkpoints.tensors import Safetensors
    from sfumato.errors import CheckpointError

    path = folder / "single.safetensors"
    file = Safetensors(path)
    with naming(path):
        source = Listed(file)
        family = recognise(source)
        for name, view in unpacked(source, family).items():
            config = family.seats[name].config
            kind = NETWORKS[config.get("_class_name") or config["architectures"][0]]
            part = Part(view, path)
            try:
                network = build(functools.partial(kind.network, kind.config.from_dict(config)), part)
            except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:  # as load_part has it
                raise CheckpointError(f"no network can be built: {error}") from error
            fill(network, part)


def make_attached(folder: Path) -> None:
    """A LoRA in both layouts, an embedding in both formats, an IP-Adapter, a ControlNet and the tokenizer of a T5."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    from sfumato.checkpoints.folder import save_part
    from sfumato.checkpoints.lora import write_lora
    from sfumato.networks.controlnet import ControlNet, ControlNetConfig
    from sfumato.networks.ip_adapter import ImageProjection, IPAdapter
    from sfumato.networks.lora import fresh

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    for layout in ("peft", "kohya"):
        write_lora(folder / f"{layout}.safetensors", {"unet": fresh(host(), 2)}, layout)  # type: ignore[arg-type]
    save_file({"emb_params": torch.randn(2, 16)}, folder / "word.safetensors")
    torch.save({"string_to_param": {"*": torch.randn(2, 16)}, "name": "word"}, folder / "word.bin")
    layers = {name: (each.to_k.in_features, each.to_k.out_features) for name, each in host().cross_attentions().items()}
    adapter = IPAdapter(ImageProjection(12, 2, 16), layers)
    save_file({name: tensor.clone() for name, tensor in adapter.state_dict().items()}, folder / "ip.safetensors")
    told = host().config.to_dict()
    alike = ("block_out_channels", "down_block_types", "cross_attention_dim", "norm_num_groups", "attention_head_dim")
    more = {"layers_per_block": 1, "use_linear_projection": True, "conditioning_embedding_out_channels": (4, 8)}
    config = ControlNetConfig.from_dict({name: told[name] for name in alike} | more)
    save_part(folder, "controlnet", ControlNet(config))
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -20.0),
        *((letter, -2.0) for letter in "▁abcdet"),
        ("▁cat", -4.0),
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    (folder / "t5").mkdir(exist_ok=True)
    tokenizer.save(str(folder / "t5" / "tokenizer.json"))


def open_attached(folder: Path) -> None:
    """Read them all, and raise the first refusal."""
    from sfumato.checkpoints.folder import load_part
    from sfumato.checkpoints.ip_adapter import load_ip_adapter
    from sfumato.checkpoints.lora import read_lora
    from sfumato.checkpoints.textual_inversion import read_embedding
    from sfumato.data.t5_tokens import T5Tokenizer
    from sfumato.errors import SfumatoError

    readers: list[Callable[[], Any]] = [
        *(functools.partial(read_lora, folder / f"{name}.safetensors", {"unet": host()}) for name in ("peft", "kohya")),
        *(functools.partial(read_embedding, folder / f"word.{format}") for format in ("safetensors", "bin")),
        lambda: load_ip_adapter(folder / "ip.safetensors", host()),
        lambda: load_part(folder, "controlnet"),
        lambda: T5Tokenizer.load(folder / "t5").numbers("a cat, a bed"),
    ]
    refusals = []
    for read in readers:
        try:
            read()
        except SfumatoError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
