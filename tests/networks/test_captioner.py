"""The captioner: what was seen decides what is said, and nothing that comes later does."""

import pytest
import torch

from sfumato.errors import CheckpointError
from sfumato.networks.captioner import Captioner, CaptionerConfig
from sfumato.networks.initialisation import initialise

CONFIG = CaptionerConfig(
    image_size=16, channels=(8, 16), vocab_size=20, hidden_size=16, num_hidden_layers=2, caption_length=6
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return initialise(Captioner(CONFIG)).eval()


def test_it_scores_every_token_after_the_words_so_far(network):
    pictures, ids = torch.randn(2, 3, 16, 16), torch.randint(20, (2, 6))
    logits = network(pictures, ids)
    assert logits.shape == (2, 6, 20)
    assert network.prefix(pictures).shape == (2, CONFIG.vectors, 16) == (2, 16, 16)
    later = ids.clone()
    later[:, 4:] = 0
    assert torch.equal(network(pictures, later)[:, :4], logits[:, :4])


def test_each_part_of_the_picture_changes_the_words(network):
    pictures, ids = torch.randn(1, 3, 16, 16), torch.randint(20, (1, 3))
    for row, column in ((0, 0), (0, 15), (15, 0), (15, 15)):
        other = pictures.clone()
        other[:, :, row, column] += 2
        assert not torch.equal(network(other, ids), network(pictures, ids))


def test_it_has_room_for_the_longest_caption_and_no_longer_one(network):
    network(torch.zeros(1, 3, 16, 16), torch.zeros(1, 6, dtype=torch.long))
    with pytest.raises(ValueError, match="at most 22"):
        network(torch.zeros(1, 3, 16, 16), torch.zeros(1, 7, dtype=torch.long))
    with pytest.raises(ValueError, match="pictures of 16 x 16"):
        network.prefix(torch.zeros(1, 3, 8, 8))


def test_its_configuration_is_read_again_and_checked():
    assert CaptionerConfig.from_dict(CONFIG.to_dict()) == CONFIG
    for wrong in (
        {"image_size": 15},
        {"channels": []},
        {"channels": [8] * 60},
        {"patch_size": 0},
        {"image_size": 4096, "patch_size": 1},
        {"num_attention_heads": 3},
        {"eos_token_id": 20},
        {"caption_length": 1},
        {"num_hidden_layers": 100_000},
    ):
        with pytest.raises(CheckpointError):
            CaptionerConfig.from_dict(CONFIG.to_dict() | wrong)
