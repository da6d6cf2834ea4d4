"""What can be shown of the deployment without a container runtime: form, probes, limits, nobody is root."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from nas.cli.main import app

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


# Units
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


# Chart
def rendered(*settings: str) -> list[dict[str, Any]]:
    """Objects of the chart as helm renders it."""
    required = ("tokensSecret=tokens", "postgres.passwordSecret=database", "ray.authSecret=ray")
    command = ["helm", "template", "demo", str(CHART)]
    for setting in (*required, *settings):
        command += ["--set", setting]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return [document for document in yaml.safe_load_all(answer.stdout) if document]


def test_the_charts_values_and_metadata_parse() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for owner in (values, values["postgres"], values["ray"]["head"], values["ray"]["workers"]):
        assert {"cpu", "memory"} <= set(owner["resources"]["limits"])
        assert {"cpu", "memory"} <= set(owner["resources"]["requests"])
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


def test_the_deployment_starts_with_options_that_exist() -> None:
    text = (CHART / "templates" / "deployment.yaml").read_text()
    known = accepted_options("serve")
    options = set(re.findall(r"^\s+- (--[a-z-]+)", text, re.MULTILINE))
    assert {"--bind", "--workers", "--tokens", "--certificate"} <= options
    assert [option for option in options if option not in known] == []


def test_every_container_is_confined_bounded_and_probed_in_the_templates() -> None:
    for name, probes in (("deployment.yaml", 3), ("postgres.yaml", 2), ("ray.yaml", 0)):
        text = (CHART / "templates" / name).read_text()
        containers = len(re.findall(r"^\s+image: ", text, re.MULTILINE))
        assert containers >= 1
        assert text.count("nas.containerSecurity") == containers
        assert len(re.findall(r"^\s+resources: \{\{- toYaml", text, re.MULTILINE)) == containers
        assert len(re.findall(r"(startup|readiness|liveness)Probe:", text)) == probes
    assert (CHART / "templates" / "ray.yaml").read_text().count("nas.rayAuth") == 2, (
        "Ray runs what reaches it"
    )
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    assert "runAsNonRoot: true" in helpers
    assert "allowPrivilegeEscalation: false" in helpers


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("tls.secretName=tls",),
        ("ray.enabled=false",),
        ("postgres.enabled=false", "postgres.existingSecret=x"),
    ],
)
def test_helm_renders_the_chart(settings: tuple[str, ...]) -> None:
    objects = rendered(*settings)
    deployment = next(o for o in objects if o["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    container = pod["containers"][0]
    assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= set(container)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    kinds = [o["kind"] for o in objects]
    assert ("RayCluster" in kinds) is ("ray.enabled=false" not in settings)
    assert ("StatefulSet" in kinds) is ("postgres.enabled=false" not in settings)
    assert kinds.count("NetworkPolicy") == 3
