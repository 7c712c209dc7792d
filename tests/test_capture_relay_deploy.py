"""What lies in deploy/ parses, names options and settings that exist, and asks for no more rights than it needs."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from capture.config import Settings, check_known
from capture.settings import SECTIONS, CaptureConfig, GuardConfig, LogConfig, RelayConfig
from capture.sources.relay.command import relay

yaml = pytest.importorskip("yaml")

DEPLOY = Path(__file__).parents[1] / "deploy"
OPTIONS = {option for parameter in relay.params for option in parameter.opts}


def assert_options_exist(words: list[str]) -> None:
    named = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert named <= OPTIONS, named - OPTIONS


def test_the_systemd_unit_starts_the_relay_without_privileges_and_lets_it_drain() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "understudy-relay.service")
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[1:3] == ["capture", "relay"]
    assert_options_exist(words)
    assert "--log" in words
    assert (service["DynamicUser"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("yes", "yes", "")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["TimeoutStopSec"]) > RelayConfig().drain_seconds
    assert service["Restart"] == "on-failure"


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd on this machine to judge the unit")
    unit = tmp_path / "understudy-relay.service"
    text = (DEPLOY / unit.name).read_text().replace("=/usr/local/bin/understudy ", f"={sys.executable} ")
    found = []
    for variant in (text, text.replace("\nRestart=", "\nRestarted=")):
        unit.write_text(variant)
        done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
        found.append([line for line in done.stderr.splitlines() if unit.name in line])
    assert found[0] == []
    assert "Restarted" in found[1][0], "a mistake in the unit would not be found"


def test_the_image_runs_as_a_user_without_rights_and_stops_by_sigterm() -> None:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    steps = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {
        "FROM",
        "ARG",
        "WORKDIR",
        "COPY",
        "RUN",
        "LABEL",
        "ENV",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "ENTRYPOINT",
    }
    assert {step for step, _ in steps} <= known
    last: dict[str, str] = dict(step for step in steps)  # type: ignore[misc]
    assert last["USER"] == "65532:65532"
    assert last["STOPSIGNAL"] == "SIGTERM"
    entry = yaml.safe_load(last["ENTRYPOINT"])
    assert entry[:3] == ["understudy", "capture", "relay"]
    assert_options_exist(entry)
    copied = [words.split()[0] for step, words in steps if step == "COPY" and not words.startswith("--from")]
    for name in copied:
        assert (DEPLOY.parent / name).exists(), name


def test_the_images_extras_are_those_of_the_project() -> None:
    found = re.search(r"^ARG EXTRAS=\[([\w,]+)\]$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    assert set(found[1].split(",")) <= set(project["optional-dependencies"])


def documents() -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def test_the_manifest_is_a_native_sidecar_that_outlives_its_drain() -> None:
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert "startupProbe" in sidecar
    assert pod["terminationGracePeriodSeconds"] > RelayConfig().drain_seconds
    assert_options_exist(sidecar["args"])
    security = sidecar["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert "cpu" not in sidecar["resources"]["limits"]
    # Secrets belong to root and the pod's group: without that group a key with mode 0440 could not be read.
    assert pod["securityContext"]["fsGroup"] == security["runAsGroup"]
    ports = {port["name"] for port in sidecar["ports"]}
    assert documents()["Service"]["spec"]["ports"][0]["targetPort"] in ports
    mounted = {mount["name"] for mount in sidecar["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert sidecar[probe]["httpGet"]["path"] in ("/livez", "/readyz")


def test_the_manifests_configuration_is_one_that_the_relay_takes() -> None:
    tables = tomllib.loads(documents()["ConfigMap"]["data"]["understudy.toml"])
    check_known(Settings(tables=tables), SECTIONS)
    kinds = {"relay": RelayConfig, "capture": CaptureConfig, "guard": GuardConfig, "log": LogConfig}
    for section, values in tables.items():
        kinds[section](**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    limit = int(pod["initContainers"][0]["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
    assert tables["guard"]["memory_bytes_max"] < limit


def test_the_operators_page_names_every_option_setting_metric_and_path() -> None:
    page = (DEPLOY.parent / "docs" / "sidecar.md").read_text()
    own = [
        option
        for parameter in relay.params
        for option in parameter.opts
        if option.removeprefix("--").replace("-", "_") in RelayConfig.__dataclass_fields__
    ]
    missing = [name for name in [*own, *GuardConfig.__dataclass_fields__] if f"`{name}" not in page]
    metrics = set(re.findall(r'"(understudy_[a-z_]+)"', (DEPLOY.parent / "capture" / "admin.py").read_text()))
    missing += [name for name in metrics if name not in page and name.replace("understudy_connections", "") not in page]
    assert missing == []
    for path in ("/livez", "/healthz", "/readyz", "/startupz", "/metrics", "/sampling"):
        assert f"`{path}`" in page
