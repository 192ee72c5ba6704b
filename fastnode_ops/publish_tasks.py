"""The steps from a validated model to a product that has it; part of `tasks.py`; its release: `release_tasks.py`.

upload_model      out/                   -> S3 or a folder           (publish/upload.py)
pin_model         uploaded model         -> the product's checkout   (publish/registry.py)
rebuild_datadeps  the checkout's lists   -> the product's bundle     (publish/datadeps.py)
verify_datadeps   the product's bundle   -> fine, or an error        (publish/datadeps.py)
"""

from __future__ import annotations

import logging
from pathlib import Path

LOG = logging.getLogger(__name__)

Result = dict[str, str | int | float | bool]


def upload_model(*, work_dir: str, destination: str, model_name: str = "") -> Result:
    """Upload all of `out/` under a prefix of its own, the manifest last, and read everything back.

    Args:
        work_dir: The pipeline's folder.
        destination: s3://bucket/prefix or a folder; %t in it becomes the time, without it the model's folder and the
            time are added.
        model_name: What the manifest says about the model.
    """
    from fastnode_ops.publish.upload import upload_out

    metadata = {"library": "fastnode_ops", "model_name": model_name}
    done = upload_out(Path(work_dir), destination, metadata, create_bucket=True)
    LOG.info("%d files, %d of them written now", done.num_files, done.num_uploaded)
    return {
        "model_uri": done.model_uri,
        "serve_uri": done.serve_uri,
        "manifest_uri": done.manifest_uri,
        "num_files": done.num_files,
        "size_bytes": done.size_bytes,
    }


def pin_model(*, work_dir: str, checkout_dir: str, packages_file: str = "", model_path: str = "") -> Result:
    """Let a product load the uploaded model: change its list of models, and print the change.

    Args:
        work_dir: The pipeline's folder.
        checkout_dir: The product's checkout.
        packages_file: The packages that the model is for, one a line; empty: those it has learnt.
        model_path: What to pin, a folder `serve` of an upload; empty: the last upload of work_dir.
    """
    from fastnode_ops.publish import registry
    from fastnode_ops.publish.packages import packages_of
    from fastnode_ops.publish.upload import last_upload

    packages = packages_of(Path(work_dir), packages_file)
    report = registry.pin_model(Path(checkout_dir), model_path or f"{last_upload(Path(work_dir))}/serve", packages)
    for line in report.diff.splitlines():
        LOG.info("%s", line)
    if not report.changed:
        LOG.info("unchanged: this model is pinned already")
    return {
        "model_path": report.model_path,
        "replaced": report.replaced,
        "num_changed_files": len(report.changed),
        "registry_file": str(registry.find_registry(Path(checkout_dir)) / registry.REGISTRY_FILE),
    }


def rebuild_datadeps(
    *, checkout_dir: str, output_dir: str = "", use_script: bool = True, max_minutes: float = 60.0
) -> Result:
    """Pack every file that the product needs, so that it starts without a network.

    Args:
        checkout_dir: The product's checkout.
        output_dir: The folder to pack into; empty: `datadeps` of the checkout.
        use_script: Run the checkout's own scripts/build_datadeps.sh when it has one.
        max_minutes: How long that script may take.
    """
    from fastnode_ops.publish.build_script import find_build_script, run_build_script
    from fastnode_ops.publish.datadeps import rebuild_bundle

    script = find_build_script(Path(checkout_dir)) if use_script else None
    if script is not None:
        is_changed = run_build_script(script, max_seconds=60 * max_minutes)
        LOG.info("%s", "changed" if is_changed else "unchanged")
        return {"is_changed": is_changed, "built_by": str(script)}
    report = rebuild_bundle(Path(checkout_dir), Path(output_dir) if output_dir else None)
    for line in report.changes:
        LOG.info("%s", line)
    LOG.info("%s", "changed" if report.is_changed else "unchanged")
    return {
        "is_changed": report.is_changed,
        "built_by": "rebuild-datadeps",
        "folder": str(report.folder),
        "num_files": report.num_files,
        "size_bytes": report.size_bytes,
        "content_digest": report.content_digest,
    }


def verify_datadeps(*, checkout_dir: str, output_dir: str = "") -> Result:
    """Read the packed files again; status 2 when they differ from what they should be, 3 when they are missing.

    Args:
        checkout_dir: The product's checkout.
        output_dir: The folder of the packed files; empty: `datadeps` of the checkout.
    """
    from fastnode_ops.publish.datadeps import verify_bundle

    manifest = verify_bundle(Path(checkout_dir), Path(output_dir) if output_dir else None)
    return {
        "num_files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        "content_digest": manifest.content_digest,
    }
