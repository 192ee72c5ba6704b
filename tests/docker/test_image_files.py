"""The Dockerfiles and the compose file hold what docs/docker.md says of them; no Docker engine is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker import image_files as files
from tests.docker.image_files import DOCKERFILES, LOCKS, ROOT

COMPOSE = ROOT / "docker-compose.yml"
# decided by the images themselves, or of the embedded platform only
NOT_OF_CONTAINERS = {
    "OPS_PROJECT_ROOT", "OPS_HOME", "OPS_DATA_ROOT", "OPS_RUNS_ROOT", "OPS_PYTHON", "OPS_S3_CONNECTION",
    "OPS_AIRFLOW_PORT", "OPS_S3_PORT", "OPS_WORKER_LOG_PORT", "OPS_TRIGGER_LOG_PORT",
}  # fmt: skip
OFFICIAL = {"postgres", "redis"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


def test_every_service_that_stays_has_a_health_check(services: dict[str, Any]) -> None:
    ends = {
        name
        for service in services.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert ends == {"airflow-init", "ssh-keys"}
    checked = {name for name, service in services.items() if "test" in service.get("healthcheck", {})}
    assert checked == services.keys() - ends
    assert all(services[name]["healthcheck"] == {"disable": True} for name in ends)
    waited_for = {
        name
        for service in services.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for <= checked


def test_every_variable_is_in_the_example_with_the_same_default() -> None:
    example = files.example_variables((ROOT / ".env.example").read_text())
    used = files.compose_variables(COMPOSE.read_text())
    assert used.keys() <= example.keys()
    for name, defaults in used.items():
        if not name.startswith("OPS_"):  # the defaults of these are the platform's
            assert defaults == {example[name] or "?"}, name
    secrets = {name for name, defaults in used.items() if defaults == {"?"}}
    assert secrets == {name for name, value in example.items() if not value and not name.startswith("OPS_")}


def test_every_setting_reaches_the_services_of_airflow(services: dict[str, Any]) -> None:
    settings = {name for name in files.example_variables((ROOT / ".env.example").read_text()) if name[:4] == "OPS_"}
    airflow = [service for name, service in services.items() if name.startswith("airflow-")]
    assert len(airflow) == 6
    for service in airflow:
        assert settings - NOT_OF_CONTAINERS == {name for name in service["environment"] if name.startswith("OPS_")}


def test_only_official_images_are_not_built_here(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "build" not in service} == OFFICIAL
    for name, service in services.items():
        if name not in OFFICIAL:
            stages = files.read_stages(ROOT / service["build"]["dockerfile"])
            target = service["build"]["target"]
            assert f"}}{target}:" in service["image"], name
            assert files.effective(stages, target, "USER") == "ops", name
            assert files.effective(stages, target, "HEALTHCHECK") not in {"", "NONE"}, name
            assert service["cap_drop"] == ["ALL"], name


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_no_image_runs_as_root(path: Path) -> None:
    stages = files.read_stages(path)
    targets = [name for name in stages if files.effective(stages, name, "HEALTHCHECK") and not name.endswith("-base")]
    assert targets
    for name in targets:
        assert files.effective(stages, name, "USER") in {"ops", "postgres", "redis"}, name


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_packages_come_from_locked_lists_and_secrets_stay_outside(path: Path) -> None:
    text = path.read_text()
    for stage in files.read_stages(path).values():
        for word, instruction in stage.instructions:
            assert word != "ADD"
            assert not re.search(r"\bpip3? install|apt(-get)? install|curl |wget ", instruction), instruction
            if word == "RUN" and "install.sh venv" in instruction:
                (lock,) = re.findall(r"type=bind,source=(\S+\.txt),", instruction)
                assert ROOT / lock in {*LOCKS, ROOT / "requirements.txt"}
    assert not re.search(r"(?i)^(ENV|ARG) .*(password|secret|token)", text, re.MULTILINE)
    assert "id=pip_config,target" not in text  # a secret at a place of the image would leave an empty file there


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_locked_lists_agree_with_the_main_one(path: Path) -> None:
    main, pinned = files.pinned_versions(ROOT / "requirements.txt"), files.pinned_versions(path)
    assert files.unhashed(path) == []
    assert {name: pinned[name] for name in pinned.keys() & main.keys()} == {
        name: main[name] for name in pinned.keys() & main.keys()
    }
    assert files.asked_packages(path.with_suffix(".in")) <= pinned.keys()


def test_celery_is_one_that_the_provider_can_import() -> None:
    version = files.pinned_versions(ROOT / "requirements-cluster.txt")["celery"]
    assert tuple(map(int, version.split(".")[:2])) < (5, 7)


def test_an_unhashed_or_unpinned_package_is_noticed(tmp_path: Path) -> None:
    lock = tmp_path / "planted.txt"
    lock.write_text("good==1.0 \\\n    --hash=sha256:00\n    # via x\nbad==2.0\nworse>=3\n")
    assert files.unhashed(lock) == ["bad==2.0"]
    assert files.pinned_versions(lock) == {"good": "1.0", "bad": "2.0"}


def test_a_build_gets_what_it_copies_and_nothing_else() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    assert not [name for name in allowed if ".env" in name or ".git" in name or not list(ROOT.glob(name))]
    for path in DOCKERFILES:
        for stage in files.read_stages(path).values():
            copied = [text.split()[:-1] for word, text in stage.instructions if word == "COPY" and "--from" not in text]
            mounted = [re.findall(r"type=bind,source=([^,]+),", text) for _, text in stage.instructions]
            for source in (name for names in (*copied, *mounted) for name in names):
                assert any(_lets_in(rule, source) for rule in allowed), source


def _lets_in(rule: str, source: str) -> bool:
    return source == rule or source.startswith(f"{rule}/") or Path(source).match(rule)


@pytest.mark.parametrize("path", sorted((ROOT / "docker").glob("*.sh")), ids=lambda path: path.stem)
def test_scripts_are_programs_without_faults_of_syntax(path: Path) -> None:
    shell = path.read_text().splitlines()[0].split("/")[-1].split()[-1]
    assert subprocess.run([shell, "-n", path], check=False).returncode == 0
    assert path.stat().st_mode & 0o111


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docker").mkdir()
    for name in (".env.example", "docker-compose.yml", "docker/init-env.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _init_env(checkout: Path, *arguments: str) -> dict[str, str]:
    subprocess.run([checkout / "docker" / "init-env.sh", *arguments], check=True, capture_output=True)
    lines = (checkout / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


def test_secrets_are_made_up_once_and_kept(checkout: Path) -> None:
    made = _init_env(checkout)
    needed = {name for name, values in files.compose_variables(COMPOSE.read_text()).items() if values == {"?"}}
    assert made.keys() == needed
    assert len(set(made.values())) == len(made) and min(map(len, made.values())) >= 40
    assert (checkout / ".env").stat().st_mode & 0o077 == 0
    again = _init_env(checkout, "--local-images")
    assert again == {
        **made, "POSTGRES_IMAGE": "model-training-postgres:latest", "REDIS_IMAGE": "model-training-redis:latest",
    }  # fmt: skip


def test_the_key_of_stored_secrets_is_one(checkout: Path) -> None:
    from cryptography.fernet import Fernet

    key = Fernet(_init_env(checkout)["AIRFLOW_FERNET_KEY"])
    assert key.decrypt(key.encrypt(b"x")) == b"x"


def _compose_programs() -> list[list[str]]:
    programs = [["docker-compose"], ["docker", "compose"]]
    return [program for program in programs if shutil.which(program[0]) and _runs([*program, "version"])]


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("program", _compose_programs(), ids=" ".join)
def test_compose_finds_the_file_in_order_and_refuses_without_secrets(program: list[str], checkout: Path) -> None:
    def config() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*program, "config", "-q"], cwd=checkout, capture_output=True, text=True, check=False)

    refused = config()
    assert refused.returncode != 0 and "docker/init-env.sh" in refused.stderr
    _init_env(checkout)
    accepted = config()
    assert (accepted.returncode, accepted.stderr) == (0, "")
