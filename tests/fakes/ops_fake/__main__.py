"""The commands of the fake library."""

from ops_common.cli import build_cli
from ops_fake.tasks import TASKS

build_cli("ops-fake", TASKS)()
