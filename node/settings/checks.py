"""Whether settings fit each other, beyond each being valid by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.domain.errors import InputFault
from node.settings.catalogue import catalogue
from node.settings.explain import number_text, shown
from node.settings.layers import DEFAULT_ORIGIN, Origin, OriginKind
from node.settings.model import Settings

ORDERED: Final = (
    ("retry.base_s", "retry.cap_s"),
    ("auth.open_s", "auth.open_cap_s"),
    ("node.back_off_base_s", "node.back_off_cap_s"),
    ("fleet.min_start_delay_s", "fleet.max_start_delay_s"),
    ("fleet.recovery_min_s", "fleet.recovery_max_s"),
    ("fleet.models_update_min_s", "fleet.models_update_max_s"),
    ("proxy.cool_down_s", "proxy.cool_down_cap_s"),
    ("stored.delay_min_s", "stored.delay_max_s"),
    ("synthetic.tokens_min", "synthetic.tokens_max"),
    ("outbox.back_off_base_s", "outbox.back_off_cap_s"),
)
"""Pairs of which the first may not be above the second."""

_SHORTEST_JOB_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Rule:
    """What several settings must hold together; ``broken`` gives the problem and the remedy, or None.

    ``blamed`` is the setting at whose place a fault is told, whichever of them was written at the strongest.
    """

    names: tuple[str, ...]
    broken: Callable[[Settings, Path], tuple[str, str] | None]
    blamed: str = ""


def check(settings: Settings, origins: Mapping[str, Origin], cwd: Path, doubtful: frozenset[str]) -> list[InputFault]:
    """The faults of settings that do not fit each other, each at the strongest place that had a say in it.

    Rules that need a setting in ``doubtful`` are passed over. ``cwd`` is what paths are relative to.
    """
    faults = []
    for rule in _rules(settings):
        if doubtful.intersection(rule.names):
            continue
        if (found := rule.broken(settings, cwd)) is not None:
            name = rule.blamed or _blamed(rule.names, origins)
            faults.append(origins.get(name, DEFAULT_ORIGIN).fault(*found, name=name))
    return faults


def value_of(settings: Settings, name: str) -> object:
    """A setting's value by its dotted name, which must be one of the `catalogue`."""
    section, _, key = name.rpartition(".")
    return getattr(getattr(settings, section) if section else settings, key)


def _rules(settings: Settings) -> Iterator[_Rule]:
    yield from (_Rule(pair, _out_of_order(pair)) for pair in ORDERED)
    lease = "gateway.lease_s" if settings.gateway.url else "sandbox.lease_s"
    if settings.worker.timeout_s:  # it counts alone, and is held to what the lease leaves
        yield _Rule(("timeouts.result_s", lease), _nothing_left_of_the_lease)
    else:
        yield _Rule(("node.job_deadline_s", "timeouts.result_s", lease), _over_budget)
    yield _Rule(("worker.timeout_s",), _no_time_for_a_job)
    yield _Rule(("identity.secret", "identity.secret_file"), _two_secrets)
    yield _Rule(("gateway.auth_url", "gateway.url"), _auth_without_gateway, blamed="gateway.auth_url")
    yield _Rule(("gateway.jwt_key", "gateway.jwks_url"), _two_keys)
    yield _Rule(("gateway.jwt_key",), _no_public_key)
    yield _Rule(("gateway.ca_file",), _no_certificates)
    yield _Rule(("executors.order",), _twice)


def _blamed(names: tuple[str, ...], origins: Mapping[str, Origin]) -> str:
    strength = list(OriginKind)
    return min(names, key=lambda name: strength.index(origins.get(name, DEFAULT_ORIGIN).kind))


def _out_of_order(pair: tuple[str, str]) -> Callable[[Settings, Path], tuple[str, str] | None]:
    low, high = pair

    def broken(settings: Settings, cwd: Path) -> tuple[str, str] | None:
        del cwd
        least, most = (float(str(value_of(settings, name))) for name in pair)
        if least <= most:
            return None
        problem = f"{low} = {number_text(least)} is above {high} = {number_text(most)}"
        return problem, f"lower {low} or raise {high} ({catalogue()[high].env_names[-1]} in the environment)"

    return broken


def _over_budget(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    deadline, result, lease = settings.node.job_deadline_s, settings.timeouts.result_s, settings.lease_s
    if deadline + 2 * result < lease:
        return None
    name = "gateway.lease_s" if settings.gateway.url else "sandbox.lease_s"
    problem = (
        f"a job may take {number_text(deadline)} s and its result twice {number_text(result)} s to send, but the"
        f" gateway gives the job away after {name} = {number_text(lease)} s"
    )
    return problem, f"keep node.job_deadline_s + 2 × timeouts.result_s below {name}"


def _nothing_left_of_the_lease(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    if settings.longest_job_s >= _SHORTEST_JOB_S:
        return None
    name = "gateway.lease_s" if settings.gateway.url else "sandbox.lease_s"
    lease, result = number_text(settings.lease_s), number_text(settings.timeouts.result_s)
    problem = f"of {name} = {lease} s nothing is left for a job when its result may take twice {result} s to send"
    return problem, f"lower timeouts.result_s, or raise {name} to what the gateway really gives"


def _no_time_for_a_job(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    wanted_s = settings.worker.timeout_s
    if not 0 < wanted_s < _SHORTEST_JOB_S:
        return None
    problem = f"no job is done in {number_text(wanted_s)} s"
    return problem, "give worker.timeout_s in seconds, or WORKER_TIMEOUT in milliseconds, such as 200000"


def _two_secrets(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    if not settings.identity.secret or settings.identity.secret_file is None:
        return None
    return "identity.secret and identity.secret_file are both given", "keep one of them (NODE_SECRET, NODE_SECRET_FILE)"


def _auth_without_gateway(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    gateway = settings.gateway
    if gateway.url or not gateway.auth_url:
        return None
    given = shown(gateway.auth_url, secret=False)
    problem = f"{given} is of no effect without gateway.url: the bundled sandbox checks identities itself"
    return problem, "give gateway.url too (API_GATEWAY_URL in the environment), or leave gateway.auth_url out"


def _two_keys(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    if not settings.gateway.jwt_key or not settings.gateway.jwks_url:
        return None
    return "gateway.jwt_key and gateway.jwks_url are both given", "keep one of them"


def _no_public_key(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    key = settings.gateway.jwt_key.reveal()
    if not key.startswith("-----BEGIN"):
        return None
    from cryptography.exceptions import UnsupportedAlgorithm  # most runs have no key to load
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        load_pem_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm):
        return (
            "the PEM text holds no usable public key",
            "give a public key (BEGIN PUBLIC KEY), whole, with its line ends",
        )
    return None


def _no_certificates(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    path = settings.gateway.ca_file
    if path is None or (cwd / path).is_file():
        return None
    return f"there is no file {str(path)!r}", "give a PEM file with the certificates to trust, or leave it empty"


def _twice(settings: Settings, cwd: Path) -> tuple[str, str] | None:
    del cwd
    order = settings.executors.order
    twice = sorted({name for name in order if order.count(name) > 1})
    return (f"{', '.join(twice)} is listed twice", "list each executor once") if twice else None
