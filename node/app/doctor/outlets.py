"""Looks at where the node would tell of itself: traces, Kafka, the webhook. None of them keeps a node from working."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from node.app.doctor.findings import Finding, failed, passed, warned
from node.settings.model import Settings

_CONNECT_S: Final = 5.0
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class OutletExamination:
    """Looks whether the extras are there, and whether somebody takes connections. Nothing is sent to anybody."""

    settings: Settings

    async def findings(self) -> list[Finding]:
        """What is found, of what the settings name; all are asked at once. Never raises."""
        tracing, events = self.settings.tracing, self.settings.events
        asked = []
        if tracing.url:
            asked.append(
                _look("traces", [_place(tracing.url)], "OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry", "tracing")
            )
        if events.kafka:
            places = [_place(f"kafka://{broker}", 9092) for broker in events.kafka]
            asked.append(_look("kafka", places, "KAFKA_BROKERS", "aiokafka", "kafka"))
        if events.webhook:
            # The path of such an address is often a secret; its host tells who is meant.
            asked.append(_look("webhook", [_place(events.webhook.reveal())], "ERROR_WEBHOOK_URL"))
        return list(await asyncio.gather(*asked))


async def _look(
    name: str, places: Sequence[tuple[str, int]], variable: str, module: str = "", extra: str = ""
) -> Finding:
    if module and find_spec(module) is None:
        return failed(name, f"the extra {extra} is not installed", f"install it, or leave {variable} empty")
    silent = {place: why for place in places if (why := await _unreachable(*place))}
    if len(silent) == len(places):
        told = "; ".join(f"{host}:{port}: {why}" for (host, port), why in silent.items())
        return warned(name, told, f"correct {variable}, or start what should be there; a node works all the same")
    return passed(
        name, f"{', '.join(f'{host}:{port}' for host, port in places if (host, port) not in silent)} is there"
    )


async def _unreachable(host: str, port: int) -> str:
    """Why nobody can be reached there; empty where somebody can."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {_CONNECT_S:g} s"
    except UnicodeError:
        return "the name cannot be looked up"
    except socket.gaierror as error:
        return error.strerror or "the name is unknown"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else type(error).__name__
    writer.close()
    return ""


def _place(url: str, port: int = 0) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or port or _PORTS.get(parts.scheme, 80)
