from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.machine.gpu import Gpu
from node.machine.relief import Pressure, to_unload
from node.ports.library import LoadedModel
from tests.unit.machine.doubles import GB, a_sample


def chosen(
    loaded: list[LoadedModel],
    needed: float,
    *,
    is_vram: bool = False,
    busy: tuple[str, ...] = (),
    preloaded: tuple[str, ...] = (),
) -> list[str]:
    """The last use of the models is in the order of the list."""
    order = [model.name for model in loaded]
    models = to_unload(
        loaded,
        needed,
        is_vram=is_vram,
        is_idle=lambda key: key not in busy,
        preloaded=preloaded,
        last_used=lambda key: float(order.index(key)),
    )
    return [model.name for model in models]


A, B, C = (LoadedModel(f"{name}:1", size) for name, size in (("a", 2), ("b", 4), ("c", 8)))


def test_the_least_recently_used_go_first_and_no_more_than_needed() -> None:
    assert chosen([A, B, C], 0) == []
    assert chosen([A, B, C], 1) == ["a:1"]
    assert chosen([A, B, C], 2) == ["a:1"]
    assert chosen([A, B, C], 5) == ["a:1", "b:1"]
    assert chosen([A, B, C], 100) == ["a:1", "b:1", "c:1"]


def test_a_model_that_need_not_go_beside_a_larger_one_stays() -> None:
    assert chosen([A, B, C], 8) == ["c:1"]
    assert chosen([A, B, C], 9) == ["a:1", "c:1"]


def test_running_models_stay_and_preloaded_ones_go_last() -> None:
    assert chosen([A, B, C], 100, busy=("a:1",)) == ["b:1", "c:1"]
    assert chosen([A, B, C], 3, preloaded=("a:1", "b:1")) == ["c:1"]
    assert chosen([A, B, C], 100, preloaded=("a:1",)) == ["b:1", "c:1", "a:1"]


def test_after_a_size_that_is_not_known_memory_is_measured_again() -> None:
    assert chosen([A, LoadedModel("x:1"), C], 100) == ["a:1", "x:1"]


def test_only_what_frees_the_memory_that_is_short_goes() -> None:
    models = [LoadedModel("cpu:1", 5, 0), LoadedModel("gpu:1", 5, 3), LoadedModel("dark:1", 5, None)]
    assert chosen(models, 3, is_vram=True) == ["gpu:1"]
    assert chosen(models, 100, is_vram=True) == ["gpu:1", "dark:1"]
    assert chosen(models, 6) == ["cpu:1", "gpu:1"]


@given(st.lists(st.integers(1, 50), max_size=8), st.integers(1, 200))
def test_nothing_goes_that_could_stay(sizes: list[int], needed: int) -> None:
    models = [LoadedModel(f"{number}:1", size) for number, size in enumerate(sizes)]
    names = chosen(models, needed)
    freed = [sizes[int(name.split(":")[0])] for name in names]
    if sum(sizes) >= needed:
        assert sum(freed) >= needed
        assert all(sum(freed) - size < needed for size in freed)
    else:
        assert len(names) == len(models)


def test_pressure_is_of_the_cards_where_they_tell() -> None:
    sample = a_sample(5.0, memory_used_ratio=0.9, gpus_taken_at=3.0)
    assert Pressure.of(sample) == Pressure(5.0, 0.9, 10 * GB, is_vram=False)
    cards = (Gpu("a", 8 * GB, 6 * GB), Gpu("b", 8 * GB, 0), Gpu("c", 99 * GB), Gpu("d", GB, GB, shares_ram=True))
    pressure = Pressure.of(a_sample(5.0, gpus=cards, gpus_taken_at=3.0))
    assert pressure == Pressure(3.0, 0.375, 16 * GB, is_vram=True)
    assert pressure.bytes_above(0.25) == 2 * GB
    assert pressure.bytes_above(0.5) == -2 * GB
    assert pressure.bytes_above(0.3) == pytest.approx(1.2 * GB)
