"""Shifts: each picture its own way, and nothing else."""

import torch

from sfumato.data.augmentation import random_moves, shifted


def test_each_picture_moves_its_own_way_and_is_otherwise_unchanged():
    pictures = torch.arange(4 * 3 * 16 * 16, dtype=torch.float32).reshape(4, 3, 16, 16)
    moves = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.999, 0.5], [1.0, 0.0]])
    expected = [(-3, -3), (0, 0), (3, 0), (3, -3)]  # where the window starts, before the move 3 pixels in
    for before, after, (down, right) in zip(pictures, shifted(pictures, moves, 0.2), expected, strict=True):
        window = before[:, 3 + down : 13 + down, 3 + right : 13 + right]
        assert torch.equal(after[:, 3:13, 3:13], window)


def test_no_reach_changes_nothing():
    pictures = torch.randn(2, 3, 8, 8)
    assert shifted(pictures, random_moves(2, torch.Generator()), 0.0) is pictures
