from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from memory_service import SPEC, MemoryService

from nas.errors import InvalidSpec, ServiceUnavailable
from nas.service.client.remote import RemoteService
from nas.service.server.certificates import make_certificates
from nas.service.server.grpc_server import GrpcServer
from workers.tls import ClientTls, ServerTls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    files = make_certificates(folder, ["localhost", "127.0.0.1"])
    assert sorted(files) == sorted(path.name for path in folder.iterdir())
    return folder


def server(folder: Path, scratch: Path, mutual: bool = False) -> GrpcServer:
    authority = folder / "authority.pem" if mutual else None
    tls = ServerTls(folder / "server.pem", folder / "server.key", authority)
    return GrpcServer(MemoryService(), "127.0.0.1:0", scratch, tls=tls)


def test_keys_are_their_owners_alone(folder: Path) -> None:
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    authority = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)


def test_tls(folder: Path, tmp_path: Path) -> None:
    with server(folder, tmp_path) as served:
        with RemoteService(served.address, tls=ClientTls(folder / "authority.pem")) as client:
            assert client.job(client.submit(SPEC).id).spec.name == "search"
        with RemoteService(served.address) as client, pytest.raises(ServiceUnavailable):
            client.jobs()
        other = make_certificates(tmp_path / "other", ["127.0.0.1"])["authority.pem"]
        with RemoteService(served.address, tls=ClientTls(other)) as client, pytest.raises(ServiceUnavailable):
            client.jobs()


def test_mutual_tls_wants_a_certificate_of_the_authority(folder: Path, tmp_path: Path) -> None:
    authority = folder / "authority.pem"
    with server(folder, tmp_path, mutual=True) as served:
        shown = ClientTls(authority, folder / "client.pem", folder / "client.key")
        with RemoteService(served.address, tls=shown) as client:
            assert client.jobs() == []
        with (
            RemoteService(served.address, tls=ClientTls(authority)) as client,
            pytest.raises(ServiceUnavailable),
        ):
            client.jobs()
        strange = make_certificates(tmp_path / "strange", [])
        shown = ClientTls(authority, strange["client.pem"], strange["client.key"])
        with RemoteService(served.address, tls=shown) as client, pytest.raises(ServiceUnavailable):
            client.jobs()


def test_bad_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="cannot read"):
        RemoteService("127.0.0.1:1", tls=ClientTls(tmp_path / "absent.pem"))
    with pytest.raises(InvalidSpec, match="given together"):
        RemoteService("127.0.0.1:1", tls=ClientTls(certificate=folder / "client.pem"))
    with pytest.raises(InvalidSpec, match="cannot read"):
        GrpcServer(
            MemoryService(), "127.0.0.1:0", tmp_path, tls=ServerTls(tmp_path / "a", tmp_path / "b")
        ).start()
