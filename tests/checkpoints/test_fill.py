"""Networks are filled one tensor at a time: in little memory, of the right type and place, or not at all."""

import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.checkpoints.fill import build, fill
from sfumato.checkpoints.folder import load_part
from sfumato.checkpoints.tensors import Safetensors
from sfumato.errors import CheckpointError


class Net(nn.Module):
    """A network with all that can be hard: tied weights, a table of its own, integers, a scalar."""

    def __init__(self, width=4, tied=True):
        super().__init__()
        self.embed = nn.Embedding(3, width)
        self.head = nn.Linear(width, 3, bias=False)
        if tied:
            self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("places", torch.arange(width))
        self.register_buffer("table", torch.linspace(0, 1, width), persistent=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.safetensors"


def weights(**more):
    given = {"embed.weight": torch.randn(3, 4), "scale": torch.tensor(0.1), "places": torch.tensor([3, 2, 1, 0])}
    return {name: value for name, value in (given | more).items() if value is not None}


def filled(path, tensors, make=Net, **settings):
    save_file(tensors, path)
    source = Safetensors(path)
    network = build(make, source)
    assert all(p.is_meta for p in network.parameters())
    fill(network, source, **settings)
    return network


@pytest.mark.parametrize(
    ("stored", "wanted"), [("float16", "float16"), ("float32", "bfloat16"), ("float32", "float32")]
)
def test_numbers_whose_sum_is_too_large_are_finite_all_the_same(path, stored, wanted):
    stored, wanted = getattr(torch, stored), getattr(torch, wanted)
    given = torch.full((3, 4), torch.finfo(wanted).max / 2).to(stored)
    assert not given.sum().isfinite()
    assert torch.equal(filled(path, weights(**{"embed.weight": given}), dtype=wanted).embed.weight, given.to(wanted))


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("wanted", [None, torch.float32, torch.bfloat16])
def test_numbers_are_cast_and_integers_keep_their_type(path, stored, wanted):
    given = weights()
    given = {name: value.to(stored) if value.is_floating_point() else value.int() for name, value in given.items()}
    network = filled(path, given, dtype=wanted)
    assert network.embed.weight.dtype == (wanted or stored)
    assert torch.equal(network.embed.weight, given["embed.weight"].to(wanted or stored))
    assert network.scale.shape == ()
    assert network.places.dtype == torch.int64
    assert network.places.tolist() == [3, 2, 1, 0]
    assert isinstance(network.embed.weight, nn.Parameter)


@pytest.mark.parametrize("name", ["embed.weight", "head.weight"])
def test_tied_weights_are_one_tensor_whatever_name_the_file_has(path, name):
    given = weights()
    given[name] = given.pop("embed.weight")
    network = filled(path, given)
    assert network.head.weight is network.embed.weight
    assert torch.equal(network.head.weight, given[name])


def test_tied_weights_may_stand_twice_but_must_be_equal(path):
    given = weights()
    copy = given["embed.weight"].clone()
    network = filled(path, given | {"head.weight": copy}, dtype=torch.float16)
    assert network.head.weight is network.embed.weight
    copy[2, 3] += 1
    with pytest.raises(CheckpointError, match=r"(head|embed)\.weight should be the same as (head|embed)\.weight"):
        filled(path, given | {"head.weight": copy})


def test_tables_that_no_file_holds_are_real_and_where_the_weights_are(path):
    network = filled(path, weights(), dtype=torch.bfloat16)
    assert network.table.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert "table" not in network.state_dict()


def test_names_are_translated_or_left_out(path):
    given = {f"model.{name}": value for name, value in weights().items()} | {"ema.scale": torch.ones(())}
    network = filled(
        path, given, rename=lambda name: name.removeprefix("model.") if name.startswith("model.") else None
    )
    assert network.scale.item() == pytest.approx(0.1)
    with pytest.raises(CheckpointError, match="not the only one that belongs to scale"):
        filled(path, given, rename=lambda name: name.partition(".")[2])


def test_a_scalar_of_an_old_file_that_is_a_row_of_one_is_a_scalar(path):
    assert filled(path, weights(scale=torch.tensor([0.5]))).scale.shape == ()


def test_a_module_that_would_change_the_numbers_of_a_file_is_refused(path):
    class Turning(nn.Linear):
        """Old files had it the other way round."""

        def _load_from_state_dict(self, state, prefix, *rest):
            state[prefix + "weight"] = state[prefix + "weight"].T
            super()._load_from_state_dict(state, prefix, *rest)

    with pytest.raises(CheckpointError, match="weight is not laid out as weight"):
        filled(path, {"weight": torch.ones(3, 2)}, make=lambda: Turning(3, 2, bias=False))


def test_a_network_of_transformers_is_filled_with_its_shared_words(tmp_path):
    """T5, whose words are one tensor under two names, of which its files hold one."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    theirs = T5EncoderModel(config).eval()
    theirs.save_pretrained(tmp_path)
    source = Safetensors(tmp_path / "model.safetensors")
    ours = build(lambda: T5EncoderModel(config), source).eval()
    fill(ours, source, torch.float32)
    assert not any(tensor.is_meta for tensor in (*ours.parameters(), *ours.buffers()))
    ids = torch.tensor([[3, 9, 1, 39]])
    assert torch.equal(ours(ids).last_hidden_state, theirs(ids).last_hidden_state)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_t5_in_half_precision_has_the_types_and_the_numbers_of_transformers(tmp_path, dtype):
    """Which keeps in float32 what overflows in float16."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    T5EncoderModel(config).save_pretrained(tmp_path / "text_encoder_3")
    theirs = T5EncoderModel.from_pretrained(tmp_path / "text_encoder_3", dtype=dtype).eval()
    ours = load_part(tmp_path, "text_encoder_3", dtype)
    kinds = {name: parameter.dtype for name, parameter in theirs.named_parameters()}
    assert {name: parameter.dtype for name, parameter in ours.named_parameters()} == kinds
    ids = torch.tensor([[3, 9, 1, 39]])
    assert torch.equal(ours(ids), theirs(ids).last_hidden_state)


NAN = torch.tensor([[0.0] * 4] * 2 + [[0, 0, float("nan"), 0]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embed.weight": None}, r"missing embed\.weight, head\.weight\.$"),
        ({"scale": None, "places": None}, r"missing scale, places\.$"),
        ({"stranger": torch.ones(1), "other": torch.ones(1)}, r"not expected (stranger, other|other, stranger)\.$"),
        ({"embed.weight": torch.ones(4, 3)}, r"embed\.weight.*\[4, 3\].*\[3, 4\]"),
        ({"scale": torch.ones(2)}, "scale"),
        ({"embed.weight": NAN}, r"not finite: in embed\.weight"),
        ({"scale": torch.tensor(-float("inf"))}, "not finite: in scale"),
        ({"scale": torch.tensor(70000.0)}, "scale holds numbers up to 7e.04, more than torch.float16 can hold"),
        ({"scale": torch.tensor(1)}, "scale is of torch.int64, not torch.float32"),
        ({"places": torch.ones(4)}, "places is of torch.float32, not torch.int64"),
    ],
    ids=range(10),
)
def test_what_does_not_fit_is_refused_naming_file_and_key(path, change, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        filled(path, weights(**change), dtype=torch.float16)
    assert str(path) in str(caught.value)


def test_a_not_finite_number_is_found_wherever_it_is(path):
    """The check looks at every piece, of every type."""
    large = torch.zeros(3, 300_001)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2):
        for place in (0, 450_000, 900_002):
            for bad in (float("nan"), float("inf"), -float("inf")):
                if dtype == torch.float8_e5m2 and bad == -float("inf"):
                    continue
                given = large.clone()
                given.view(-1)[place] = bad
                save_file({"weight": given.to(dtype)}, path)
                network = nn.Linear(300_001, 3, bias=False, device="meta")
                with pytest.raises(CheckpointError, match="not finite"):
                    fill(network, Safetensors(path), dtype=torch.float32)


def test_a_network_far_larger_than_its_file_is_given_up_at_once(path):
    save_file({"0.weight": torch.ones(2, 2)}, path)
    began = time.perf_counter()
    with pytest.raises(CheckpointError, match="more weights than the file"):
        build(lambda: nn.Sequential(*(nn.Linear(2, 2) for _ in range(10**7))), Safetensors(path))
    assert time.perf_counter() - began < 1
    build(lambda: nn.Linear(10**6, 10**6, bias=False), Safetensors(path))  # wide ones take no memory yet


def test_tables_larger_than_any_networks_are_not_computed(path):
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.arange(10**12), persistent=False)

    save_file({}, path)
    with pytest.raises(CheckpointError, match="tables larger than"):
        build(Wide, Safetensors(path))


def test_what_needs_no_cast_takes_no_copy(path):
    network = filled(path, weights())
    with path.open("r+b") as file:  # changed behind its back, the file shows through
        file.seek(0, 2)
        size = file.tell()
        file.seek(8)
        begin = size - sum(value.nbytes for value in weights().values())
        file.seek(begin)
        file.write(bytes(size - begin))
    assert network.scale.item() == 0


MEASURE = """
import re, sys, threading, torch
from torch import nn
from sfumato.checkpoints.fill import build, fill
from sfumato.checkpoints.weights import open_source
from pathlib import Path

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

make = lambda: nn.Sequential(*(nn.Linear(width, 2048, bias=False) for width in (1024, 1024, 2048, 16384, 1024)))
warm = torch.ones(2**20).half().float().aminmax()
dtype = getattr(torch, sys.argv[2])
before, peak, done = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.0005):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
source = open_source(Path(sys.argv[1]))
network = build(make, source)
fill(network, source, dtype=dtype)
done.set()
watcher.join()
assert next(network.parameters()).dtype == dtype
print(max(peak, anonymous()) - before, sum(p.nbytes for p in network.parameters()))
"""


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_loading_takes_the_models_size_and_no_more(tmp_path, suffix):
    """In memory of its own, that is: pages of the mapped file can be dropped and read again at any time."""
    path, size = tmp_path / f"w.{suffix}", 2048 * (1024 * 3 + 2048 + 16384)
    tensors = {f"{i}.weight": torch.randn(2048, w) for i, w in enumerate((1024, 1024, 2048, 16384, 1024))}
    (torch.save if suffix == "ckpt" else save_file)(tensors, path)
    for dtype, width in (("float32", 0), ("bfloat16", 2)):
        command = [sys.executable, "-c", MEASURE, str(path), dtype]
        used, model = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        assert model == size * (4 if dtype == "float32" else 2)
        assert abs(used - width * size) < 12 * 2**20, f"{used / 2**20:.0f} MB for a model of {model / 2**20:.0f} MB"
