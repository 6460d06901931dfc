"""`botrun deploy`: the files that it writes are valid, and name only what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from runner.cli.deploy import TARGETS
from runner.cli.program import app, run_program
from runner.settings import SETTINGS

# keda.sh/docs: ScaledObject specification and the Prometheus scaler.
SCALED_OBJECT = {
    "scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount",
    "minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers",
}  # fmt: skip
PROMETHEUS = {
    "serverAddress", "query", "threshold", "activationThreshold", "namespace", "customHeaders",
    "ignoreNullValues", "queryParameters", "unsafeSsl", "timeout", "authModes",
}  # fmt: skip


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Bot.py").write_text("async def bot(runner_args): ...\n")
    return tmp_path / "My Bot.py"


def written(bot: Path, target: str, *more: str) -> Path:
    out = bot.parent / target
    assert (
        run_program(["deploy", target, str(bot), "-o", str(out), "--host", "voice.example.com", *more]) == 0
    )
    return out


def objects(out: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all((out / "kubernetes.yaml").read_text()) if found]


def test_kubernetes_own_schemas_take_every_object(bot: Path) -> None:
    kinds = []
    for found in objects(written(bot, "kubernetes")):
        kinds.append(found["kind"])
        if not found["apiVersion"].startswith("keda.sh"):
            kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
    assert kinds == [
        *("Deployment", "Service", "Ingress", "PodDisruptionBudget", "Deployment", "Service", "ScaledObject")
    ]


def test_the_scaler_has_only_documented_fields_and_removes_one_pod_a_minute(bot: Path) -> None:
    spec = objects(written(bot, "kubernetes"))[-1]["spec"]
    assert spec.keys() <= SCALED_OBJECT
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"].keys() <= PROMETHEUS
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_a_pod_is_given_longer_than_its_calls(bot: Path) -> None:
    spec = objects(written(bot, "kubernetes"))[0]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    grace_s = int(container["args"][container["args"].index("--grace") + 1])
    hook_s = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert spec["terminationGracePeriodSeconds"] >= grace_s + hook_s + 15
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_compose_and_fly_files_can_be_read(bot: Path) -> None:
    services = yaml.safe_load((written(bot, "compose") / "compose.yaml").read_text())["services"]
    assert services.keys() == {"bot", "caddy", "valkey", "turn"}
    fly = tomllib.loads((written(bot, "fly") / "fly.toml").read_text())
    assert fly["http_service"]["internal_port"] == 7861


@pytest.mark.parametrize("target", TARGETS)
def test_flags_and_settings_in_the_files_exist(bot: Path, target: str) -> None:
    known = {setting.env for setting in SETTINGS.values()}
    serve: Any = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    flags = {name for option in serve.params for name in (*option.opts, *option.secondary_opts)}
    for path in written(bot, target, "-t", "twilio", "-t", "webrtc").iterdir():
        text = path.read_text()
        assert set(re.findall(r"\bBOTRUN_[A-Z_]+\b", text)) <= known, path.name
        assert "$" not in text.replace("$PATH", "").replace("$MAINPID", ""), path.name
        for line in re.findall(r"^(?:ExecStart|ENTRYPOINT).*serve(.*)", text, re.MULTILINE):
            assert set(re.findall(r"[\s\"](-{1,2}[a-z][a-z-]*)", line)) <= flags


def test_the_service_and_the_image_run_the_bot(bot: Path) -> None:
    service = (written(bot, "systemd") / "my-bot.service").read_text()
    assert "WorkingDirectory=/opt/my-bot\n" in service
    dockerfile = (written(bot, "docker", "-t", "telnyx") / "Dockerfile").read_text()
    assert (
        'ENTRYPOINT ["botrun", "serve", "My Bot.py", "-t", "telnyx", "--proxy", "voice.example.com"]'
        in dockerfile
    )
    assert "\nUSER bot\n" in dockerfile


def test_files_that_are_there_are_kept(bot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = written(bot, "docker")
    (out / "requirements.txt").write_text("mine\n")
    assert run_program(["deploy", "docker", str(bot), "-o", str(out)]) == 2
    assert "already exists. Use --force" in capsys.readouterr().err
    written(bot, "docker", "--force")
    assert (out / "requirements.txt").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["kubernets", "My Bot.py"], "unknown target 'kubernets'; did you mean kubernetes?"),
        (["docker", "nobody.py"], "no such file: nobody.py"),
        (["docker", "My Bot.py", "-t", "twillio"], "unknown transport 'twillio'"),
        (["docker", "My Bot.py", "--host", "http://bot.example.com"], "a public address must be https"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    bot: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run_program(["deploy", *words]) == 2
    assert sentence in capsys.readouterr().err
