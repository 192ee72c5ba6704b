"""The report of a sweep: one table and one plot, as JSON and as one page that needs nothing else."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ops_common.artifacts import write_json, write_text
from ops_common.drawing import canvas, colour, series_colour, styled, to_svg
from ops_common.sweep import Outcome, SweepDir

REPORT_NAME = "sweep"
BEST, FINISHED, STOPPED, FAILED = "best", "finished", "stopped early", "failed"


def write_report(sweep: SweepDir) -> dict[str, Any]:
    """Write `reports/sweep.json` and `.html` into the folder of a sweep.

    Returns:
        What the JSON holds: `figure`, `rung_steps`, `eta`, `steps_spent`, `steps_without_stopping`, `num_failed`,
        `failures` (number by reason), `best` (a row, or None) and `configurations` (rows: `number`, `label`, `values`,
        `overrides`, `status`, `reason`, `steps`, `value`, `curve`, `wall_seconds`), best first.
    """
    plan = sweep.plan()
    rows = _rows(sweep)
    best = next((row for row in rows if row["status"] == BEST), None)
    spent = sum(row["steps"] for row in rows)
    report = {
        "figure": plan.figure,
        "rung_steps": list(plan.rung_steps),
        "eta": plan.eta,
        "num_asked": plan.num_asked,
        "num_configurations": len(rows),
        "num_failed": sum(row["status"] == FAILED for row in rows),
        "failures": dict(Counter(row["reason"].partition("\n")[0] for row in rows if row["status"] == FAILED)),
        "steps_spent": spent,
        "steps_without_stopping": len(rows) * plan.rung_steps[-1],
        "best": best,
        "configurations": rows,
    }
    folder = sweep.path / "reports"
    write_json(folder / f"{REPORT_NAME}.json", report)
    write_text(folder / f"{REPORT_NAME}.html", _page(report))
    return report


def _rows(sweep: SweepDir) -> list[dict[str, Any]]:
    plan = sweep.plan()
    ended: dict[int, list[Outcome]] = {point.number: [] for point in plan.configurations}
    for rung in range(len(plan.rung_steps)):
        for outcome in sweep.outcomes(rung, sweep.entrants(rung)):
            ended[outcome.number].append(outcome)
    rows = [_row(plan.configuration(number), outcomes, plan.rung_steps[-1]) for number, outcomes in ended.items()]
    order = {FINISHED: 0, STOPPED: 1, FAILED: 2}
    rows.sort(key=lambda row: (order[row["status"]], -row["steps"], row["value"] or 0, row["number"]))
    if rows and rows[0]["status"] == FINISHED:
        rows[0]["status"] = BEST
    return rows


def _row(point: Any, outcomes: Sequence[Outcome], max_steps: int) -> dict[str, Any]:
    last = outcomes[-1]
    passed = [outcome for outcome in outcomes if outcome.value is not None]
    status = FAILED if last.value is None else FINISHED if last.steps >= max_steps else STOPPED
    return {
        "number": point.number,
        "label": point.label,
        "values": dict(point.values),
        "overrides": point.overrides,
        "status": status,
        "reason": last.reason,
        "steps": passed[-1].steps if passed else 0,
        "value": passed[-1].value if passed else None,
        "curve": [[outcome.steps, outcome.value] for outcome in passed],
        "wall_seconds": round(sum(outcome.wall_seconds for outcome in outcomes), 1),
    }


@styled
def draw_sweep(rows: Sequence[dict[str, Any]], figure: str) -> str:
    """Draw the figure of each configuration over its steps as inline SVG; the best one is drawn thick."""
    picture, axes = canvas(7.2, 3.2)
    for index, row in enumerate(reversed(rows)):
        if row["curve"]:
            is_best = row["status"] == BEST
            axes.plot(
                *zip(*row["curve"]),
                color=colour("model") if is_best else series_colour(index),
                linewidth=2.4 if is_best else 1.0,
                marker="o",
                markersize=5 if is_best else 3,
                alpha=1 if is_best else 0.7,
            )
            axes.annotate(
                str(row["number"]), row["curve"][-1], xytext=(4, 2), textcoords="offset points", color=colour("ink")
            )
    steps = sorted({steps for row in rows for steps, _ in row["curve"]})
    axes.set_xscale("log")
    axes.set_xticks(steps, [f"{number:,}" for number in steps])
    axes.minorticks_off()
    axes.set_xlabel("steps")
    axes.set_ylabel(figure)
    return to_svg(picture, "sweep")


_STYLE = """
:root { color-scheme: light dark; --plot-ink: #333; --plot-grid: #ccc; --plot-model: #0b6; --plot-other: #888;
  --plot-series-1: #4477aa; --plot-series-2: #cc6677; --plot-series-3: #ddaa33; --plot-series-4: #aa4499;
  --plot-series-5: #44aacc; --plot-series-6: #999933; }
@media (prefers-color-scheme: dark) { :root { --plot-ink: #ddd; --plot-grid: #444; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
svg { width: 100%; height: auto; } table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr.best { font-weight: 600; }
"""


def _page(report: dict[str, Any]) -> str:
    rows = report["configurations"]
    keys = list(rows[0]["values"]) if rows else []
    saved = 1 - report["steps_spent"] / report["steps_without_stopping"]
    summary = (
        f"{len(rows)} configurations, {report['num_failed']} failed. {report['steps_spent']:,} steps, "
        f"{saved:.0%} fewer than without stopping early (rungs at {', '.join(f'{n:,}' for n in report['rung_steps'])} "
        f"steps, 1 of {report['eta']} trains on)."
    )
    titles = ["number", *keys, "steps", report["figure"], "seconds", "result"]
    head = "".join(f"<th scope=col>{html.escape(title)}</th>" for title in titles)
    body = "".join(_table_row(row, keys) for row in rows)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Sweep</title><style>{_STYLE}</style><h1>Sweep</h1><p>{html.escape(summary)}</p>"
        f"<figure role=img aria-label='{html.escape(report['figure'])} over steps; the numbers are in the table'>"
        f"{draw_sweep(rows, report['figure'])}</figure>"
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></html>\n"
    )


def _table_row(row: dict[str, Any], keys: Sequence[str]) -> str:
    value = "" if row["value"] is None else f"{row['value']:.4g}"
    cells = [str(row["number"]), *(str(row["values"][key]) for key in keys)]
    cells += [f"{row['steps']:,}", value, f"{row['wall_seconds']:,.1f}"]
    result = row["status"] + (f": {row['reason']}" if row["reason"] else "")
    numbers = "".join(f"<td class=number>{html.escape(cell)}</td>" for cell in cells)
    kind = " class=best" if row["status"] == BEST else ""
    return f"<tr{kind}>{numbers}<td>{html.escape(result)}</td></tr>"
