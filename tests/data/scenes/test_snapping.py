"""Scenes on a grid."""

import pytest

from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.stream import Scenes
from sfumato.errors import DataError


@pytest.mark.parametrize("cells", [8, 16])
def test_things_begin_and_end_where_cells_do_and_hardly_move(cells):
    free, snapped = Scenes(shapes(), 0, held_out=None), Scenes(shapes(), 0, held_out=None, grid=cells)
    for number in range(200):
        one, other = free.scene(number), snapped.scene(number)
        assert one.description == other.description
        for before, after in zip(one.things, other.things, strict=True):
            for middle in (after.x, after.y):
                first = (middle - after.size / 2) * cells
                assert first == pytest.approx(round(first))
                assert 0 <= round(first) <= cells - round(after.size * cells)
            assert after.size * cells == pytest.approx(round(after.size * cells))
            if before.size * cells >= 3:
                assert max(abs(before.x - after.x), abs(before.y - after.y), abs(before.size - after.size)) < 1 / cells


def test_a_grid_of_too_few_cells_is_refused():
    with pytest.raises(DataError, match="8 cells"):
        Scenes(shapes(), 0, grid=4)
