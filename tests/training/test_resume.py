"""Nothing is lost: kills, Ctrl-C and full disks cost time alone, and the end is the same to the byte."""

import resource
import signal

import pytest

from sfumato.training.ways import WAYS

OFTEN = ["run.checkpoint_seconds=0.1"]  # several steps: some are done again after a kill


@pytest.mark.parametrize(
    ("recipe", "way", "precision"),
    [
        ("digits", "latents", "float32"),  # bfloat16 takes long where the processor has none
        pytest.param("digits", "latents", "bfloat16", marks=pytest.mark.slow),
        *(pytest.param(name, name, "bfloat16", marks=pytest.mark.slow) for name in ("vectors", "cold", "gradient")),
    ],
)
def test_killed_in_each_stage_and_resumed_training_ends_with_the_same_bytes(
    tmp_path, run, command, kill_in, weights, recipe, way, precision
):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    stages = tuple(WAYS[way])
    settings = [*OFTEN, f"run.precision={precision}", *(f"{stage}.steps=60" for stage in stages)]
    asked = ("--recipe", recipe)
    made = run("digits", undisturbed, *asked, settings=settings)
    assert made.returncode == 0, made.stderr
    trained = [stage for stage in stages if (undisturbed / "run" / stage).is_dir()]
    for stage in trained:
        code, _ = kill_in(stage, command("digits", killed, *asked, settings=settings), killed, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (killed / "run" / stage / "done.json").exists()
    done = run("digits", killed, *asked, settings=settings)
    assert done.returncode == 0, done.stderr
    assert weights(killed) == weights(undisturbed)
    assert (killed / "model_index.json").read_bytes() == (undisturbed / "model_index.json").read_bytes()
    assert (killed / "sfumato.json").read_bytes() == (undisturbed / "sfumato.json").read_bytes()
    for stage in trained:
        assert steps(killed / "run" / stage) == list(range(1, 61))  # no step is missing or told twice


def steps(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [int(line.split('"step": ')[1].split(",")[0]) for line in lines]


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(tmp_path, command, run, kill_in):
    out = tmp_path / "model"
    settings = ["denoiser.steps=100000", "run.checkpoint_seconds=0.05"]
    code, said = kill_in("denoiser", command("digits", out, settings=settings), out, signal.SIGINT)
    assert code == 130
    assert "Run the same command to go on" in said
    assert "Traceback" not in said
    newest = max(int(path.stem[5:]) for path in (out / "run" / "denoiser").glob("step-*.safetensors"))
    assert f"at step {newest} of 100000" in said


def test_a_full_disk_ends_training_with_a_message_and_an_intact_checkpoint(tmp_path, command, run, kill_in):
    out = tmp_path / "model"
    settings, alone = ["autoencoder.steps=60", *OFTEN], ("--stage", "autoencoder")
    kill_in("autoencoder", command("digits", out, *alone, settings=settings), out, signal.SIGINT)
    kept = {path.name: path.read_bytes() for path in (out / "run" / "autoencoder").glob("step-*.safetensors")}
    assert kept

    def no_more_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    failed = run("digits", out, *alone, settings=settings, preexec_fn=no_more_room)
    assert failed.returncode == 74
    assert "the disk is full" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert {path.name: path.read_bytes() for path in (out / "run" / "autoencoder").glob("step-*.safetensors")} == kept
    assert not list((out / "run" / "autoencoder").glob(".*partial*"))
    assert run("digits", out, *alone, settings=settings).returncode == 0


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(tmp_path, run):
    out = tmp_path / "model"
    assert run("digits", out, "--stage", "autoencoder", settings=["autoencoder.steps=2"]).returncode == 0
    refused = run("digits", out, settings=["autoencoder.steps=3"])
    assert refused.returncode == 2
    assert "autoencoder.steps was 2 and is 3" in refused.stderr


def test_one_stage_alone_needs_those_before_it(tmp_path, run):
    refused = run("digits", tmp_path / "model", "--stage", "denoiser")
    assert refused.returncode == 2
    assert "needs autoencoder and clip" in refused.stderr
