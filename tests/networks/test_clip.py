import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from sfumato.errors import CheckpointError
from sfumato.networks.clip import ImageConfig, ImageEncoder, TextConfig, TextEncoder, alteration_loss, contrastive_loss
from sfumato.networks.initialisation import initialise, table_of

EOS = 41
TEXT = {
    "vocab_size": 42,
    "hidden_size": 24,
    "intermediate_size": 30,
    "projection_dim": 10,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "max_position_embeddings": 9,
    "eos_token_id": EOS,
    "bos_token_id": 40,
    "pad_token_id": 0,
}
IMAGE = {
    "hidden_size": 20,
    "intermediate_size": 28,
    "projection_dim": 10,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 12,
    "patch_size": 4,
}
IDS = torch.tensor([[40, 5, 6, 7, EOS, EOS, EOS], [40, 3, EOS, 0, 0, 0, 0], [40, 1, 2, 3, 4, 5, EOS]])

TEXTS = {
    "openai": TEXT,
    "laion": TEXT | {"hidden_act": "gelu", "num_attention_heads": 4, "layer_norm_eps": 1e-4},
    "the end is the highest id": TEXT | {"eos_token_id": 2},
    "one layer": TEXT | {"num_hidden_layers": 1, "hidden_size": 15},
}


def shake(network: torch.nn.Module) -> None:
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))


def agree(ours: TextEncoder, reference, ids: torch.Tensor = IDS) -> None:
    states, expected = ours(ids), reference(ids, output_hidden_states=True)
    torch.testing.assert_close(states.states, expected.last_hidden_state, atol=1e-5, rtol=1e-5)
    if "text_embeds" in expected:
        torch.testing.assert_close(states.projected, expected.text_embeds, atol=1e-5, rtol=1e-5)
    else:
        torch.testing.assert_close(states.pooled, expected.pooler_output, atol=1e-5, rtol=1e-5)
    for skip in range(ours.config.num_hidden_layers + 1):
        hidden = expected.hidden_states[-(skip + 1)]
        normed = ours.text_model.final_layer_norm(hidden)
        torch.testing.assert_close(ours(ids, skip=skip, norm=False).states, hidden, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours(ids, skip=skip).states, normed, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours(ids, skip=skip).pooled, states.pooled)


@torch.no_grad()
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", [CLIPTextModel, CLIPTextModelWithProjection])
def test_text_encoders_open_each_others_folder_and_compute_the_same(name, kind, read, write):
    reference = kind(CLIPTextConfig(**TEXTS[name])).eval()
    shake(reference)
    ours = read(reference, TextEncoder, TextConfig)
    assert (ours.text_projection is None) == (kind is CLIPTextModel)
    agree(ours, reference)
    agree(ours, reference, IDS[:1, :5])
    shake(ours)
    opened = write(ours, kind, "model")
    agree(ours, opened)


@torch.no_grad()
def test_a_text_encoder_with_projection_opens_as_a_plain_one(write):
    ours = TextEncoder(TextConfig(**TEXT)).eval()
    opened = write(ours, CLIPTextModel, "model")
    assert write.unexpected <= {"text_projection.weight"}
    agree(ours, opened)


@torch.no_grad()
def test_states_of_older_files_load_with_or_without_prefix_and_position_ids(tmp_path):
    reference = CLIPTextModel(CLIPTextConfig(**TEXT)).eval()
    reference.save_pretrained(tmp_path)
    bare = {key.removeprefix("text_model."): value for key, value in load_file(tmp_path / "model.safetensors").items()}
    bare["embeddings.position_ids"] = torch.arange(9)[None]
    for state in (bare, {f"text_model.{key}": value for key, value in bare.items()}):
        ours = TextEncoder(TextConfig.from_dict(TEXT | {"architectures": ["CLIPTextModel"]})).eval()
        ours.load_state_dict(state, strict=True)
        agree(ours, reference)


@torch.no_grad()
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_image_encoders_open_each_others_folder_and_compute_the_same(act, read, write):
    reference = CLIPVisionModelWithProjection(CLIPVisionConfig(**IMAGE, hidden_act=act)).eval()
    shake(reference)
    ours = read(reference, ImageEncoder, ImageConfig)
    pixels = torch.randn(3, 3, 12, 12)
    shake(ours)
    opened = write(ours, CLIPVisionModelWithProjection, "model")
    ours_again = read(opened, ImageEncoder, ImageConfig)
    for encoder in (ours, ours_again):
        expected = opened(pixels, output_hidden_states=True)
        torch.testing.assert_close(encoder(pixels), expected.image_embeds, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoder.states(pixels), expected.last_hidden_state, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoder.states(pixels, skip=1), expected.hidden_states[-2], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_text_is_read_from_left_to_right():
    ours = TextEncoder(TextConfig(**TEXT)).eval()
    changed = IDS.clone()
    changed[:, 5:] = 9
    changed[0, 5:] = EOS
    before, after = ours(IDS[:2]), ours(changed[:2])
    torch.testing.assert_close(after.states[:, :5], before.states[:, :5])
    torch.testing.assert_close(after.pooled, before.pooled)


def test_what_does_not_fit_is_refused():
    text, image = TextEncoder(TextConfig(**TEXT)), ImageEncoder(ImageConfig(**IMAGE))
    with pytest.raises(ValueError, match="10 tokens: this text encoder reads at most 9"):
        text(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="skip=4"):
        text(IDS, skip=4)
    with pytest.raises(ValueError, match="skip=-1"):
        image.states(torch.zeros(1, 3, 12, 12), skip=-1)
    with pytest.raises(ValueError, match="12x16 pixels"):
        image(torch.zeros(1, 3, 12, 16))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "relu"),
        ("num_attention_heads", 7),
        ("num_attention_heads", 0),
        ("eos_token_id", [1, 2]),
        ("architectures", ["T5EncoderModel"]),
        ("model_type", "t5"),
        ("attention_dropout", 0.1),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key) as error:
        TextConfig.from_dict({key: value})
    assert repr(value) in str(error.value)


def test_every_parameter_learns_from_pairs():
    text, image = initialise(TextEncoder(TextConfig(**TEXT))), initialise(ImageEncoder(ImageConfig(**IMAGE)))
    scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07)))
    contrastive_loss(image(torch.randn(3, 3, 12, 12)), text(IDS).projected, scale).backward()
    assert scale.grad.abs() > 0
    for network in (text, image):
        silent = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
        # The bias of the keys adds the same score to each of them, and the softmax takes no notice.
        assert all(name.endswith("k_proj.bias") for name in silent)


def test_initialise_draws_every_row_of_the_table():
    wide = {"hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 4}
    for network in (TextEncoder(TextConfig(**TEXT | wide)), ImageEncoder(ImageConfig(**IMAGE | wide))):
        initialise(network)
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            elif name.endswith("position_embedding.weight"):
                expected = 0.01 if "text" in name else 96**-0.5
                assert parameter.std().item() == pytest.approx(expected, rel=0.15)
            elif name.endswith("fc2.weight"):
                layers = network.config.num_hidden_layers
                assert parameter.std().item() == pytest.approx((2 * 96 * layers) ** -0.5, rel=0.1)
        assert table_of(network)


def reference_loss(images, texts, scale, same):
    """The definition, one pair after the other."""
    images, texts = images / images.norm(dim=1, keepdim=True), texts / texts.norm(dim=1, keepdim=True)
    temperature = min(math.exp(scale), 100.0)
    total, count = 0.0, len(images)
    for own, others, positives in ((images, texts, same), (texts, images, same.T)):
        for i in range(count):
            scores = [temperature * float(own[i] @ others[j]) for j in range(count)]
            norm = math.log(sum(math.exp(score) for score in scores))
            mine = [norm - scores[j] for j in range(count) if positives[i, j]]
            total += sum(mine) / len(mine) / (2 * count)
    return total


@pytest.mark.parametrize("scale", [0.0, math.log(1 / 0.07), 7.0])
def test_contrastive_loss_is_its_definition(scale):
    images, texts = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    own = torch.eye(5, dtype=torch.bool)
    same = own.clone()
    same[0, 3] = same[3, 0] = same[1, 2] = True
    learned = torch.tensor(scale)
    for given, positives in ((None, own), (same, same), (same & ~own, same)):
        loss = contrastive_loss(images, texts, learned, given)
        assert loss.item() == pytest.approx(reference_loss(images, texts, scale, positives), rel=1e-5)


def test_alteration_loss_is_its_definition():
    images, texts, altered = torch.randn(5, 8), torch.randn(5, 8), torch.randn(5, 3, 8)
    scale = torch.tensor(1.2)
    total = 0.0
    for i in range(5):
        every = [texts[i], *altered[i]]
        scores = [float(torch.cosine_similarity(images[i], text, dim=0)) * math.exp(1.2) for text in every]
        total += math.log(sum(map(math.exp, scores))) - scores[0]
    assert alteration_loss(images, texts, altered, scale).item() == pytest.approx(total / 5, rel=1e-5)


def test_contrastive_loss_is_computed_in_full_precision_under_autocast():
    images, texts, scale = torch.randn(4, 8), torch.randn(4, 8), torch.tensor(math.log(100))
    expected = contrastive_loss(images, texts, scale)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(images, texts, scale), expected)
