"""The file of a part: which one is taken when there are several, and what is said when there is none."""

import pytest
import torch
from safetensors.torch import save_file

from sfumato.checkpoints.pickled import Pickled
from sfumato.checkpoints.tensors import Safetensors, Sharded
from sfumato.checkpoints.weights import choose, chosen_of, files_of, open_source, open_weights
from sfumato.errors import CheckpointError

D = "diffusion_pytorch_model"


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        ([f"{D}.safetensors", f"{D}.fp16.safetensors", f"{D}.bin"], None, f"{D}.safetensors"),
        ([f"{D}.fp16.safetensors", f"{D}.bin"], None, f"{D}.fp16.safetensors"),
        ([f"{D}.fp16.safetensors", f"{D}.bf16.safetensors"], None, f"{D}.bf16.safetensors"),
        ([f"{D}.safetensors", f"{D}.fp16.safetensors"], "fp16", f"{D}.fp16.safetensors"),
        ([f"{D}.safetensors", f"{D}.non_ema.safetensors"], None, f"{D}.safetensors"),
        ([f"{D}.safetensors", f"{D}.non_ema.safetensors"], "non_ema", f"{D}.non_ema.safetensors"),
        ([f"{D}.safetensors.index.json", f"{D}-00001-of-00002.safetensors"], None, f"{D}.safetensors.index.json"),
        ([f"{D}.safetensors.index.json", f"{D}.safetensors"], None, f"{D}.safetensors"),
        (
            ["model.safetensors.index.fp16.json", "model.fp16-00001-of-00002.safetensors"],
            None,
            "model.safetensors.index.fp16.json",
        ),
        (["model.safetensors", "pytorch_model.bin"], None, "model.safetensors"),
        (["pytorch_model.bin"], None, "pytorch_model.bin"),
        (["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"], None, "pytorch_model.bin.index.json"),
        ([f"{D}.non_ema.safetensors", "config.json", "openvino_model.bin", "flax_model.msgpack"], None, None),
        ([f"{D}.safetensors"], "fp16", None),
    ],
)
def test_the_file_that_is_taken(names, variant, chosen):
    for order in (names, names[::-1]):
        assert chosen_of(order, variant) == chosen


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shards", ["1GB", "100KB"])
def test_what_diffusers_writes_is_found(tmp_path, variant, shards):
    from diffusers import UNet2DConditionModel

    theirs = UNet2DConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
    )
    theirs.save_pretrained(tmp_path, variant=variant, max_shard_size=shards)
    source = open_weights(tmp_path)
    assert isinstance(source, Sharded) == (shards == "100KB")
    assert ("fp16" in source.path.name) == (variant == "fp16")
    assert set(source.entries) == set(theirs.state_dict())
    assert all(torch.equal(source.get(name), tensor) for name, tensor in theirs.state_dict().items())


def test_the_file_says_how_it_is_read(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    torch.save({"a": torch.ones(1)}, tmp_path / "a.ckpt")
    assert isinstance(open_source(tmp_path / "a.safetensors"), Safetensors)
    assert isinstance(open_source(tmp_path / "a.ckpt"), Pickled)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], r"diffusion_pytorch_model\.safetensors is missing"),
        (["flax_model.msgpack"], "flax_model.msgpack is of another library"),
        ([f"{D}.non_ema.safetensors"], "name one of: non_ema"),
    ],
)
def test_a_part_without_weights_is_told_from_one_with_others(tmp_path, names, said):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=said):
        choose(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        choose(tmp_path / "absent")


def test_a_variant_that_is_not_there_is_named_with_those_that_are(tmp_path):
    (tmp_path / f"{D}.safetensors").touch()
    with pytest.raises(CheckpointError, match="variant 'fp16'; name one of: the plain one"):
        choose(tmp_path, "fp16")


def test_an_index_comes_with_its_shards_and_no_others():
    plain = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    half = ["model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors"]
    others = ["config.json", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"]
    assert files_of(half + plain + others) == plain
    assert files_of(half + plain + others, "fp16") == half
    assert files_of(others) == others[1:]
    assert files_of(["config.json"]) == []
