"""What a clean-up did, or would do: counts and bytes by reason, and a line for everything that goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops_common.artifacts import write_json, write_text
from ops_common.cleaning.choosing import Verdict

REPORT_NAME = "clean_up"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def write_report(
    folder: Path,
    verdicts: Sequence[Verdict],
    sizes_bytes: Mapping[int, int],
    errors: Sequence[str],
    settings: Mapping[str, Any],
    skipped: Mapping[str, int],
    *,
    is_dry_run: bool,
) -> dict[str, Any]:
    """Write `clean_up.json` and `clean_up.txt`.

    Args:
        folder: Where to.
        verdicts: What became of what.
        sizes_bytes: Sizes of what goes, by `id` of the verdict.
        errors: What could not be removed, and why.
        settings: What was asked for.
        skipped: What was not looked at, by reason.
        is_dry_run: Whether nothing was removed.

    Returns:
        What the JSON file says.
    """
    removed = [verdict for verdict in verdicts if verdict.is_removed]
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry_run": is_dry_run,
        "settings": dict(settings),
        "num_removed": len(removed) - len(errors),
        "removed_bytes": sum(sizes_bytes[id(verdict)] for verdict in removed),
        "by_reason": _by_reason(verdicts, sizes_bytes),
        "skipped": dict(skipped),
        "errors": list(errors),
        "removed": [
            {
                "kind": verdict.item.kind,
                "name": verdict.item.name,
                "paths": [str(path) for path in verdict.item.paths],
                "size_bytes": sizes_bytes[id(verdict)],
                "changed_at": datetime.fromtimestamp(verdict.item.changed_at, UTC).isoformat(timespec="seconds"),
                "reason": verdict.reason,
            }
            for verdict in removed
        ],
        "kept": [
            {"kind": verdict.item.kind, "name": verdict.item.name, "reason": verdict.reason}
            for verdict in verdicts
            if not verdict.is_removed
        ],
    }
    write_json(folder / f"{REPORT_NAME}.json", report)
    write_text(folder / f"{REPORT_NAME}.txt", as_text(report))
    return report


def as_text(report: Mapping[str, Any]) -> str:
    """The report for people."""
    verb = "would go" if report["dry_run"] else "removed"
    lines = [f"{verb}: {report['num_removed']}, {as_size(report['removed_bytes'])}", ""]
    lines += [f"{'':10}{'kind':14}{'number':>8}  {'size':>10}  reason"]
    for group in report["by_reason"]:
        word = verb if group["is_removed"] else "stays"
        size = as_size(group["size_bytes"]) if group["is_removed"] else ""
        lines.append(f"{word:10}{group['kind']:14}{group['number']:>8}  {size:>10}  {group['reason']}")
    lines += [
        "",
        *(f"{item['kind']:14}{as_size(item['size_bytes']):>10}  {item['name']}" for item in report["removed"]),
    ]
    lines += [f"not looked at: {number} {what}" for what, number in report["skipped"].items()]
    lines += [f"error: {error}" for error in report["errors"]]
    return "\n".join(lines).rstrip() + "\n"


def as_size(size_bytes: float) -> str:
    """A number of bytes as people read it."""
    for unit in _UNITS[:-1]:
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} {_UNITS[-1]}"


def _by_reason(verdicts: Sequence[Verdict], sizes_bytes: Mapping[int, int]) -> list[dict[str, Any]]:
    groups: dict[tuple[bool, str, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        reason = verdict.reason.partition(" by ")[0] if verdict.reason.startswith("used") else verdict.reason
        groups[not verdict.is_removed, verdict.item.kind, reason].append(verdict)
    return [
        {
            "is_removed": not stays,
            "kind": kind,
            "reason": reason,
            "number": len(group),
            "size_bytes": 0 if stays else sum(sizes_bytes[id(verdict)] for verdict in group),
        }
        for (stays, kind, reason), group in sorted(groups.items())
    ]
