"""What a file is taken for: the hints of its prediction, files that are something else, and files that mean harm."""

import random
import time

import pytest
import torch

from sfumato.checkpoints.scheduler import from_config
from sfumato.checkpoints.single.family import autoencoder, naming, packed, recognise, rest, unpacked
from sfumato.checkpoints.single.prediction import said_in
from sfumato.checkpoints.single.writing import family_of, write_single_file
from sfumato.diffusion import parameterisation
from sfumato.diffusion.parameterisation import Parameterisation, Timestep
from sfumato.diffusion.processes import Karras
from sfumato.errors import CheckpointError

DENOISER = "model.diffusion_model."


def read(source):
    return {name: source.get(name) for name in source.names()}


def file_of(model):
    if not hasattr(model, "file"):
        model.file = read(packed(model.sources, family_of(model.configs)))
    return dict(model.file)


def prediction(state, tensors, **said):
    family = recognise(tensors(state), **said)
    return family.scheduler["prediction_type"], family.guessed


sd1 = pytest.mark.parametrize("model", ["sd1"], indirect=True)
sd2 = pytest.mark.parametrize("model", ["sd2"], indirect=True)
xl = pytest.mark.parametrize("model", ["xl"], indirect=True)
sd3 = pytest.mark.parametrize("model", ["sd3"], indirect=True)
flux = pytest.mark.parametrize("model", ["flux schnell, the transformer alone"], indirect=True)


@sd2
@pytest.mark.parametrize(("spread", "found"), [(0.02, "epsilon"), (0.2, "v_prediction")])
def test_stable_diffusion_2_is_told_by_the_spread_of_a_bias_that_is_there_in_the_published_size(
    model, tensors, spread, found, monkeypatch
):
    name = f"{DENOISER}output_blocks.3.1.transformer_blocks.0.norm1.bias"  # the last of this small one
    monkeypatch.setattr("sfumato.checkpoints.single.prediction.SPREAD", name.removeprefix(DENOISER))
    state = file_of(model)
    assert name in state
    state[name] = spread * torch.randn_like(state[name])
    assert prediction(state, tensors)[0] == found
    assert "the spread of" in prediction(state, tensors)[1]


@sd2
def test_stable_diffusion_2_is_told_by_its_steps_of_training(model, tensors):
    state = file_of(model)
    assert prediction(state | {"global_step": torch.tensor(875_000)}, tensors)[0] == "epsilon"
    assert prediction(state | {"global_step": torch.tensor(140_000)}, tensors)[0] == "v_prediction"
    with pytest.raises(CheckpointError, match="global_step should be one number"):
        recognise(tensors(state | {"global_step": torch.arange(2)}))


@xl
def test_marks_tell_v_and_a_noise_that_ends_in_nothing_else(model, tensors):
    state = file_of(model)
    assert prediction(state, tensors) == ("epsilon", "")
    assert prediction(state | {"v_pred": torch.empty(0)}, tensors) == ("v_prediction", "")
    marked = recognise(tensors(state | {"v_pred": torch.empty(0), "ztsnr": torch.empty(0)}))
    diffusion = from_config(marked.scheduler)
    assert diffusion.process.betas[-1] == 1
    assert diffusion.parameterisation == Parameterisation(parameterisation.v, Timestep(diffusion.process, 1000))


@xl
def test_cosxl_is_told_by_its_sigmas(model, tensors):
    ends = {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)}
    diffusion = from_config(recognise(tensors(file_of(model) | ends)).scheduler)
    assert diffusion.process == Karras(ends["edm_vpred.sigma_min"].item(), 120.0)
    assert diffusion.spacing == "exponential"


@sd1
def test_what_is_said_counts_more_than_what_is_hinted(model, tensors):
    state = file_of(model) | {"v_pred": torch.empty(0)}
    assert prediction(state, tensors, prediction="epsilon") == ("epsilon", "")
    with pytest.raises(CheckpointError, match="epsilon, v_prediction"):
        recognise(tensors(state), prediction="velocity")


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
        ({"modelspec.predict_key": "epsilon"}, "epsilon"),
        ({"modelspec.prediction_type": "something", "format": "pt"}, None),
    ],
)
def test_metadata_of_the_model_specification_say_the_prediction(metadata, found):
    assert said_in(metadata) == found


@sd2
@pytest.mark.parametrize(("said", "edge"), [("epsilon", 64), ("v_prediction", 96)])
def test_stable_diffusion_2_makes_larger_pictures_where_it_predicts_v(model, tensors, said, edge):
    family = recognise(tensors(file_of(model)), prediction=said)
    assert family.configs["unet"]["sample_size"] == edge


@sd3
def test_a_model_that_flows_has_no_other_prediction(model, tensors):
    with pytest.raises(CheckpointError, match="of a U-Net"):
        recognise(tensors(file_of(model)), prediction="epsilon")


@sd3
def test_a_missing_projection_of_stable_diffusion_3_is_the_identity_both_ways(model, tensors):
    state = file_of(model)
    name = "text_encoders.clip_l.transformer.text_projection.weight"
    assert name in state
    del state[name]
    source = tensors(state)
    family = recognise(source)
    parts = unpacked(source, family)
    assert torch.equal(parts["text_encoder"].get("text_projection.weight"), torch.eye(64))
    assert parts["text_encoder"].shape("text_projection.weight") == (64, 64)
    assert set(packed(parts, family).names()) == state.keys()


@flux
def test_a_bare_transformer_may_have_the_prefix_of_whole_models(model, tensors):
    state = {DENOISER + name: tensor for name, tensor in file_of(model).items()}
    source = tensors(state)
    family = recognise(source)
    assert read(unpacked(source, family)["transformer"]).keys() == model.sources["transformer"].tensors.keys()
    assert read(packed(unpacked(source, family), family)).keys() == state.keys()


@sd1
def test_old_merges_without_the_stem_of_the_text_encoder_are_read(model, tensors):
    state = {name.replace(".transformer.text_model.", ".transformer."): t for name, t in file_of(model).items()}
    source = tensors(state)
    family = recognise(source)
    found = read(unpacked(source, family)["text_encoder"])
    assert found.keys() == model.sources["text_encoder"].tensors.keys()
    assert read(packed(unpacked(source, family), family)).keys() == state.keys()


@sd1
def test_duplicates_of_a_moving_average_are_left_out(model, tensors):
    state = file_of(model)
    double = {"model_ema." + name.removeprefix("model.").replace(".", ""): torch.ones(1) for name in state}
    source = tensors(state | double)
    family = recognise(source)
    assert not list(rest(source, family).names())
    assert read(unpacked(source, family)["unet"]).keys() == model.sources["unet"].tensors.keys()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["lora_unet_down_blocks_0_attentions_0.lora_up.weight", "a.alpha"],
            "a LoRA; give it as --lora beside",
        ),
        (["transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight"], "a LoRA"),
        (["control_model.input_blocks.0.0.weight", "control_model.zero_convs.0.0.weight"], "a ControlNet"),
        (["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"], "a ControlNet"),
        (["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], "an IP-adapter"),
        (["body.0.block1.weight"], "a T2I-adapter"),
        (["emb_params"], "a textual inversion"),
        (["encoder.down.0.block.0.conv1.weight", "decoder.conv_in.weight"], "an autoencoder alone; give it as --vae"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight"], "an autoencoder alone"),
        (["text_model.encoder.layers.0.mlp.fc1.weight"], "a text encoder alone"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"], "a text encoder alone"),
        (["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"], "a part of a diffusers folder"),
        (["transformer_blocks.0.attn.to_q.weight"], "a part of a diffusers folder"),
        (["wte.weight"], "no model that is known here; known are Stable Diffusion 1, 2, XL, 3, and FLUX.1"),
        ([], "no model that is known here"),
    ],
)
def test_other_files_are_refused_with_what_they_seem_to_be_and_what_to_do(tensors, names, said):
    with pytest.raises(CheckpointError, match=said), naming("some.safetensors"):
        recognise(tensors(dict.fromkeys(names, torch.ones(1))))
    with pytest.raises(CheckpointError, match=r"^some.safetensors: "), naming("some.safetensors"):
        recognise(tensors({}))


@flux
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("distilled_guidance_layer.in_proj.bias", "Chroma"),
        ("single_stream_modulation.lin.weight", "FLUX.2"),
        ("double_stream_modulation_img.lin.weight", "FLUX.2"),
        ("double_blocks.0.img_attn.qkv.scale_weight", "a quantised model; give the file in bf16"),
    ],
)
def test_relatives_that_are_not_supported_are_refused_by_name(model, tensors, name, said):
    with pytest.raises(CheckpointError, match=said):
        recognise(tensors(file_of(model) | {name: torch.ones(1)}))


@xl
def test_playground_is_refused_by_name(model, tensors):
    with pytest.raises(CheckpointError, match="Playground"):
        recognise(tensors(file_of(model) | {"edm_mean": torch.ones(4)}))


@sd1
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update({f"{DENOISER}stranger": torch.ones(1)}), "stranger is not known"),
        (lambda s: s.update({f"{DENOISER}input_blocks.1.0.in_layers.9.weight": torch.ones(1)}), "in_layers.9"),
        (lambda s: s.update({"first_stage_model.encoder.down.0.block.0.nine": torch.ones(1)}), None),
        (lambda s: s.update({"first_stage_model.encoder.down.0.block.0.conv_shortcut.weight": torch.ones(1)}), None),
        (lambda s: s.pop(f"{DENOISER}middle_block.1.proj_in.weight"), "middle_block.1.proj_in.weight is missing"),
        (lambda s: s.update({f"{DENOISER}input_blocks.0.0.weight": torch.ones(3)}), "should have 4 axes"),
        (lambda s: s.pop("first_stage_model.encoder.conv_in.weight"), "encoder.conv_in.weight is missing"),
        (lambda s: s.pop(f"{DENOISER}input_blocks.1.1.transformer_blocks.0.ff.net.2.bias"), None),
    ],
)
def test_tensors_that_are_surplus_or_missing_are_named(model, tensors, change, said):
    state = file_of(model)
    change(state)
    source = tensors(state)
    if said is None:  # the network's own loading names these
        unpacked(source, recognise(source))
    else:
        with pytest.raises(CheckpointError, match=said):
            unpacked(source, recognise(source))


@sd2
def test_a_fused_tensor_that_cannot_be_cut_is_named_with_its_shape(model, tensors):
    state = file_of(model)
    name = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"
    state[name] = torch.ones(64, 64)
    source = tensors(state)
    view = unpacked(source, recognise(source))["text_encoder"]
    for look in (view.shape, view.get):
        with pytest.raises(CheckpointError, match=r"q_proj.weight cannot be made of .*in_proj_weight: 64 rows"):
            look("text_model.encoder.layers.0.self_attn.q_proj.weight")


@sd1
def test_a_model_whose_levels_are_thinned_out_unevenly_is_refused(model, tensors):
    state = file_of(model)
    state |= {
        name.replace("transformer_blocks.0", "transformer_blocks.1"): tensor
        for name, tensor in state.items()
        if name.startswith(f"{DENOISER}output_blocks.2.1.transformer_blocks.0")
    }
    with pytest.raises(CheckpointError, match=r"output_blocks.2 has 2 transformer blocks where its level has 1"):
        recognise(tensors(state))


class Names:
    """A source of nothing but names, each with the same small shape."""

    def __init__(self, names, shape=(4, 4, 3, 3)):
        self.all, self.given = names, shape

    def names(self):
        return iter(self.all)

    def shape(self, name):
        return self.given

    def dtype(self, name):
        return torch.float32

    def get(self, name):
        raise AssertionError("nothing is to be read")


FIRST = [f"{DENOISER}input_blocks.0.0.weight"]


@pytest.mark.parametrize(
    "names",
    [
        [*FIRST, *(f"{DENOISER}input_blocks.{n}.0.op.weight" for n in range(300_000))],
        [*FIRST, *(f"{DENOISER}input_blocks.{n}.0.op.weight" for n in range(19_000))],
        [*FIRST, *(f"{DENOISER}input_blocks.1.1.transformer_blocks.{n}.x" for n in range(19_000))],
        [*FIRST, f"{DENOISER}input_blocks.{'9' * 10**6}.0.op.weight"],
        [*FIRST, DENOISER + "." * 10**6],
        [f"double_blocks.{n}.img_attn.norm.query_norm.scale" for n in range(19_000)],
        [f"joint_blocks.{n}.context_block.adaLN_modulation.1.weight" for n in range(19_000)],
        ["a" * 10**7],
        ["." * 10**6 + str(n) for n in range(5)],
    ],
)
def test_names_by_the_hundred_thousand_and_names_without_end_are_refused_at_once(names):
    began = time.perf_counter()
    with pytest.raises(CheckpointError):
        recognise(Names(names))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (0, 0, 0, 0), (2**40, 2**40), (1, 1, 1), (7, 7, 7, 7), (3, 5)])
def test_shapes_of_no_model_are_refused_or_read_without_a_crash(model, shape):
    source = Names(list(file_of(model)), shape)
    try:
        for view in unpacked(source, recognise(source, prediction=None)).values():
            for each in view.names():
                view.shape(each)
    except CheckpointError:
        pass


@sd1
def test_a_model_that_a_single_file_cannot_say_is_not_written(model, tmp_path):

    def write(scheduler=None, **changes):
        configs = {part: config | changes.get(part, {}) for part, config in model.configs.items()}
        write_single_file(tmp_path / "x", model.sources, configs, model.scheduler | (scheduler or {}))

    with pytest.raises(CheckpointError, match="another; save it as a folder"):
        write({"beta_schedule": "squaredcos_cap_v2"})
    sources = model.sources | {"unet": Names(list(model.sources["unet"].names()), (6, 6, 3, 3))}
    with pytest.raises(CheckpointError, match=r"x: the readers .* would not know this one: .*; save it as a folder"):
        write_single_file(tmp_path / "x", sources, model.configs, model.scheduler)
    with pytest.raises(CheckpointError, match="attention_head_dim of the unet to be 8, and not 4"):
        write(unet={"attention_head_dim": 4})
    with pytest.raises(CheckpointError, match="norm_num_groups of the vae to be 32, and not 16"):
        write(vae={"norm_num_groups": 16})
    with pytest.raises(CheckpointError, match="scaling_factor of the vae"):
        write(vae={"scaling_factor": 1.0})
    with pytest.raises(CheckpointError, match="no place for the restorer"):
        write_single_file(
            tmp_path / "x", model.sources, model.configs | {"restorer": model.configs["unet"]}, model.scheduler
        )
    with pytest.raises(CheckpointError, match="no single file for a model with no denoiser"):
        write_single_file(tmp_path / "x", {}, {}, model.scheduler)
    assert not list(tmp_path.iterdir())


@sd1
def test_v_and_zero_terminal_noise_are_marked_where_nothing_else_says_them(model, tensors, tmp_path):
    from safetensors.torch import load_file

    told = model.scheduler | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    write_single_file(tmp_path / "v.safetensors", model.sources, model.configs, told)
    state = load_file(tmp_path / "v.safetensors")
    assert {"v_pred", "ztsnr"} <= state.keys()
    assert prediction(state, tensors) == ("v_prediction", "")
    write_single_file(tmp_path / "e.safetensors", model.sources, model.configs, model.scheduler)
    assert not {"v_pred", "ztsnr"} & load_file(tmp_path / "e.safetensors").keys()


@sd1
def test_a_missing_piece_and_mixed_types_of_a_fused_tensor_are_named(model, tensors):
    from sfumato.checkpoints.single.renaming import QKV, Entry, theirs

    table = [Entry("q k v", "qkv", QKV)]
    with pytest.raises(CheckpointError, match=r"k.weight is missing beside"):
        theirs(tensors({"q.weight": torch.ones(2), "v.weight": torch.ones(2)}), table)
    mixed = {"q.weight": torch.ones(2), "k.weight": torch.ones(2).half(), "v.weight": torch.ones(2)}
    with pytest.raises(CheckpointError, match="not of one type"):
        theirs(tensors(mixed), table).dtype("qkv.weight")


def test_a_tensor_that_is_gone_from_a_file_is_missed_or_refused_and_never_made_up(model, tensors):
    state = file_of(model)
    whole = sum(len(list(source.names())) for source in model.sources.values())
    for name in list(state)[:: max(1, len(state) // 40)]:
        if name.endswith("transformer.text_projection.weight"):
            continue  # the identity
        source = tensors({other: tensor for other, tensor in state.items() if other != name})
        try:
            parts = unpacked(source, recognise(source))
        except CheckpointError:
            continue
        assert sum(len(list(view.names())) for view in parts.values()) < whole


@sd1
@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
def test_an_autoencoder_is_found_alone_in_its_file_and_beside_others(model, tensors, prefix):
    state, stem = file_of(model), "first_stage_model."
    alone = {prefix + name.removeprefix(stem): tensor for name, tensor in state.items() if name.startswith(stem)}
    beside = {"loss.logvar": torch.ones(1), "model_ema.decay": torch.ones(1)}
    config, view = autoencoder(tensors(alone | beside))
    assert "scaling_factor" not in config
    assert config["block_out_channels"] == [32, 64]
    found = read(view)
    assert found.keys() == model.sources["vae"].tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in model.sources["vae"].tensors.items())


def test_a_file_without_an_autoencoder_is_told_what_it_is(tensors):
    with pytest.raises(CheckpointError, match="a LoRA"):
        autoencoder(tensors({"x.lora_down.weight": torch.ones(1)}))
    with pytest.raises(CheckpointError, match="no autoencoder that is known"):
        autoencoder(tensors({"x": torch.ones(1)}))


@pytest.mark.parametrize("model", ["sd1", "sd2", "xl", "sd3", "flux dev", "upscaler"], indirect=True)
def test_mutated_names_and_shapes_are_read_or_refused_and_nothing_else(model):
    shapes = {name: tuple(tensor.shape) for name, tensor in file_of(model).items()}
    dice = random.Random(0)
    marks = ("global_step", "v_pred", "ztsnr", "edm_vpred.sigma_max", "edm_mean")
    for _ in range(60):
        mutated = dict(shapes)
        for _ in range(dice.randint(1, 8)):
            name, other = dice.choice(list(shapes)), dice.choice(list(shapes))
            size = tuple(dice.choice((0, 1, 2, 3, 64, 2**31, 2**50)) for _ in range(dice.randint(0, 5)))
            character = dice.choice(".0123_ab")
            match dice.randint(0, 5):
                case 0:
                    mutated.pop(name, None)
                case 1:
                    mutated[name] = size
                case 2:
                    mutated[name.replace(character, dice.choice(("", ".", "9", "..", "\0")))] = shapes[name]
                case 3:
                    mutated[dice.choice(marks)] = dice.choice(((), (1,), (3,)))
                case 4:
                    mutated[name] = shapes[other]
                case 5:
                    mutated[name + dice.choice((".weight", ".lora_up.weight", "x"))] = size
        source = Shapes(mutated)
        try:
            family = recognise(source)
            for view in unpacked(source, family).values():
                for name in view.names():
                    view.shape(name)
            rest(source, family)
        except CheckpointError:
            pass


@sd3
def test_an_identity_that_is_larger_than_anything_in_the_file_is_not_made(model, tensors):
    """A table of one word for a width of a million is small; what would be projected is not."""
    state = file_of(model)
    stem = "text_encoders.clip_l.transformer."
    state.pop(f"{stem}text_projection.weight", None)
    table = f"{stem}text_model.embeddings.token_embedding.weight"
    source = tensors(state | {table: torch.zeros(1, 10**6)})
    with pytest.raises(CheckpointError, match="no other is 1000000 by 1000000"):
        unpacked(source, recognise(source))


class Shapes(Names):
    """A source of names and shapes whose few small tensors are zero."""

    def __init__(self, shapes):
        super().__init__(list(shapes))
        self.shapes = shapes

    def shape(self, name):
        return self.shapes[name]

    def get(self, name):
        assert torch.Size(self.shapes[name]).numel() <= 100_000
        return torch.zeros(self.shapes[name])
