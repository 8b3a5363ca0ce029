import pytest

from graft.errors import InputError
from graft.planning.settings import settings_class
from graft.search.space_reading import read_space
from graft.search.strategies.grid import GridConfig, GridSearch


def space(text):
    return read_space(text, settings_class({}))


def points(text, shuffle=False, seed=1):
    of, search = space(text), GridSearch(GridConfig(grid_shuffle=shuffle))
    return [search.propose(of, number + 1, seed, (), False) for number in range(search.size(of))]


def test_all_points_in_their_order():
    found = points("lora_r=8..24 step 8, learning_rate=1e-5..1e-3 log num 3, batch_size=8|16")
    assert len(found) == 18 and len({tuple(point.values()) for point in found}) == 18
    assert found[0] == {"lora_r": 8, "learning_rate": 1e-5, "per_device_train_batch_size": 8}
    assert found[1]["per_device_train_batch_size"] == 16
    assert [point["learning_rate"] for point in found[:6:2]] == pytest.approx([1e-5, 1e-4, 1e-3])
    assert found[-1] == {"lora_r": 24, "learning_rate": 1e-3, "per_device_train_batch_size": 16}


def test_the_values_of_ranges():
    assert [point["lora_r"] for point in points("lora_r=1..4")] == [1, 2, 3, 4]
    assert [point["lora_r"] for point in points("lora_r=1..64 log num 4")] == [1, 4, 16, 64]
    assert [point["lora_r"] for point in points("lora_r=1..2 num 5")] == [1, 2]
    assert [point["weight_decay"] for point in points("weight_decay=0..0.3 step 0.1")] == pytest.approx(
        [0, 0.1, 0.2, 0.3]
    )
    assert [point["weight_decay"] for point in points("weight_decay=0.1..0.1")] == [0.1]


def test_a_random_order_depends_on_the_seed_and_has_every_point():
    text = "lora_r=1..20, batch_size=8|16"
    first = points(text, shuffle=True)
    assert first == points(text, shuffle=True) != points(text, shuffle=True, seed=2) and first != points(text)
    assert sorted(map(str, first)) == sorted(map(str, points(text)))


def test_a_range_without_an_end_of_values_is_refused_with_what_to_do():
    search = GridSearch(GridConfig())
    with pytest.raises(InputError) as caught:
        search.size(space("learning_rate=1e-5..1e-3, weight_decay=0..1, lora_r=1..4"))
    said = str(caught.value)
    assert said.count("is a continuous range; a grid needs values") == 2 and "num: 5" in said and "lora_r" not in said
    with pytest.raises(InputError, match="the grid has 4 points, so there is no trial 5"):
        search.propose(space("lora_r=1..4"), 5, 1, (), False)


def test_a_grid_of_astronomic_size_is_no_list():
    search = GridSearch(GridConfig(grid_shuffle=True))
    large = space("lora_r=1..1000000, max_steps=1..1000000, early_stopping_patience=1..1000000")
    assert search.size(large) == 10**18
    assert search.propose(large, 7, 1, (), False) == search.propose(large, 7, 1, (), False)
