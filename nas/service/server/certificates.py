"""A certificate authority for development: `nas certs` makes one, and certificates that it signed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nas.errors import InvalidSpec
from nas.files import write_whole
from searchspaces.errors import Problem

__all__ = ["make_certificates"]

AUTHORITY, SERVER, CLIENT = "authority", "server", "client"


def make_certificates(folder: Path, hosts: Sequence[str], days: int = 365) -> dict[str, Path]:
    """Write an authority, a server's certificate for `hosts` and a client's, with their keys.

    Args:
        folder: gets ``authority.pem``, ``server.pem``, ``client.pem`` and a ``.key`` beside each, which
            only their owner can read. Existing ones are replaced.
        hosts: names and addresses by which clients reach the server.
        days: for which all of them hold.

    Returns:
        The files by name.

    Raises:
        InvalidSpec: a host is neither a name nor an address; nothing is written.
        StoreUnavailable: the folder cannot be written to.
    """
    alternatives = [_alternative(host) for host in hosts]
    until = datetime.now(UTC) + timedelta(days=days)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("nas development authority")
    authority = (
        _builder(authority_name, authority_name, authority_key, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    files = _write(folder, AUTHORITY, authority, authority_key)
    for role, usage, names in (
        (SERVER, ExtendedKeyUsageOID.SERVER_AUTH, alternatives),
        (CLIENT, ExtendedKeyUsageOID.CLIENT_AUTH, []),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(f"nas {role}"), authority_name, key, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        files |= _write(folder, role, builder.sign(authority_key, hashes.SHA256()), key)
    return files


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A day back: the clocks of a service and its clients differ.
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass  # a name then
    try:
        return x509.DNSName(host)
    except ValueError as error:
        accepted = "accepted: an address, or a name in ASCII (xn--… of others)"
        raise InvalidSpec([Problem("host", f"{host!r} is not a host name; {accepted}")]) from error


def _write(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> dict[str, Path]:
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    with write_whole(public) as temporary:
        temporary.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    with write_whole(private, mode=0o600) as temporary:
        temporary.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return {public.name: public, private.name: private}
