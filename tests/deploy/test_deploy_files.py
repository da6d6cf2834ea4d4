"""What can be shown of the deployment without a container runtime: Helm and Kubernetes accept the chart, the
linters the other files; probes, limits, nobody is root."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import kubernetes_validate
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from helm_python import Chart, HelmRenderError, lint
from typer.testing import CliRunner

from nas.cli.main import app
from nas.service.server.certificates import make_certificates
from nas.service.server.tokens import Tokens
from workers.tls import ServerTls

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


# Images
def stages() -> dict[str, list[str]]:
    """Instructions of each stage of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("FROM "):
            found[line.split()[-1]] = [line]
        elif line.strip() and not line.startswith("#") and found:
            found[list(found)[-1]].append(line)
    return found


@pytest.mark.parametrize("image", ["service", "worker"])
def test_an_image_runs_as_nobody_in_particular(image: str) -> None:
    lines, inherited = stages()[image], stages()["runtime"]
    assert lines[0].startswith("FROM runtime ")
    assert "USER 10001:10001" in inherited
    assert not any(line.startswith("USER") for line in lines)
    assert not any(line.startswith("RUN") for line in lines), "the last stage only copies"


def test_the_accelerator_is_chosen_at_build() -> None:
    lines = stages()["build-service"]
    assert "ARG ACCELERATOR=cpu" in lines
    assert any("whl/${ACCELERATOR} torch==2.13.0" in line for line in lines)
    assert "torch" not in " ".join(stages()["build-worker"])
    pins = (DEPLOY / "constraints.txt").read_text()
    assert re.search(r"^torch==2\.13\.0", pins, re.MULTILINE), "the Dockerfile pins the same torch"


def test_what_an_image_copies_exists_and_is_in_its_context() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for line in [line for lines in stages().values() for line in lines]:
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (DEPLOY.parent / source).exists(), source
                assert f"!{source}" in ignored


def accepted_options(*command: str) -> str:
    return CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "300"}).output


def options_in(arguments: list[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}


def test_the_image_starts_with_options_that_exist() -> None:
    command = next(line for line in stages()["service"] if line.startswith("CMD"))
    known = accepted_options("serve")
    for option in options_in(yaml.safe_load(command.removeprefix("CMD "))):
        assert option in known


@pytest.mark.parametrize("tls", [False, True], ids=["plain text", "TLS"])
def test_the_images_health_check_works_with_and_without_tls(tmp_path: Path, tls: bool) -> None:
    """Compose starts the worker once it succeeds. What authority to ask with, no image can know."""
    check = next(line for line in stages()["service"] if line.startswith("HEALTHCHECK"))
    checks = health.HealthServicer()
    checks.set("nas.rpc.v1.SearchService", health_pb2.HealthCheckResponse.SERVING)
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if tls:
        made = make_certificates(tmp_path, ["nas.example.org"])
        credentials = ServerTls(made["server.pem"], made["server.key"]).credentials()
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    program, *arguments = yaml.safe_load(check.partition(" CMD ")[2].replace("7070", str(port)))
    command = [Path(sysconfig.get_path("scripts"), program), *arguments]
    server.start()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    server.stop(None).wait()
    assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode != 0


# Compose
def test_compose() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"postgres", "service", "worker"}
    for name, service in services.items():
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["restart"] == "unless-stopped"
    for name in ("service", "worker"):
        assert services[name]["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in services[name]["security_opt"]
        assert services[name]["build"]["target"] in stages()
    assert services["service"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert all(port.startswith("127.0.0.1:") for port in services["service"]["ports"])
    assert "password" not in (DEPLOY / "compose.yaml").read_text().lower().replace("_password", "")


def asked_for(text: str) -> set[str]:
    """Variables without which compose does nothing at all with the file."""
    return set(re.findall(r"\$\{(\w+):\?", text))


def test_compose_starts_as_its_first_lines_say(tmp_path: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    lines = [
        line.removeprefix("#").partition(" # ")[0].split() for line in text.splitlines() if line[:1] == "#"
    ]
    set_by_then: set[str] = set()
    for line in filter(None, lines):
        if line[0] == "export":
            set_by_then |= {word.partition("=")[0] for word in line[1:]}
        if line[:2] != ["docker", "compose"]:
            continue
        assert asked_for(text) <= set_by_then, line
        if line[2] == "run":
            command = line[line.index("service") + 1 :]
            answer = CliRunner().invoke(app, command, env={"NAS_TOKENS": str(tmp_path / "tokens.json")})
            assert answer.exit_code == 0, answer.output
    roles = {identity.name: identity.role for identity in Tokens(tmp_path / "tokens.json").identities()}
    assert roles == {"ada": "user", "compose-worker": "worker"}
    assert {"COMPOSE_FILE", "NAS_DATABASE_PASSWORD", "NAS_WORKER_TOKEN"} <= set_by_then


def test_compose_sees_a_change_of_the_tokens() -> None:
    """A change replaces the file, and whoever mounts it alone keeps the earlier one: its folder is mounted.
    That is a volume, which gets the owner of the image's folder: the service's user can make tokens there."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = compose["services"]["service"]
    folder = str(Path(service["environment"]["NAS_TOKENS"]).parent)
    mounted = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])
    assert mounted[folder] in compose["volumes"]
    made = next(line for line in stages()["runtime"] if "--owner nas --group nas" in line)
    assert folder in made.partition("--group nas")[2].split()


# Units
def test_a_service_of_systemd_sees_a_change_of_the_tokens() -> None:
    """Credentials are copied when the unit starts."""
    text = (DEPLOY / "systemd" / "nas-serve.service").read_text()
    (tokens,) = re.findall(r"--tokens (\S+)", text)
    assert tokens == "/etc/nas/tokens.json"
    assert "LoadCredential=tokens" not in text
    for command in (f"nas token add ada --file {tokens}", f"chgrp nas {tokens}", f"chmod 640 {tokens}"):
        assert command in text


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_confined(path: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(path.read_text().replace("\\\n", " "))
    unit = parser["Service"]
    assert unit["Restart"] == "always"
    assert unit.get("DynamicUser") == "yes" or unit.get("User") not in (None, "root")
    for name, value in {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes"}.items():
        assert unit[name] == value
    assert "NAS_TOKEN" not in unit["ExecStart"], "other users of the host see arguments"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_reads_the_units() -> None:
    answer = subprocess.run(
        ["systemd-analyze", "verify", *map(str, UNITS)], capture_output=True, text=True, check=False
    )
    missing = re.compile(r"Command /opt/nas/bin/\w+ is not executable")  # it is not installed here
    assert [
        line for line in answer.stderr.splitlines() if str(DEPLOY) in line and not missing.search(line)
    ] == []


# Chart: linted and rendered by Helm's own engine, which `helm-python-sdk` brings along.
REQUIRED = {
    "tokensSecret": "tokens",
    "postgres": {"passwordSecret": "database"},
    "ray": {"authSecret": "ray"},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "TLS": {"tls": {"secretName": "tls"}},
    "mutual TLS": {"tls": {"secretName": "tls", "clientAuthorityKey": "ca.crt"}},
    "without Ray": {"ray": {"enabled": False}},
    "another PostgreSQL": {"postgres": {"enabled": False, "existingSecret": "database"}},
    "several services": {"replicas": 3, "home": {"accessModes": ["ReadWriteMany"]}},
    "shared home, data": {
        "home": {"accessModes": ["ReadWriteMany"]},
        "data": {"existingClaim": "books"},
        "networkPolicy": {"users": [{"podSelector": {}}]},
    },
}
KUBERNETES = ("1.30", "1.34")
"""Versions whose schemas the objects must meet, strictly: an unknown field is an error."""


def rendered(variant: str = "as it comes") -> list[dict[str, Any]]:
    """Objects of the chart."""
    with Chart.load(CHART) as chart:
        values = chart.merge_values(merged(REQUIRED, VARIANTS[variant]))
        texts = chart.render(values, name="demo", namespace="search")
    return [
        document
        for name, text in texts.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The second's values before the first's, at every depth."""
    both = {
        key: merged(first[key], second[key])
        for key in first.keys() & second.keys()
        if isinstance(first[key], dict)
    }
    return {**first, **second, **both}


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pod templates by component, those inside of Ray's own kind too."""
    found = []
    for thing in objects:
        if thing["kind"] in ("Deployment", "StatefulSet"):
            found.append(thing["spec"]["template"])
        elif thing["kind"] == "RayCluster":
            found += [thing["spec"]["headGroupSpec"]["template"]]
            found += [group["template"] for group in thing["spec"]["workerGroupSpecs"]]
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in found}


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_lints_the_chart(variant: str) -> None:
    report = lint(CHART, merged(REQUIRED, VARIANTS[variant]), strict=True)
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_accepts_what_helm_renders(variant: str, kubernetes: str) -> None:
    """RayCluster's schema comes with KubeRay and is on no registry of ours: its pods are checked as pods."""
    objects = rendered(variant)
    for thing in objects:
        if thing["kind"] != "RayCluster":
            kubernetes_validate.validate(thing, kubernetes, strict=True)
    for component, template in pods(objects).items():
        if component.startswith("ray-"):
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "template": template}
            kubernetes_validate.validate(pod, kubernetes, strict=True)


def test_what_must_be_given_is_asked_for() -> None:
    for missing in ("tokensSecret", "postgres", "ray"):
        given = {name: value for name, value in REQUIRED.items() if name != missing}
        with Chart.load(CHART) as chart, pytest.raises(HelmRenderError, match="is required"):
            chart.render(chart.merge_values(given), name="demo")


def test_the_charts_values_and_metadata_parse() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    pinned = re.search(r"^ray==(.*)$", (DEPLOY / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert values["ray"]["version"] == pinned[1], "the cluster's Ray is the image's"


def test_every_value_that_a_template_reads_exists() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    paths = set()
    for template in (CHART / "templates").iterdir():
        paths |= set(re.findall(r"\.Values\.([A-Za-z.]+)", template.read_text()))
    assert len(paths) > 20
    for path in paths:
        at = values
        for name in path.split("."):
            assert name in at, path
            at = at[name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_service_starts_with_options_that_exist(variant: str) -> None:
    known = accepted_options("serve")
    options = options_in(pods(rendered(variant))["service"]["spec"]["containers"][0]["args"])
    assert {"--bind", "--workers", "--tokens"} <= options
    assert ("--certificate" in options) is ("TLS" in variant)
    assert ("--client-authority" in options) is (variant == "mutual TLS")
    assert [option for option in options if option not in known] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_container_is_confined_bounded_and_probed(variant: str) -> None:
    for component, template in pods(rendered(variant)).items():
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True, component
        mounted = {volume["name"] for volume in template["spec"].get("volumes", [])}
        for container in template["spec"]["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), component
            claimed = {mount["name"] for mount in container["volumeMounts"]}
            assert claimed <= mounted | {"data"}, component  # a StatefulSet's claim is its own
            assert {"readinessProbe", "livenessProbe"} <= set(container), component
            if component.startswith("ray-"):
                assert_asks_for_a_token(container["env"])


def assert_asks_for_a_token(environment: list[dict[str, Any]]) -> None:
    names = {variable["name"]: variable for variable in environment}
    assert names["RAY_AUTH_MODE"]["value"] == "token", "Ray runs what reaches it"
    assert "secretKeyRef" in names["RAY_AUTH_TOKEN"]["valueFrom"]


def ray_cluster() -> dict[str, Any]:
    (cluster,) = [thing["spec"] for thing in rendered() if thing["kind"] == "RayCluster"]
    return cluster


def test_rays_autoscaler_has_the_token_of_its_cluster() -> None:
    """KubeRay puts it beside the head, with nothing of what the head's container has."""
    options = ray_cluster()["autoscalerOptions"]
    assert_asks_for_a_token(options["env"])
    assert options["securityContext"]["allowPrivilegeEscalation"] is False
    assert options["securityContext"]["capabilities"] == {"drop": ["ALL"]}


ALONE = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Runs a command where no other Ray is seen, nor meets this one's ports; all that it started ends with it."""
ASK = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
for port in sys.argv[1:]:
    stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=100, wait_for_ready=True)
    print(port, health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
"""


def can_be_alone() -> bool:
    tools = shutil.which("unshare") and shutil.which("ip")
    return bool(tools) and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_be_alone(), reason="this user cannot have a network of their own")
def test_ray_answers_what_its_pods_are_probed_with() -> None:
    """A node with the parameters of both, which asks for a token; the kubelet shows none."""
    cluster = ray_cluster()
    probed: set[int] = set()
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        for kind in ("readinessProbe", "livenessProbe"):
            assert "exec" not in container[kind], "the image has neither wget nor curl"
            probed.add(container[kind]["grpc"]["port"])
        assert probed & {port["containerPort"] for port in container["ports"]}
    given = [f"--{name}={value}" for group in groups for name, value in group["rayStartParams"].items()]
    scripts = sysconfig.get_path("scripts")
    with TemporaryDirectory(dir="/tmp", prefix="nas-") as folder:  # a socket's path is short
        start = [f"{scripts}/ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", *given]
        start += [f"--temp-dir={folder}", "--object-store-memory=80000000", "--disable-usage-stats"]
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
        with_token = shlex.join(["env", *(f"{name}={value}" for name, value in token.items()), *start])
        ask = shlex.join([sys.executable, "-c", ASK, *map(str, sorted(probed))])
        command = f"ip link set lo up && {{ {with_token} > {folder}/log 2>&1 & }} && {ask}"
        answer = subprocess.run(
            [*ALONE, "bash", "-c", command], capture_output=True, text=True, timeout=150, check=False
        )
        log = Path(folder, "log").read_text()
    assert answer.stdout.splitlines() == [f"{port} SERVING" for port in sorted(probed)], answer.stderr + log


def test_rays_pods_see_what_its_work_needs_where_that_can_be_shared() -> None:
    """Several processes of a training, and finalists, keep checkpoints in the service's home."""
    for variant, expected in (("as it comes", set()), ("shared home, data", {"/var/lib/nas", "/data"})):
        found = pods(rendered(variant))
        for component in ("ray-head", "ray-worker"):
            (container,) = found[component]["spec"]["containers"]
            assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp/ray"} | expected


def test_the_parts_that_are_switched_off_are_not_there() -> None:
    for variant, kind in (("without Ray", "RayCluster"), ("another PostgreSQL", "StatefulSet")):
        assert kind in [thing["kind"] for thing in rendered()]
        assert kind not in [thing["kind"] for thing in rendered(variant)]


# Linters of the other files
def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    answer = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_the_compose_file_meets_its_schema() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    command = [linter, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
