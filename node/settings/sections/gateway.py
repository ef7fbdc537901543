"""How nodes speak to their gateway and its auth service."""

from __future__ import annotations

from typing import Final

from node.domain.policies import AuthPolicy, OutboxPolicy, RetryPolicy, SessionPolicy, StepTimeouts
from node.domain.secret import Secret
from node.settings.vocabulary import (
    DAY_S,
    BaseUrls,
    Hidden,
    Number,
    OptionalBaseUrl,
    OptionalPath,
    OptionalUrl,
    Section,
    Text,
    Whole,
    seconds,
    setting,
)

_TIMEOUTS: Final = StepTimeouts()
_RETRY: Final = RetryPolicy()
_SESSION: Final = SessionPolicy()
_AUTH: Final = AuthPolicy()
_OUTBOX: Final = OutboxPolicy()


class GatewaySettings(Section):
    """The gateway that the nodes work for, and how far it is trusted."""

    url: OptionalBaseUrl = setting(
        "",
        "Base address of the gateway. Empty: `simulate` starts the bundled sandbox gateway and uses that.",
        env="API_GATEWAY_URL",
        flag="--gateway",
    )
    auth_url: OptionalBaseUrl = setting(
        "",
        "Base address of the auth service, beside that of a gateway. Empty: the gateway's own.",
        env="API_AUTH_URL",
    )
    owned: BaseUrls = setting(
        (),
        "Base addresses of gateways that are your own. Simulated nodes and stored, synthetic or varied answers"
        " are for loopback and for these alone.",
    )
    node_version: Text = setting("0.0.4", "The version that nodes tell the gateway.")
    lease_s: Number = seconds(
        _OUTBOX.remember_s,
        "How long the gateway keeps a claimed job for its node before another node gets it. A result that was"
        " accepted is remembered for as long. The bundled sandbox has its own: sandbox.lease_s.",
        ge=1,
    )
    ca_file: OptionalPath = setting(
        None, "Certificates (PEM) to trust besides the usual ones. Empty: the usual ones alone."
    )
    trust_env_proxies: bool = setting(
        default=False,
        description="Let HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment decide where a node without a"
        " proxy of its own connects to.",
    )
    max_reply_mb: Whole = setting(
        16, "The largest reply that is read, counted after decompression.", unit="MiB", ge=1, le=1024
    )
    jwt_key: Hidden = setting(
        Secret(""),
        "Key that session tokens must be signed with: a PEM public key, or a shared secret. Empty: signatures"
        " are not checked.",
    )
    jwks_url: OptionalUrl = setting(
        "", "Address of a JWKS document with the keys of session tokens, instead of jwt_key. Empty: none."
    )

    @property
    def effective_auth_url(self) -> str:
        """Where the auth service is: the gateway's address unless it has its own; empty without a gateway."""
        return self.auth_url or self.url

    @property
    def max_reply_bytes(self) -> int:
        """``max_reply_mb`` in bytes."""
        return self.max_reply_mb * 1024 * 1024


class TimeoutSettings(Section):
    """How long one request of each step may take, connecting and reading included."""

    proxy_check_s: Number = seconds(
        _TIMEOUTS.proxy_check_s, "Looking up the own address, directly or through a proxy.", ge=0.1, le=600
    )
    secret_s: Number = seconds(_TIMEOUTS.secret_s, "Checking a node's secret.", ge=0.1, le=600)
    identity_s: Number = seconds(_TIMEOUTS.identity_s, "Checking an identity at the auth service.", ge=0.1, le=600)
    register_s: Number = seconds(_TIMEOUTS.register_s, "Registering a node.", ge=0.1, le=600)
    models_s: Number = seconds(_TIMEOUTS.models_s, "Telling which models a node offers.", ge=0.1, le=600)
    poll_s: Number = seconds(
        _TIMEOUTS.poll_s, "Asking for a job. A job in a reply that is given up on is lost to its lease.", ge=0.1, le=600
    )
    result_s: Number = seconds(_TIMEOUTS.result_s, "Handing over a result.", ge=0.1, le=600)
    points_s: Number = seconds(_TIMEOUTS.points_s, "Asking for a node's points.", ge=0.1, le=600)
    leave_s: Number = seconds(_TIMEOUTS.leave_s, "Deregistering a node.", ge=0.1, le=600)


class RetrySettings(Section):
    """How often a step is tried before it is a fault; results are tried until they are taken, refused or expired."""

    attempts: Whole = setting(_RETRY.attempts, "Attempts in all.", ge=1, le=100)
    elapsed_s: Number = seconds(_RETRY.elapsed_s, "Time in all, waits included.", ge=0)
    base_s: Number = seconds(
        _RETRY.back_off.base_s, "Longest wait after the first failure; it doubles with each.", ge=0.01, le=3600
    )
    cap_s: Number = seconds(
        _RETRY.back_off.cap_s,
        "Longest wait after any failure; a longer Retry-After is kept to, up to ten times this.",
        ge=0.01,
        le=3600,
    )


class SessionSettings(Section):
    """When a session's token is renewed: margin_s before it ends, or margin_share of its life if that is less."""

    margin_s: Number = seconds(_SESSION.margin_s, "Time before the end of a long-lived token.", ge=0, le=3600)
    margin_share: Number = setting(
        _SESSION.margin_share, "Share of the life of a short-lived token.", unit="share", ge=0, le=0.9
    )


class AuthSettings(Section):
    """The circuit that holds nodes back while the auth service is unhealthy."""

    failures: Whole = setting(_AUTH.failures, "Failures in a row that open the circuit.", ge=1, le=1000)
    open_s: Number = seconds(_AUTH.open_s, "How long it stays open before one node may probe.", ge=0.1, le=3600)
    open_cap_s: Number = seconds(_AUTH.open_cap_s, "Failed probes double that time, up to this.", ge=0.1, le=DAY_S)
    release_per_s: Number = setting(
        _AUTH.release_per_s, "Nodes let through once the service is back.", unit="nodes a second", ge=0.1, le=100_000
    )
