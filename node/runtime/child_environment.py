"""What other programs are told when this one starts them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_OWN: Final = re.compile(r"LLM_NODE_|NODE_|API_|ACCOUNT_|OTEL_|OLLAMA_|OPENAI_|KAFKA_", re.IGNORECASE)
_SECRET: Final = re.compile(
    r"SECRET|TOKEN|PASS(?:WORD|WD|PHRASE)|CREDENTIAL|AUTH|PROXY|WEBHOOK|(?:^|_)KEY(?:_|$)|APIKEY", re.IGNORECASE
)


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables less those of this program's settings and those that are known, by their names, for secrets.

    A child's environment is all that it may tell: to its own children, in its reports of crashes, in its logs.
    """
    return {
        name: value
        for name, value in environ.items()
        if not _OWN.match(name) and not _SECRET.search(name) and not ("://" in value and "@" in value)
    }
