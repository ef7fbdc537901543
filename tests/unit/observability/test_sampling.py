from __future__ import annotations

from node.observability.sampling import Sampler, Sampling

TWO = Sampling(burst=2, window_s=10.0)


def test_the_first_of_a_window_pass_and_the_next_window_tells_the_rest() -> None:
    sampler: Sampler[str] = Sampler()
    assert [sampler.admit("a", TWO, now) for now in (0.0, 1.0, 2.0, 9.9)] == [0, 0, None, None]
    assert sampler.admit("b", TWO, 9.9) == 0
    assert [sampler.admit("a", TWO, now) for now in (10.0, 10.1, 10.2)] == [2, 0, None]


def test_what_was_held_back_is_told_once_when_its_window_is_over() -> None:
    sampler: Sampler[str] = Sampler()
    for _ in range(5):
        sampler.admit("a", TWO, 0.0)
    assert list(sampler.held_back(9.0)) == []
    assert list(sampler.held_back(10.0)) == [("a", 3)]
    assert list(sampler.held_back(10.0)) == []
    assert sampler.admit("a", TWO, 11.0) == 0


def test_at_the_end_all_is_told_whatever_the_window() -> None:
    sampler: Sampler[str] = Sampler()
    for _ in range(3):
        sampler.admit("a", TWO, 0.0)
    assert list(sampler.held_back()) == [("a", 1)]
