"""The steps of a prediction: functions as in `tasks.py`, which are commands and Airflow tasks.

predict_blocks      bundle + blocks from anywhere  -> table, CSV or TFRecord  (inference/predicting_inputs.py)
upload_predictions  predictions                    -> S3, read back           (publish.py)
"""

from __future__ import annotations

from pathlib import Path

from ops_common.rundir import RunDir

Result = dict[str, str | int | float | bool]


def predict_blocks(
    *,
    bundle_dir: str,
    released_at: str = "",
    hex: list[str] | None = None,
    csv_file: str | None = None,
    tfrecord_file: str | None = None,
    elf_file: str | None = None,
    asm_file: list[str] | None = None,
    asm_syntax: str = "auto",
    throughput_scaling: float = 0.01,
    output_file: str | None = None,
    num_workers: int = 2,
) -> Result:
    """Predict basic blocks with a trained model; compare with the labels that the input holds.

    Give exactly one kind of input. A row that cannot be predicted keeps its place, and is counted by reason.

    Args:
        bundle_dir: Folder of a model's bundle, or its s3:// URI as upload-model reports it.
        released_at: A destination: take the model that is released there instead, if there is one; empty: do not ask.
        hex: Machine code of a block in hex.
        csv_file: CSV file, plain or .gz, local or s3://: machine code in hex, then a label (as BHive has it) or none.
        tfrecord_file: TFRecord file of blocks, local or s3://.
        elf_file: Object file that clang has compiled with -fbasic-block-address-map.
        asm_file: File with the assembly text of one block; needs llvm-mc, clang or as.
        asm_syntax: Syntax of the assembly text: att, intel, or auto.
        throughput_scaling: Multiplies the labels of csv_file; 0.01 turns cycles per 100 iterations into cycles.
        output_file: Write a .csv or .tfrecord file instead of showing a table of the first blocks.
        num_workers: Processes that decode.
    """
    from gematria_ops.inference.predicting_inputs import PredictionInput, predict_inputs
    from gematria_ops.remote_inputs import local_bundle, local_file
    from ops_common.releases import read_released

    released = read_released(released_at) if released_at else None
    model = released.model_uri if released else bundle_dir
    with local_file(csv_file) as csv, local_file(tfrecord_file) as records, local_bundle(model) as bundle:
        wanted = PredictionInput(
            hex_blocks=hex or (),
            csv_file=csv,
            tfrecord_file=records,
            elf_file=Path(elf_file) if elf_file else None,
            asm_files=[Path(name) for name in asm_file or ()],
            asm_syntax=asm_syntax,
            throughput_scaling=throughput_scaling,
            num_workers=num_workers,
        )
        report = predict_inputs(bundle, wanted, Path(output_file) if output_file else None)
    compared, errors = report.num_compared(), report.mape_percent()
    return {
        "output_file": output_file or "",
        "model": model,
        "num_blocks": report.num_blocks,
        "num_predicted": report.num_predicted,
        **{f"num_{reason.replace(' ', '_')}": count for reason, count in report.num_unpredicted.items()},
        **{f"num_compared_{task}": count for task, count in compared.items()},
        **{f"mape_percent_{task}": round(error, 3) for task, error in errors.items()},
    }


def upload_predictions(*, run_dir: str, predictions: str, model: str, destination: str) -> Result:
    """Upload a file of predictions to S3, manifest last, and read everything back.

    Args:
        run_dir: Folder of the run that predicted.
        predictions: The file.
        model: The model that predicted, for the manifest.
        destination: Where predictions are kept, e.g. s3://models/predictions.
    """
    from gematria_ops import publish

    run = RunDir(Path(run_dir))
    metadata = {"library": "gematria_ops", "run": run.path.name, "model": model}
    uploaded = publish.upload_predictions(Path(predictions), destination, run.path.name, metadata, create_bucket=True)
    run.mark_done()
    return {
        "predictions_uri": uploaded.predictions_uri,
        "manifest_uri": uploaded.manifest_uri,
        "size_bytes": uploaded.size_bytes,
    }
