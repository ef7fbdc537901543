"""The line of every key is found, tables in lists included."""

from __future__ import annotations

import tomllib

import pytest

from node.domain.toml_lines import KeyPath, key_lines, line_of, path_text

TEXT = '''\
a = 1
text = """
[[not.a.table]]
b = 2
"""

[t]   # a comment
"x.y" = [
  1,
]
u.v = { w = 1 }
[[t.list]]
k = 1
[[t.list]]

k = 2
[t.list.inner]
z = 3
[[t.list.deep]]
q = 1
[[t.list.deep]]
q = 2
[other]
k = 1
one = { a = 1, b = { c = 2 } }
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("text",), 2),
        (("t",), 7),
        (("t", "x.y"), 8),
        (("t", "u", "v", "w"), 11),
        (("t", "list"), 12),
        (("t", "list", 0), 12),
        (("t", "list", 0, "k"), 13),
        (("t", "list", 1), 14),
        (("t", "list", 1, "k"), 16),
        (("t", "list", 1, "inner", "z"), 18),
        (("t", "list", 1, "deep", 0, "q"), 20),
        (("t", "list", 1, "deep", 1, "q"), 22),
        (("other", "k"), 24),
        (("other", "one", "b", "c"), 25),
        (("t", "list", 1, "missing"), 14),
        (("nowhere",), None),
        ((), None),
    ],
)
def test_each_key_has_its_line(path: KeyPath, line: int | None) -> None:
    tomllib.loads(TEXT)
    assert line_of(path, key_lines(TEXT)) == line
    assert line_of(path, key_lines(TEXT.replace("\n", "\r\n"))) == line


def test_a_path_is_written_with_places_from_one() -> None:
    assert path_text(("faults", 1, "at")) == "faults[2].at"
    assert path_text(()) == ""
