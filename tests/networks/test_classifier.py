import pytest
import torch
import torch.nn.functional as F

from sfumato.errors import CheckpointError
from sfumato.networks.classifier import Classifier, ClassifierConfig


@pytest.mark.parametrize("size", [(8, 8), (13, 9), (64, 64), (128, 96)])
def test_pictures_of_any_size_are_judged(size):
    classifier = Classifier(ClassifierConfig(classes=7))
    assert classifier(torch.randn(2, 3, *size)).shape == (2, 7)
    assert classifier.features(torch.randn(2, 3, *size)).shape == (2, 80)


def test_the_default_is_small():
    assert 100_000 < sum(p.numel() for p in Classifier(ClassifierConfig()).parameters()) < 400_000


def test_it_learns_to_tell_colours_apart():
    classifier = Classifier(ClassifierConfig(channels=(8, 12), classes=3))
    optimiser = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    for _ in range(40):
        labels = torch.randint(3, (16,))
        pictures = 0.3 * torch.randn(16, 3, 8, 8)
        pictures[torch.arange(16), labels] += 0.5
        loss = F.cross_entropy(classifier(pictures), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert all(p.grad is not None for p in classifier.parameters())
    assert loss < 0.5


def test_the_configuration_comes_back_from_its_file():
    config = ClassifierConfig(channels=(8, 16), classes=4, in_channels=1)
    assert ClassifierConfig.from_dict(config.to_dict()) == config
    with pytest.raises(CheckpointError, match="_class_name"):
        ClassifierConfig.from_dict({"_class_name": "UNet"})
    with pytest.raises(CheckpointError, match="channels"):
        ClassifierConfig.from_dict({"channels": []})
