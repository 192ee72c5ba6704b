"""What a DAG file or a command's help needs loads without the heavy libraries."""

import subprocess
import sys

import pytest

HEAVY = (
    "tensorflow",
    "keras",
    "boto3",
    "botocore",
    "iced_x86",
    "matplotlib",
    "scipy",
    "pandas",
    "typeshed_client",
    "uvicorn",
    "fastapi",
)

LIGHT_MODULES = (
    "ops_common.__main__",
    "ops_common.artifacts",
    "ops_common.cli",
    "ops_common.errors",
    "ops_common.exchange",
    "ops_common.metrics",
    "ops_common.own_server",
    "ops_common.object_store",
    "ops_common.pod_command",
    "ops_common.pod_exchange",
    "ops_common.pod_request",
    "ops_common.progress",
    "ops_common.publishing",
    "ops_common.run_facts",
    "ops_common.run_report",
    "ops_common.rundir",
    "ops_common.seeding",
    "ops_common.stores",
    "ops_common.tfrecord",
    "fastnode_ops.cli",
    "fastnode_ops.config",
    "fastnode_ops.datagen.generate",
    "fastnode_ops.datagen.plan_file",
    "fastnode_ops.distributed_request",
    "fastnode_ops.publish.datadeps",
    "fastnode_ops.publish.registry",
    "fastnode_ops.publish.upload",
    "fastnode_ops.requests",
    "fastnode_ops.sample_files.reading",
    "fastnode_ops.samples.batch",
    "fastnode_ops.samples.request",
    "fastnode_ops.samples.serving_metainfo",
    "fastnode_ops.sync.program",
    "fastnode_ops.tasks",
    "fastnode_ops.validation.release",
    "fastnode_ops.validation.run_record",
    "gematria_ops.api",
    "gematria_ops.blocks.basic_block",
    "gematria_ops.blocks.tokens",
    "gematria_ops.blocks.vocabulary",
    "gematria_ops.cli",
    "gematria_ops.config",
    "gematria_ops.data.annotated_importing",
    "gematria_ops.data.block_extraction",
    "gematria_ops.data.dataset",
    "gematria_ops.data.selecting",
    "gematria_ops.data.splitting",
    "gematria_ops.encode.batching",
    "gematria_ops.flags",
    "gematria_ops.formats.bhive_csv",
    "gematria_ops.formats.proto_codec",
    "gematria_ops.inference.predicting_inputs",
    "gematria_ops.inference.release",
    "gematria_ops.publish",
    "gematria_ops.requests",
    "gematria_ops.run_sequence_model",
    "gematria_ops.process_and_filter_bbs",
    "gematria_ops.convert_bhive_to_llvm_exegesis_input",
    "gematria_ops.tasks",
    "gematria_ops.tools",
)

# A finder that stands first and refuses the heavy packages: a light module that reaches one, by whatever road, fails.
PROGRAM = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ImportError("heavy package imported: " + name)

sys.meta_path.insert(0, Refuse())
importlib.import_module({module!r})
"""


def _import_alone(module: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(heavy=HEAVY, module=module)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_module_loads_without_heavy_packages(module: str) -> None:
    finished = _import_alone(module)
    assert finished.returncode == 0, finished.stderr


def test_the_check_catches_a_heavy_module() -> None:
    finished = _import_alone("gematria_ops.training.train")
    assert finished.returncode != 0
    assert "heavy package imported" in finished.stderr
