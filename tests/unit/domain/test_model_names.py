from __future__ import annotations

import pytest

from node.domain.model_names import exact, full_name, matches


@pytest.mark.parametrize(
    ("model", "full"),
    [
        ("llama3", "llama3:latest"),
        ("llama3:8b", "llama3:8b"),
        ("host:5000/org/llama3", "host:5000/org/llama3:latest"),
        ("hf.co/org/model:Q4_K_M", "hf.co/org/model:Q4_K_M"),
    ],
)
def test_a_name_without_a_tag_means_latest(model: str, full: str) -> None:
    assert full_name(model) == full
    assert full_name(full) == full


@pytest.mark.parametrize(
    ("model", "patterns", "expected"),
    [
        ("llama3:8b", (), True),
        ("llama3:latest", ("llama3",), True),
        ("llama3", ("llama3:latest",), True),
        ("llama3:8b", ("llama3",), False),
        ("llama3.1:8b", ("qwen*", "llama3*"), True),
        ("org/Meta-Llama-3", ("org/*",), True),
        ("org/Meta-Llama-3", ("org/Meta-Llama-?",), True),
        ("org/Meta-Llama-3", ("org/meta*",), False),
        ("qwen:7b", ("*:7b",), True),
        ("qwen:7b", ("qwen:[0-9]b",), False),
        ("odd[1]", ("odd[1]",), True),
    ],
)
def test_patterns(model: str, patterns: tuple[str, ...], expected: bool) -> None:
    assert matches(model, patterns) is expected


def test_names_among_patterns() -> None:
    assert exact(("a", "b*", "c:7b", "d?", "a")) == ("a", "c:7b")
