"""Features: those of the reference libraries for weights of theirs, and a clear word for what cannot be used."""

import importlib
import json

import pytest
import torch
import transformers

from sfumato.data.store import prepare
from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError
from sfumato.evaluation.clip_score import clip_scores
from sfumato.evaluation.feature_networks import MEAN, SPREAD, feature_network
from sfumato.pipelines.finding import EMBEDDED

DIGITS, CPU = EMBEDDED / "digits", torch.device("cpu")
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1}
VISION = {"image_size": 32, "patch_size": 8, **SHAPE}


def pictures(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size)) * 2 - 1


def normalised(pictures, mean, spread):
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, spread))
    return ((pictures + 1) / 2 - mean) / spread


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config={**SHAPE}, vision_config=VISION, projection_dim=24)
    model = transformers.CLIPModel(config).eval()
    folder = tmp_path_factory.mktemp("features") / "clip-tiny"
    model.save_pretrained(folder)
    return model, folder


# --- ours -------------------------------------------------------------------------------------------------------------


def test_the_clip_of_the_digits_finds_words_and_pictures_that_belong_together(tmp_path):
    network = feature_network("ours", DIGITS, CPU)
    store = prepare("digits", 64, tmp_path, split="test")
    some = torch.arange(0, len(store), 5)
    seen = network(store.batch(some))
    own = network.of_texts([store.captions[i][0] for i in some.tolist()])
    assert network.name == "digits/image_encoder"
    assert clip_scores(seen, own).mean() > 1.5 * clip_scores(seen, own.roll(7, 0)).mean()


def test_features_are_the_same_in_any_company_and_every_time():
    network = feature_network("digits", DIGITS, CPU)
    some = pictures(70, 40)
    together = network(some)
    assert torch.equal(together, network(some))
    assert torch.allclose(together[66:67], network(some[66:67]), atol=1e-5)
    assert together.dtype == torch.float32


def test_a_model_without_an_image_encoder_is_seen_by_the_one_that_comes_with_sfumato(tmp_path):
    assert feature_network("ours", tmp_path, CPU).name.endswith("/image_encoder")
    assert feature_network(str(DIGITS), tmp_path, CPU).side == 32


# --- those of others --------------------------------------------------------------------------------------------------


def test_a_clip_of_transformers_gives_its_features_of_pictures_and_of_words(clip):
    model, folder = clip
    network, some, texts = feature_network(str(folder), DIGITS, CPU), pictures(3, 32), ["a cat", "two red dogs"]
    ids = Tokenizer.clip().encode(texts)  # the folder holds no words: CLIP's own come with sfumato
    with torch.no_grad():
        seen = model.visual_projection(model.vision_model(normalised(some, MEAN, SPREAD)).pooler_output)
        read = model.text_projection(model.text_model(ids).pooler_output)
    assert torch.allclose(network(some), seen, atol=1e-5)
    assert torch.allclose(network.of_texts(texts), read, atol=1e-5)
    assert network.name == "clip-tiny"


def test_the_old_configurations_of_clip_that_hold_much_else_are_read_too(clip, tmp_path):
    _, folder = clip
    config = json.loads((folder / "config.json").read_text())
    for half in ("text_config", "vision_config"):
        config[half] |= {"temperature": 1.0, "max_length": 20, "return_dict": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    here, there = (feature_network(str(path), DIGITS, CPU)(pictures(2, 32)) for path in (folder, tmp_path))
    assert torch.equal(here, there)


def test_the_image_half_alone_sees_as_its_processor_says_and_reads_nothing(tmp_path):
    torch.manual_seed(1)
    model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**VISION, projection_dim=8)).eval()
    model.save_pretrained(tmp_path)
    processor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "crop_size": {"height": 32, "width": 32}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    network, some = feature_network(str(tmp_path), DIGITS, CPU), pictures(2, 32)
    with torch.no_grad():
        known = model(normalised(some, processor["image_mean"], processor["image_std"])).image_embeds
    assert torch.allclose(network(some), known, atol=1e-5)
    assert network.of_texts(["a cat"]) is None


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    torch.manual_seed(2)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    model = transformers.Dinov2Model(transformers.Dinov2Config(**shape)).eval()
    folder = tmp_path_factory.mktemp("features") / "dino-tiny"
    model.save_pretrained(folder)
    return model, folder


def test_dino_gives_its_state_of_the_whole_picture(dino):
    model, folder = dino
    network, some = feature_network(str(folder), DIGITS, CPU), pictures(2, 224)
    with torch.no_grad():
        known = model(normalised(some, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))).last_hidden_state[:, 0]
    assert torch.allclose(network(some), known, atol=1e-4)


def test_dino_without_transformers_says_what_to_install(dino, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(CheckpointError, match="pip install"):
        feature_network(str(dino[1]), DIGITS, CPU)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inception", "weights/pt_inception-2015-12-05.pth", "network.pt"])
def test_inception_is_refused_with_what_to_do(name):
    with pytest.raises(CheckpointError, match="Give the folder of a CLIP or DINOv2 instead"):
        feature_network(name, DIGITS, CPU)


def test_what_is_no_network_is_refused_by_name(tmp_path, clip):
    with pytest.raises(CheckpointError, match=r"no features 'nowhere'.*ours"):
        feature_network("nowhere", DIGITS, CPU)
    with pytest.raises(CheckpointError, match="holds no network that sees pictures"):
        feature_network(str(tmp_path), DIGITS, CPU)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="is of 'bert'"):
        feature_network(str(tmp_path), DIGITS, CPU)
    other = {"model_type": "clip", "vision_config": VISION | {"image_size": 64}, "projection_dim": 24}
    (tmp_path / "config.json").write_text(json.dumps(other))
    (tmp_path / "model.safetensors").write_bytes((clip[1] / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        feature_network(str(tmp_path), DIGITS, CPU)
    (tmp_path / "config.json").write_text((clip[1] / "config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 0]}')
    with pytest.raises(CheckpointError, match="image_std should be three numbers"):
        feature_network(str(tmp_path), DIGITS, CPU)
