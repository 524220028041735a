"""Memory: what is told in advance is what is taken, tiles and offloading change no more than they say."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import diffusers
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tiny_models
from sfumato.errors import PromptError, RecipeError, RoomError
from sfumato.networks.clip import TextConfig, TextEncoder
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig
from sfumato.networks.vae import AutoencoderKL, autoencoder_config
from sfumato.pipelines import text_to_image
from sfumato.pipelines.foretelling import foretold
from sfumato.pipelines.memory import room
from sfumato.pipelines.memory.estimate import estimate
from sfumato.pipelines.memory.machines import Machine
from sfumato.pipelines.memory.offloading import Offloading, staged, units
from sfumato.pipelines.memory.tracking import Tracking
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.ways.latents import Latents

MEASURE = """
import ctypes, gc, threading
from pathlib import Path
import torch
from sfumato.pipelines.text_to_image import Pipeline

torch.set_num_threads(1)

def resident():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024

def make(**asked):
    Pipeline.load("digits", "cpu")("7", seed=0, **asked)

make(num_inference_steps=1)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
before, peak, done = resident(), [0], threading.Event()

def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], resident())

watcher = threading.Thread(target=watch)
watcher.start()
make(num_inference_steps=3)
done.set()
watcher.join()
print(peak[0] - before)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            getattr(tiny_models, name)(folder).save_pretrained(folder / "model")
            made[name] = folder / "model"
        return made[name]

    return get


# --- the estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_the_estimate_for_the_digits_is_within_15_percent_of_what_is_measured():
    told = foretold("digits").peak
    measured = int(subprocess.run([sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True).stdout)
    assert abs(told / measured - 1) < 0.15, (told, measured)


@pytest.mark.parametrize("name", ["stable", "stable_2", "xl"])
def test_every_family_is_told_by_size_count_and_type(folders, name):
    small, large = (foretold(folders(name), width=side, height=side) for side in (32, 64))
    assert set(small.weights) == set(small.working) - {""}
    assert 3 < large.working["vae"] / small.working["vae"] <= 4.2
    many = foretold(folders(name), 4, "cuda", torch.float32, width=32, height=32)
    one = foretold(folders(name), 1, "cuda", torch.float32, width=32, height=32)
    assert many.working["vae"] > 3 * one.working["vae"]
    halved = foretold(folders(name), dtype=torch.bfloat16, width=64, height=64)
    assert halved.weights["unet"] * 2 == large.weights["unet"]
    assert halved.working["vae"] < 0.6 * large.working["vae"]


def test_the_estimate_reads_no_weight(folders, tmp_path, monkeypatch):
    from sfumato.checkpoints.tensors import Safetensors

    monkeypatch.setattr(Safetensors, "get", lambda *_: pytest.fail("a weight was read"))
    assert foretold(folders("stable"), width=32, height=32).peak > 0


def test_a_pipeline_tells_the_same_as_its_folder(folders):
    pipeline = Pipeline.load(folders("stable"), "cpu")
    told = pipeline.estimate(pipeline.requests("", 2, 0, width=32, height=32))
    assert told.working == foretold(folders("stable"), 2, width=32, height=32).working


@pytest.mark.parametrize("words", [{"prompt": "a (cat:1.3)"}, {"prompt": "a cat", "negative_prompt": "(blurry)"}])
def test_weighted_prompts_are_told_as_others(folders, words):
    pipeline = Pipeline.load(folders("stable"), "cpu")
    size = {"width": 32, "height": 32}
    told, plain = (pipeline.estimate(pipeline.requests(seed=0, **asked, **size)) for asked in (words, {"prompt": "a"}))
    assert told.peak == pytest.approx(plain.peak, rel=0.01)


def test_a_control_of_few_steps_is_told_as_if_it_were_there_in_all(folders, tmp_path):
    unet = diffusers.UNet2DConditionModel.from_pretrained(folders("stable"), subfolder="unet")
    tiny_models.controlnet(unet).save_pretrained(tmp_path / "edges")
    pipeline = Pipeline.load(folders("stable"), "cpu")
    control = {"network": tmp_path / "edges", "picture": Image.new("RGB", (32, 32))}

    def told(**span):
        controls = [{**control, **span}] if span else []
        return pipeline.estimate(pipeline.requests("a cat", seed=0, width=32, height=32, control=controls))

    assert told(start=0.1, end=0.3).peak == told(start=0.0, end=1.0).peak > told().peak
    assert told(start=0.1, end=0.3, guess=True).peak > told().peak


def test_blocks_are_counted_from_when_they_are_made_until_they_are_let_go():
    tracking = Tracking({}, Machine(lambda *_: [], float))
    with tracking.running():
        one = torch.empty(100, device="meta")
        two = one + 1
        view = two[:50]
        del one, two
        view.add_(1)
        three = torch.empty(200, device="meta")
        del view, three
        torch.empty(150, device="meta")
    assert tracking.peaks[""] == 4 * 300


def test_convolutions_and_attention_take_what_the_processor_takes():
    from sfumato.pipelines.memory.machines import MAPPED, machine_of

    machine = machine_of(torch.device("cpu"))
    assert machine.size(MAPPED) == MAPPED
    assert machine.size(1000) > 1000
    with Tracking({}, machine).running():
        picture, weight = torch.empty(1, 32, 64, 64, device="meta"), torch.empty(16, 32, 3, 3, device="meta")
        result = torch.conv2d(picture, weight, padding=1)
        copies = machine.copies(torch.ops.aten.convolution.default, (picture, weight), result)
    assert sum(copies) == picture.nbytes + weight.nbytes
    long = torch.empty(1, 1, 10_000, 8, device="meta")
    tracking = Tracking({}, Machine(lambda *_: [], float))
    with tracking.running():
        assert torch.nn.functional.scaled_dot_product_attention(long, long, long).shape == long.shape
    assert tracking.peaks[""] < 10 * long.nbytes  # no map of 10,000 x 10,000


def test_a_size_that_the_model_does_not_make_is_refused(folders):
    with pytest.raises(PromptError, match="width 33 is not a multiple"):
        foretold(folders("stable"), width=33, height=32)


def test_a_way_that_needs_numbers_is_refused():
    with pytest.raises(PromptError, match="the way cold takes cannot be told"):
        estimate(SimpleNamespace(way="cold"), lambda: pytest.fail("made"), torch.device("cpu"))


# --- room -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "refused"), [(0.7, False), (0.1, True)])
def test_what_will_not_fit_is_told_before_it_begins(folders, monkeypatch, share, refused):
    pipeline = Pipeline.load(folders("stable"), "cpu")
    asked = {"seed": 0, "num_inference_steps": 1, "width": 64, "height": 64}
    need = pipeline.estimate(pipeline.requests("", **asked))
    monkeypatch.setattr(text_to_image, "free", lambda _: int(share * need.working[need.busiest]))
    begun, encode = [], Latents.encode
    monkeypatch.setattr(Latents, "encode", lambda way, *said: begun.append(way.model.device.type) or encode(way, *said))
    if refused:
        with pytest.raises(RoomError, match=r"GiB are free\. Make smaller pictures, or .*--dtype bfloat16"):
            pipeline("a cat", **asked)
        assert begun == ["meta"]
    else:
        with pytest.warns(room.RoomWarning, match="GiB are free"):
            pipeline("a cat", **asked)
        assert begun == ["meta", "cpu"]


def test_what_fits_is_not_looked_at_closely(folders, monkeypatch):
    pipeline = Pipeline.load(folders("stable"), "cpu")
    monkeypatch.setattr(Pipeline, "estimate", lambda *_: pytest.fail("looked at"))
    monkeypatch.setattr(text_to_image, "free", lambda _: 2**40)
    pipeline("a cat", seed=0, num_inference_steps=1, width=32, height=32)
    monkeypatch.setattr(text_to_image, "free", lambda _: None)  # where it cannot be known
    pipeline("a cat", seed=0, num_inference_steps=1, width=32, height=32)


def test_free_memory_is_the_machines_or_what_its_groups_leave(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1024 kB\n")
    assert room._of_the_machine(tmp_path / "meminfo") == 2**20
    assert room._of_the_machine(tmp_path / "none") is None
    groups, inner = tmp_path / "groups", tmp_path / "groups" / "a" / "b"
    inner.mkdir(parents=True)
    for folder, most in ((inner.parent, "5000"), (inner, "max")):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text("3000\n")
        (folder / "memory.stat").write_text("anon 2500\nfile 500\n")
    (tmp_path / "told").write_text("0::/a/b\n")
    assert room._of_the_group(groups, tmp_path / "told") == 2500
    assert room._of_the_group(groups, tmp_path / "none") is None


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_tiles_are_part_of_the_recipe_and_taken_by_size_alone(folders, monkeypatch):
    from sfumato.networks import tiles
    from sfumato.pipelines import autoencoding

    pipeline, decoded = Pipeline.load(folders("stable"), "cpu"), []
    monkeypatch.setattr(tiles, "decode", lambda vae, z: decoded.append(z.shape) or vae.decode(z))
    asked = {"seed": 0, "num_inference_steps": 1, "width": 32, "height": 32}
    for choice, times in (("never", 0), ("auto", 0), ("always", 1)):
        pipeline("a cat", **asked, tiles=choice)
        assert len(decoded) == times
    monkeypatch.setattr(autoencoding, "LARGEST_WHOLE", 32 * 32 - 1)
    pipeline("a cat", **asked)
    assert len(decoded) == 2
    assert pipeline.recipe(pipeline.requests("a cat", 1, 0, tiles="always")[0])["request"]["tiles"] == "always"
    with pytest.raises(PromptError, match="tiles is one of auto, always, never"):
        pipeline("a cat", tiles="sometimes")


def test_the_digits_are_nearly_the_same_in_tiles():
    vae = Pipeline.load("digits", "cpu").model.vae
    picture = Pipeline.load("digits", "cpu")("the digit 3", seed=1, num_inference_steps=4, upsampler_steps=0)
    assert picture.pictures[0].size == (32, 32)
    z = torch.randn(1, vae.config.latent_channels, 40, 40, generator=torch.Generator().manual_seed(0))
    from sfumato.networks.tiles import decode

    with torch.no_grad():
        whole, tiled = vae.decode(z), decode(vae, z, 24, 8)
    assert (tiled - whole).abs().mean() < 0.05 * whole.std()


# --- offloading -------------------------------------------------------------------------------------------------------


def networks():
    return {
        "text_encoder": TextEncoder(TextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3,
                                               num_attention_heads=2, vocab_size=60)),
        "unet": UNet(UNetConfig(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
                                cross_attention_dim=16, attention_head_dim=2,
                                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))),
        "vae": AutoencoderKL(autoencoder_config((8, 16))),
    }  # fmt: skip


def looked(parts, device):
    ids = torch.zeros(1, 12, dtype=torch.long, device=device)
    states = parts["text_encoder"](ids).states
    latent = parts["unet"](torch.ones(1, 4, 8, 8, device=device), torch.ones(1, device=device), states)
    moments = parts["vae"].encode(parts["vae"].decode(latent))
    return moments.mean


class Strict(TorchDispatchMode):
    """Refuses operations on tensors that lie on several devices, as accelerators do."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        places = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.ndim}
        if len(places) > 1 and "copy" not in func.name():
            raise RuntimeError(f"{func.name()} on {' and '.join(sorted(places))}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("how", ["parts", "blocks"])
def test_every_weight_is_on_the_device_when_it_is_used_and_home_afterwards(how):
    """The meta device is the accelerator here; computing with what lies elsewhere is refused as it would be there."""
    parts = {name: part.eval().requires_grad_(False) for name, part in networks().items()}
    home = {id(p) for part in parts.values() for p in part.parameters()}
    with Strict(), torch.no_grad(), pytest.raises(RuntimeError, match="on cpu and meta"):
        looked(parts, "meta")
    offloading = Offloading(parts, torch.device("meta"), how)
    with Strict(), torch.no_grad():
        result = looked(parts, "meta")
    assert result.device.type == "meta"
    assert {p.device.type for p in parts["text_encoder"].parameters()} == {"cpu"}
    there = sum(p.nbytes for part in parts.values() for p in part.parameters() if p.device.type == "meta")
    assert 0 < there <= staged(parts["vae"], how)
    offloading.release()
    assert {id(p) for part in parts.values() for p in part.parameters()} == home


@pytest.mark.parametrize("how", ["parts", "blocks"])
def test_offloading_changes_no_bit_and_copies_each_weight_once_a_use(how):
    torch.manual_seed(0)
    parts = {name: part.eval().requires_grad_(False) for name, part in networks().items()}
    with torch.no_grad():
        expected = looked(parts, "cpu")
        offloading = Offloading(parts, torch.device("cpu"), how)
        assert torch.equal(looked(parts, "cpu"), expected)
    every = sum(t.nbytes for part in parts.values() for t in (*part.parameters(), *part.buffers()))
    if how == "parts":
        assert offloading.brought == every
    else:
        assert every * 0.8 < offloading.brought <= every
    offloading.release()


def test_when_pictures_are_there_every_weight_is_home(folders):
    pipeline = Pipeline.load(folders("stable"), "cpu")

    def places():
        return {id(p) for part in pipeline.model.parts.values() for p in part.parameters()}

    home = places()
    pipeline._offloading = Offloading(pipeline.model.parts, torch.device("cpu"), "parts")
    for step in pipeline.iterate("a cat", seed=0, num_inference_steps=1, width=32, height=32):
        step.pictures()
        assert step.stage == "done" or places() != home
    assert step.pictures()
    assert places() == home


def test_blocks_take_less_room_than_parts_and_nothing_is_left_out():
    for part in networks().values():
        trunk, blocks = units(part, "blocks")
        assert trunk.bytes + sum(block.bytes for block in blocks) == units(part, "parts")[0].bytes
        assert staged(part, "blocks") < staged(part, "parts")


def test_offloading_on_the_cpu_is_refused(folders):
    with pytest.raises(RecipeError, match="here they are used on the CPU"):
        Pipeline.load(folders("stable"), "cpu", offload="parts")
    with pytest.raises(RecipeError, match="there are parts, blocks"):
        foretold(folders("stable"), device="cuda", offload="magic")


def test_offloading_is_in_the_estimate(folders):
    whole, parts, blocks = (foretold(folders("xl"), device="cuda", offload=how) for how in (None, "parts", "blocks"))
    assert whole.resident["unet"] == sum(whole.weights.values())
    assert parts.resident["unet"] == whole.weights["unet"]
    assert blocks.resident["unet"] < parts.resident["unet"]
    assert parts.working == whole.working


# --- half precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stable", "xl"])
def test_autoencoders_that_overflow_in_half_precision_are_loaded_in_float32(folders, name):
    half = Pipeline.load(folders(name), "cpu", torch.float16).model
    assert half.vae.config.force_upcast
    assert next(half.vae.parameters()).dtype == torch.float32
    assert next(half.unet.parameters()).dtype == torch.float16
    assert next(Pipeline.load(folders(name), "cpu", torch.bfloat16).model.vae.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["digits", "stable", "xl"])
def test_bfloat16_on_the_cpu_is_near_float32(folders, name):
    folder = name if name == "digits" else folders(name)
    shown = []
    for dtype in (torch.float32, torch.bfloat16):
        pipeline = Pipeline.load(folder, "cpu", dtype)
        batch = pipeline.batch(pipeline.requests("7", 1, 3, num_inference_steps=4, guidance_scale=2.0))
        with torch.inference_mode():
            *_, last = pipeline.way.paint(batch)
            shown.append(last.pictures())
    assert shown[1].isfinite().all()
    assert (shown[1] - shown[0]).abs().mean() < 0.1 * shown[0].std()
