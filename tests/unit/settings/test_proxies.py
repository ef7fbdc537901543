"""The list of proxies."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.settings.proxies import load_proxies, parse_proxies


def test_all_forms_are_taken() -> None:
    text = "\ufeff# pool\r\n\r\n10.0.0.1:3128\r\n  alice:wonder%40land@10.0.0.2:3128  \r\n\t# more\r\nsocks5://[::1]:1080\rhttps://p:443"
    found = parse_proxies(text.removeprefix("\ufeff"), "proxies.txt")
    assert found.faults == ()
    assert [proxy.url for proxy in found.proxies] == [
        "http://10.0.0.1:3128",
        "http://alice:wonder%40land@10.0.0.2:3128",
        "socks5://[::1]:1080",
        "https://p:443",
    ]


def test_bad_lines_are_told_and_good_ones_go_on() -> None:
    found = parse_proxies(
        "10.0.0.1:1\nnowhere\n10.0.0.1:1\nftp://h:1\nh:0\n\0:1\n\udcff:1\n10.0.0.2:1\n", "proxies.txt"
    )
    assert [str(proxy) for proxy in found.proxies] == ["http://10.0.0.1:1", "http://10.0.0.2:1"]
    assert [(fault.place, fault.line) for fault in found.faults] == [
        ("proxies.txt", line) for line in (2, 3, 4, 5, 6, 7)
    ]
    assert "line 1" in found.faults[1].problem
    assert all("host:port" in fault.remedy or fault.line == 3 for fault in found.faults)


def test_a_file_with_a_mark_and_one_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "proxies.txt").write_bytes(b"\xef\xbb\xbf10.0.0.1:1\n")
    assert len(load_proxies(tmp_path / "proxies.txt").proxies) == 1
    with pytest.raises(InvalidInput, match="no such file"):
        load_proxies(tmp_path / "missing.txt")
