"""TLS for both ends: certificates and keys are PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["ClientTls", "ServerTls"]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a service shows, and what it wants to see.

    Attributes:
        certificate, key: of the service.
        client_authority: clients must show a certificate that it signed (mutual TLS); None: none asked for.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """For a server's port."""
        chain = [(_read(self.key, "tls key"), _read(self.certificate, "tls certificate"))]
        authority = _read(self.client_authority, "client authority") if self.client_authority else None
        return grpc.ssl_server_credentials(chain, authority, require_client_auth=authority is not None)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client believes, and what it shows.

    Attributes:
        authority: who signed the service's certificate; the system's authorities where None.
        certificate, key: the client's own, for mutual TLS.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For a client's channel.

        Raises:
            InvalidSpec: a file cannot be read, or a certificate came without its key.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidSpec([Problem("tls", "a certificate and its key are given together")])
        return grpc.ssl_channel_credentials(
            _read(self.authority, "authority") if self.authority else None,
            _read(self.key, "tls key") if self.key else None,
            _read(self.certificate, "tls certificate") if self.certificate else None,
        )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSpec([Problem(what, f"cannot read {path}: {error.strerror}")]) from error
