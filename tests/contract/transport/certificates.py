"""Certificates made for a test run: an authority, and servers that it vouches for, or not."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_authority(name: str = "test authority") -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _builder(subject, subject, key, -DAY, DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Identity(builder.sign(key, hashes.SHA256()), key)


def make_server(
    authority: Identity | None, san: x509.GeneralName = LOOPBACK, begin: dt.timedelta = -DAY, end: dt.timedelta = DAY
) -> Identity:
    """A server's certificate; without an authority it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("test server")
    issuer = subject if authority is None else authority.certificate.subject
    signer = key if authority is None else authority.key
    builder = _builder(subject, issuer, key, begin, end)
    builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return Identity(builder.sign(signer, hashes.SHA256()), key)


def write_certificate(identity: Identity, path: Path) -> Path:
    path.write_bytes(identity.certificate.public_bytes(serialization.Encoding.PEM))
    return path


def server_context(identity: Identity, folder: Path) -> ssl.SSLContext:
    """A context for a server that shows this certificate."""
    chain = write_certificate(identity, folder / "server.pem")
    key = folder / "server.key"
    key.write_bytes(
        identity.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begin: dt.timedelta, end: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
