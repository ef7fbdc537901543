"""The TLS context that all connections of the program share."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from node.domain.errors import InputFault, InvalidInput


def client_context(
    ca_file: Path | None = None, *, replace_defaults: bool = False, trust_env: bool = False
) -> ssl.SSLContext:
    """A context that verifies certificates and host names. It costs some 800 KB: make one and share it.

    Args:
        ca_file: certificates in PEM that are trusted too, as those of a private authority.
        replace_defaults: trust ``ca_file`` alone; of no effect without it.
        trust_env: where ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` is set, trust what is there in place of the
            certificates that come with httpx.

    Raises:
        InvalidInput: ``ca_file`` cannot be read or holds no certificate.
    """
    if ca_file is None:
        return httpx.create_ssl_context(trust_env=trust_env)
    try:
        if replace_defaults:
            return ssl.create_default_context(cafile=ca_file)
        context = httpx.create_ssl_context(trust_env=trust_env)
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as error:
        raise _unusable(ca_file, "it holds no usable certificate in PEM form") from error
    except OSError as error:
        raise _unusable(ca_file, error.strerror or "it cannot be read") from error
    return context


def _unusable(ca_file: Path, problem: str) -> InvalidInput:
    remedy = "name a readable file of certificates in PEM form, or leave the setting empty"
    return InvalidInput([InputFault(place=str(ca_file), problem=problem, remedy=remedy)])
