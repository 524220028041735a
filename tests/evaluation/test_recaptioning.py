"""Captions written anew stand beside the old ones, which nothing touches."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sfumato.checkpoints.folder import save_part
from sfumato.cli.main import app
from sfumato.data.report import Report
from sfumato.data.sources import find
from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError, DataError
from sfumato.evaluation.data_check.captioner import CaptionerAgreement
from sfumato.evaluation.data_check.checking import check
from sfumato.evaluation.recaptioning import recaption
from sfumato.networks.captioner import Captioner, CaptionerConfig
from sfumato.pipelines.language.captioning import CaptionModel
from sfumato.pipelines.language.choosing import Sampling

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250), "white": (255, 255, 255)}


@pytest.fixture(scope="module")
def model():
    """A captioner that names colours, after a moment of learning."""
    tokenizer = Tokenizer.train([f"a {name} square" for name in COLOURS] * 4, length=6)
    config = CaptionerConfig(
        image_size=8,
        channels=(8,),
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        caption_length=6,
        bos_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
    )
    torch.manual_seed(0)
    network = Captioner(config)
    pictures = torch.stack([torch.tensor(c).div(127.5).sub(1)[:, None, None].expand(3, 8, 8) for c in COLOURS.values()])
    ids = tokenizer.encode([f"a {name} square" for name in COLOURS])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(network(pictures, ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return CaptionModel(network.eval().requires_grad_(False), tokenizer)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("captioner")
    save_part(path, "captioner", model.network)
    model.tokenizer.save(path / "tokenizer")
    return path


@pytest.fixture
def data(tmp_path):
    """Forty squares, every fourth of which lies, and a picture that is none."""
    path = tmp_path / "squares"
    path.mkdir()
    names = list(COLOURS)
    for number in range(40):
        name = names[number % 4]
        said = names[(number + 1) % 4] if number % 4 == 0 else name
        Image.new("RGB", (20, 16), COLOURS[name]).save(path / f"{number:02}.png")
        (path / f"{number:02}.txt").write_text(f"a {said} square")
    (path / "broken.png").write_bytes(b"none")
    (path / "broken.txt").write_text("a lost square")
    return path


def rows(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_new_captions_are_true_and_the_old_ones_are_kept(model, data, tmp_path):
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    done = recaption(str(data), tmp_path / "new", model, 1.0, quiet=True)
    assert (done.new, done.old, len(done.report)) == (40, 0, 1)
    told = rows(tmp_path / "new")
    assert [row["text"] for row in told] == [f"a {list(COLOURS)[n % 4]} square" for n in range(40)]
    assert all(row["written"] == row["text"] for row in told)
    assert told[0]["original"] == ["a green square"]
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    again = find(tmp_path / "new", Report())
    assert [entry.captions for entry in again] == [(row["text"],) for row in told]


def test_the_share_says_how_many_are_new_and_the_seed_which(model, data, tmp_path):
    for share in (0.0, 0.5):
        done = recaption(str(data), tmp_path / str(share), model, share, seed=1, quiet=True)
        told = rows(tmp_path / str(share))
        assert all(row["text"] in (row["written"], *row["original"]) for row in told)
        assert done.new + done.old == 40
        assert abs(done.new - 40 * share) < 12
        assert done.new == 0 or done.old > 0
        assert sum(bool(row["written"]) for row in told) == done.new
    free = Sampling(temperature=2.0)
    texts = [
        (tmp_path / name / "metadata.jsonl", recaption(str(data), tmp_path / name, model, seed=seed, sampling=free))
        for name, seed in (("one", 3), ("two", 3), ("three", 4))
    ]
    one, two, three = (path.read_text() for path, _ in texts)
    assert one == two != three


def test_the_worst_captions_are_the_lies(model, data, tmp_path):
    done = recaption(str(data), tmp_path / "mended", model, 0.25, worst=True, quiet=True)
    assert (done.new, done.old) == (10, 30)
    told = rows(tmp_path / "mended")
    assert [row["text"] for row in told] == [f"a {list(COLOURS)[n % 4]} square" for n in range(40)]
    assert [number for number, row in enumerate(told) if row["written"]] == list(range(0, 40, 4))


def test_a_few_pictures_have_a_worst_one_too(model, data, tmp_path):
    for path in data.iterdir():
        if path.stem >= "04":
            path.unlink()
    assert recaption(str(data), tmp_path / "new", model, 0.25, worst=True, quiet=True).new == 1
    assert [row["original"] for row in rows(tmp_path / "new") if row["written"]] == [["a green square"]]


def test_bad_places_and_shares_are_refused(model, data, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    with pytest.raises(DataError, match="already"):
        recaption(str(data), tmp_path / "taken", model, quiet=True)
    with pytest.raises(DataError, match="lies within"):
        recaption(str(data), data / "new", model, quiet=True)
    with pytest.raises(DataError, match="share"):
        recaption(str(data), tmp_path / "new", model, 1.5, quiet=True)
    with pytest.raises(DataError, match="Scenes"):
        recaption("scenes", tmp_path / "new", model, quiet=True)
    with pytest.raises(DataError, match="no such"):
        recaption(str(tmp_path / "nowhere"), tmp_path / "new", model, quiet=True)
    assert not (tmp_path / "new").exists()


def test_the_command_captions_and_says_what_is_missing(folder, data, tmp_path):
    asked = ["caption", str(data), "--out", str(tmp_path / "new"), "--share", "1", "--device", "cpu", "-q"]
    result = CliRunner().invoke(app, [*asked, "--model", str(folder)], catch_exceptions=False)
    assert "40 pictures have a new caption and 0 their own" in result.stdout
    assert "broken.png" in result.stdout
    with pytest.raises(DataError, match="Name a captioner"):
        CliRunner().invoke(app, asked, catch_exceptions=False)
    with pytest.raises(CheckpointError, match="holds no captioner"):
        CliRunner().invoke(app, [*asked, "--model", str(tmp_path)], catch_exceptions=False)


def test_a_caption_fits_its_own_picture_best(model):
    pictures = torch.stack([torch.tensor(c).div(127.5).sub(1)[:, None, None].expand(3, 8, 8) for c in COLOURS.values()])
    agreement = CaptionerAgreement("ours", model, model.see(pictures))
    captions = [f"a {name} square" for name in COLOURS]
    table = agreement(torch.arange(4).repeat_interleave(4), captions * 4).view(4, 4)
    assert torch.equal(table.argmax(1), torch.arange(4))
    wrong = table[~torch.eye(4, dtype=torch.bool)]
    assert table.diagonal().min() > wrong.max() + 0.5
    assert torch.equal(agreement(torch.arange(4), captions), agreement(torch.arange(4), captions))


def test_the_check_of_data_finds_lies_by_a_captioner_alone(folder, data, tmp_path):
    done = check(str(data), tmp_path / "page", captioner=str(folder), lies=0.25, smallest=1, device="cpu", quiet=True)
    lies = {finding.where for finding in done.findings if finding.kind == "lie"}
    assert lies == {f"{number:02}.png" for number in range(0, 40, 4)}
    assert "judged by" in (tmp_path / "page" / "report.html").read_text()
