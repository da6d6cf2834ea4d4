"""TLS for both ends of any connection of this project: certificates and keys are PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

__all__ = ["ClientTls", "ServerTls", "TlsFileError"]


class TlsFileError(ValueError):
    """A certificate or a key cannot be read, or came without the other."""


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
        """For a server's port.

        Raises:
            TlsFileError: a file cannot be read.
        """
        import grpc

        authority = None if self.client_authority is None else _read(self.client_authority)
        return grpc.ssl_server_credentials(
            [(_read(self.key), _read(self.certificate))], authority, require_client_auth=authority is not None
        )


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
            TlsFileError: a file cannot be read, or a certificate came without its key.
        """
        import grpc

        if (self.certificate is None) != (self.key is None):
            raise TlsFileError("a certificate and its key are given together")
        authority, key, certificate = (
            None if path is None else _read(path) for path in (self.authority, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(authority, key, certificate)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFileError(f"cannot read {path}: {error.strerror}") from error
