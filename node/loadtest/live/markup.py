"""The live page in one piece: markup, styles and scripts inlined, and the policy that allows these alone."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final

from node.domain.secret import Secret

_STYLES: Final = ("vendor/uPlot.min.css", "layout.css", "controls.css", "panels.css")
_SCRIPTS: Final = (
    "vendor/uPlot.iife.min.js",
    "wording.js",
    "history.js",
    "marks.js",
    "chart.js",
    "charts.js",
    "tables.js",
    "page.js",
)


@dataclass(frozen=True, slots=True)
class LivePage:
    """``policy`` is for the header ``content-security-policy``."""

    html: bytes
    policy: str


def live_page_markup(token: Secret, title: str) -> LivePage:
    """Read the parts from the package, and put them together."""
    assets = files("node.loadtest.live") / "assets"

    def read(name: str) -> str:
        return (assets / name).read_text(encoding="utf-8")

    styles, scripts = [read(name) for name in _STYLES], [read(name) for name in _SCRIPTS]
    page = Template(read("page.html")).substitute(
        title=html.escape(title),
        token=html.escape(token.reveal()),
        styles="\n".join(f"<style>{text}</style>" for text in styles),
        scripts="\n".join(f"<script>{text}</script>" for text in scripts),
    )
    return LivePage(page.encode(), _policy(styles, scripts))


def _policy(styles: list[str], scripts: list[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(scripts)}",
            f"style-src {_hashes(styles)}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hashes(texts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
