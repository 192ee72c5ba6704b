"""Memory, disks (a full one, too), programs, Python, packages, and what an earlier platform left behind."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ops_platform import settings
from ops_platform.doctor import machine, packages
from ops_platform.doctor.finding import Finding, by_threshold, guarded, worst
from ops_platform.embedded import lifecycle, services
from ops_platform.embedded.layout import Layout

from ops_common.errors import ServiceError

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


def test_the_worst_counts() -> None:
    ok, warn, fail = (Finding("x", status, "") for status in ("ok", "warn", "fail"))
    assert worst([]) == "ok"
    assert (worst([ok, warn]), worst([fail, warn, ok])) == ("warn", "fail")


@pytest.mark.parametrize(("value", "status"), [(0.9, "fail"), (1.0, "warn"), (1.9, "warn"), (2.0, "ok")])
def test_thresholds(value: float, status: str) -> None:
    found = by_threshold("disk", value, "room", (1.0, 2.0), "make room")
    assert (found.status, found.hint) == (status, "" if status == "ok" else "make room")


def test_an_error_that_a_person_can_act_on_is_a_finding() -> None:
    def look() -> list[Finding]:
        raise ServiceError("it is down", "start it")

    assert guarded("it", look) == [Finding("it", "fail", "it is down", "start it")]


def test_memory() -> None:
    assert machine.check_memory(8 * machine.GIB)[0].status == "ok"
    assert machine.check_memory(2 * machine.GIB)[0].status == "warn"
    found = machine.check_memory(0.5 * machine.GIB)[0]
    assert found.status == "fail"
    assert found.text.startswith("0.5 GiB free")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four MiB."""
    place = tmp_path / "small disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_with_little_room_and_a_full_one(small_disk: Path) -> None:
    folders = {"state": small_disk / "not" / "yet", "runs": small_disk}
    (found,) = machine.check_disk(folders)
    assert (found.check, found.status) == ("disk of state, runs", "fail")  # 4 MiB are less than 1 GiB
    assert machine.check_disk(folders, (1 * MIB, 2 * MIB))[0].status == "ok"
    (small_disk / "filler").write_bytes(bytes(4 * MIB))
    (found,) = machine.check_disk(folders, (0.0, 0.0))
    assert found.status == "fail"
    assert "takes no file of 1 MiB: No space left on device" in found.text
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_programs() -> None:
    needed = {"sh": "dash", "no-such-program-of-ours": "some-package"}
    assert machine.check_programs({"sh": "dash"}, is_needed=True)[0].status == "ok"
    assert machine.check_programs(needed, is_needed=False)[0].status == "warn"
    found = machine.check_programs(needed, is_needed=True)[0]
    assert (found.status, found.hint) == ("fail", "apt-get install some-package")


def test_python() -> None:
    assert packages.check_python((3, 10))[0].status == "fail"
    assert packages.check_python((3, 11))[0].status == "ok"
    assert packages.check_python((3, 11), writes_bytecode=False)[0].status == "warn"


def test_packages_are_held_against_the_lock(tmp_path: Path) -> None:
    assert packages.check_packages(ROOT / "requirements.txt")[0].status == "ok"
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# a comment==1.0\n"
        "PyTest==0.0.1 \\\n    --hash=sha256:00\n    # via something==2\n"
        "no-such-package==1.0 \\\n"
        "only-elsewhere==1.0 ; sys_platform == 'win32' \\\n"
    )
    assert [name for name, _ in packages.pins_of(lock)] == ["pytest", "no-such-package"]
    found = packages.check_packages(lock)[0]
    assert found.status == "fail"
    assert f"pytest {pytest.__version__} instead of 0.0.1, no-such-package is missing" in found.text


def test_processes_that_nothing_knows_any_more(tmp_path: Path) -> None:
    layout = Layout(settings.load({"OPS_HOME": str(tmp_path)}), tmp_path)
    assert machine.check_stray_processes(layout)[0].status == "ok"
    mark = {services.HOME_MARK: str(tmp_path), services.MARK: uuid.uuid4().hex}
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, **mark})
    try:
        (found,) = machine.check_stray_processes(layout)
        assert (found.status, found.hint) == ("warn", "make stop")
        assert str(sleeper.pid) in found.text
        # the same process is none when the platform that started it is known
        service = services.Service("sleeper", sleeper.pid, services.psutil.Process(sleeper.pid).create_time())
        lifecycle.Instance(mark[services.MARK], "", {}, [service]).save(layout.state_path)
        assert machine.check_stray_processes(layout)[0].status == "ok"
    finally:
        sleeper.communicate(b"\n")
    (found,) = machine.check_stray_processes(layout)
    assert (found.status, "sleeper" in found.text) == ("fail", True)
