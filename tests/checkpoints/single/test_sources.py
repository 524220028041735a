"""Opened files become sources of views, and views become files that a network is filled from."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sfumato.checkpoints.single.family import packed, recognise, unpacked
from sfumato.checkpoints.single.sources import Listed, Part
from sfumato.checkpoints.single.writing import family_of


@pytest.mark.parametrize("model", ["xl"], indirect=True)
def test_a_file_that_lists_its_entries_is_taken_apart_and_its_parts_list_theirs(model):
    view = packed(model.sources, family_of(model.configs))
    state = {name: view.get(name) for name in view.names()}
    file = SimpleNamespace(entries=state, get=state.__getitem__)
    parts = unpacked(Listed(file), recognise(Listed(file)))
    for part, source in model.sources.items():
        opened = Part(parts[part], Path("model.safetensors"), {"format": "pt"})
        assert opened.metadata == {"format": "pt"}
        assert opened.entries.keys() == source.tensors.keys()
        for name, tensor in source.tensors.items():
            assert opened.entries[name] == (tensor.dtype, tuple(tensor.shape))
            assert torch.equal(opened.get(name), tensor)
