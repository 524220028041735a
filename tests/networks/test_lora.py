"""Updates of low rank do what the paper says: live and fused alike, undone exactly, trainable."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from sfumato.networks import lora
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig

CONVS = (
    nn.Conv2d(5, 7, 3, padding=1),
    nn.Conv2d(5, 7, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(5, 7, (1, 3), dilation=2),
    nn.Conv2d(5, 7, 1),
)


def learned(network, rank=3, seed=1, **options):
    """An adapter as training might have left it."""
    torch.manual_seed(seed)
    adapter = lora.fresh(network, rank, **options)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.3)
    return adapter.requires_grad_(False)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    shape = {"block_out_channels": (16, 24), "norm_num_groups": 8, "cross_attention_dim": 12, "attention_head_dim": 2}
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    return UNet(UNetConfig(**shape, **blocks)).eval().requires_grad_(False)


@pytest.fixture
def inputs():
    return torch.randn(2, 4, 8, 8), torch.tensor([3.0, 700.0]), torch.randn(2, 5, 12)


def every(network):
    return [name for name, _ in lora.layers(network)]


@pytest.mark.parametrize("layer", [nn.Linear(5, 7), nn.Linear(5, 7, bias=False), *CONVS])
@torch.no_grad()
def test_a_changed_layer_has_the_weight_of_the_paper(layer):
    network = nn.Sequential(layer)
    adapter = learned(network, alpha=2.0, targets=("0",))
    update = adapter.updates()["0"]
    x = torch.randn(2, 4, 5) if isinstance(layer, nn.Linear) else torch.randn(2, 5, 9, 8)
    product = torch.einsum("kr,r...->k...", update.lora_B.weight.flatten(1), update.lora_A.weight)
    expected = copy.deepcopy(network)
    expected[0].weight += 0.7 * 2.0 / 3 * product
    with lora.attach(network, adapter, 0.7):
        torch.testing.assert_close(network(x), expected(x), atol=1e-5, rtol=1e-5)
    with lora.fuse(network, [(adapter, 0.7)]):
        torch.testing.assert_close(network(x), expected(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layer", [nn.Linear(5, 7), *CONVS])
@torch.no_grad()
def test_dora_gives_every_output_its_length(layer):
    network = nn.Sequential(layer)
    plain = learned(network, targets=("0",)).updates()["0"]
    lengths = torch.rand(7) + 0.5
    adapter = lora.Adapter({"0": lora.LowRank(plain.lora_A.weight, plain.lora_B.weight, 2.0, lengths)})
    x = torch.randn(2, 4, 5) if isinstance(layer, nn.Linear) else torch.randn(2, 5, 9, 8)
    before = network(x)
    with lora.attach(network, adapter) as handle:
        live = network(x)
        handle.weight = 0.0
        assert torch.equal(network(x), before)
    with lora.fuse(network, [(adapter, 0.0)]):
        assert torch.equal(network(x), before)
    with lora.fuse(network, [(adapter, 1.0)]):
        torch.testing.assert_close(network[0].weight.flatten(1).norm(dim=1), lengths)
        torch.testing.assert_close(network(x), live, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_live_and_fused_are_the_same_and_several_add_up(unet, inputs):
    adapters = [(learned(unet, 2, seed, targets=every(unet)), weight) for seed, weight in ((1, 0.3), (2, -0.2))]
    before = unet(*inputs)
    handles = [lora.attach(unet, *pair) for pair in adapters]
    live = unet(*inputs)
    assert (live - before).abs().max() > 1e-2
    handles[0].weight = 0.0
    with lora.fuse(copy_of := without_hooks(unet), adapters[1:]):
        torch.testing.assert_close(unet(*inputs), copy_of(*inputs), atol=1e-5, rtol=1e-5)
    for handle in handles:
        handle.detach()
    assert torch.equal(unet(*inputs), before)
    with lora.fuse(unet, adapters):
        torch.testing.assert_close(unet(*inputs), live, atol=1e-5, rtol=1e-5)


def without_hooks(unet):
    fresh = UNet(unet.config).eval()
    fresh.load_state_dict(unet.state_dict())
    return fresh


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_unfused_weights_are_the_same_bits_whatever_the_precision(unet, dtype):
    unet.to(dtype)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    first = lora.fuse(unet, [(learned(unet, targets=every(unet)), 1.3)])
    second = lora.fuse(unet, [(learned(unet, seed=2), 0.1)])
    after = unet.state_dict()
    assert after.keys() == before.keys()
    assert sum(not torch.equal(after[name], before[name]) for name in before) > 40
    assert {value.dtype for value in after.values()} == {dtype}
    with pytest.raises(RuntimeError, match="undo that first"):
        first.unfuse()
    second.unfuse()
    first.unfuse()
    first.unfuse()  # nothing is left to undo
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


def test_what_is_fused_is_rounded_once():
    layer = nn.Sequential(nn.Linear(40, 40)).to(torch.bfloat16)
    updates = [(learned(layer, seed=seed, targets=("0",)), 0.1) for seed in range(8)]
    exact = layer[0].weight.double()
    for adapter, weight in updates:
        update = adapter.updates()["0"]
        exact = exact + weight * (update.lora_B.weight @ update.lora_A.weight).double()
    with lora.fuse(layer, updates):
        assert (layer[0].weight == exact.to(torch.bfloat16)).float().mean() > 0.999


def test_an_adapter_of_another_precision_works_in_that_of_its_network(unet, inputs):
    adapter = learned(unet)
    with lora.attach(unet, adapter):
        expected = unet(*inputs)
    with lora.attach(unet, adapter.to(torch.bfloat16)):
        made = unet(*inputs)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, expected, atol=3e-2, rtol=3e-2)
    assert {parameter.dtype for parameter in adapter.parameters()} == {torch.bfloat16}


class OnOneDevice(TorchFunctionMode):
    """What accelerators ask of layers, and the meta device does not."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (F.linear, F.conv2d):
            assert len({each.device for each in args if isinstance(each, torch.Tensor)}) == 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("dora", [False, True])
def test_an_adapter_works_where_its_network_moves_after_it_was_attached(dora):
    network = nn.Sequential(nn.Linear(5, 7))
    adapter = learned(network, targets=("0",))
    if dora:
        adapter.updates()["0"].lora_magnitude_vector = nn.Parameter(torch.ones(7))
    with lora.attach(network, adapter), OnOneDevice():
        assert network[0].to("meta")(torch.empty(2, 5, device="meta")).shape == (2, 7)


def test_a_fresh_adapter_changes_nothing_and_learns_while_the_network_rests(unet, inputs):
    before = unet(*inputs)
    adapter = lora.fresh(unet, 2)
    assert len(adapter.updates()) == 4 * 2 * 6  # the projections of two attentions in each of six transformers
    with lora.attach(unet, adapter):
        with torch.no_grad():
            assert torch.equal(unet(*inputs), before)
        optimiser = torch.optim.Adam(adapter.parameters(), lr=1e-2)
        losses = []
        for _ in range(12):
            optimiser.zero_grad()
            losses.append((unet(*inputs) - inputs[0]).square().mean())
            losses[-1].backward()
            optimiser.step()
    assert losses[-1] < 0.9 * losses[0]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in adapter.parameters())
    assert torch.equal(unet(*inputs), before)


def test_the_state_of_an_adapter_has_the_names_of_pefts_files(unet):
    names = lora.fresh(unet, 2, targets=("attn1.to_q",)).state_dict().keys()
    assert "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight" in names
    assert len(names) == 2 * 6


@pytest.mark.parametrize("reason", ["no such layer", "not of the layer's shape"])
def test_what_fits_no_layer_is_named_and_changes_nothing(unet, reason):
    name = "conv_in" if "shape" in reason else "conv_inn"
    adapter = lora.Adapter({"conv_out": lora.fresh(unet, 2, targets=["conv_out"]).updates()["conv_out"]})
    adapter.add_module(name, lora.LowRank(torch.ones(2, 5), torch.ones(16, 2)))
    before = unet.conv_out.weight
    for use in (lambda: lora.attach(unet, adapter), lambda: lora.fuse(unet, [(adapter, 1.0)])):
        with pytest.raises(ValueError, match=f"^{name}: .*{reason}"):
            use()
    assert unet.conv_out.weight is before
    with pytest.raises(ValueError, match="ends in nothing-like-this"):
        lora.fresh(unet, 2, targets=["nothing-like-this"])
