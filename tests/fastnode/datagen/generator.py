"""A generator for tests of deployments: a file for each range, slowly if asked, and a ledger like the real one."""

PROGRAM = """
import json, os, pathlib, sys, time
ranges, samples, state, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), float(sys.argv[4])
ledger = state / "made.json"
made = json.loads(ledger.read_text())["ranges"] if ledger.exists() else []
pairs = [[int(word) for word in part.split("-")] for part in ranges.split(",")]
todo = [number for pair in pairs for number in range(pair[0], pair[-1] + 1)]
for number in todo:
    (samples / f"{10 * number:09d}-10-1.samples").write_text("x")
    made.append(number)
    (state / "part").write_text(json.dumps({"ranges": made, "data_steps": 120}))
    os.replace(state / "part", ledger)
    (samples / f"{10 * number:09d}-10-1.idx").write_text("{}")
    left = len(todo) - 1 - todo.index(number)
    (state / "part").write_text(json.dumps({"state": "running", "num_ranges_made": len(made), "num_ranges_left": left}))
    os.replace(state / "part", state / "status.json")
    time.sleep(seconds)
(state / "status.json").write_text(json.dumps({"state": "done", "num_ranges_made": len(made), "num_ranges_left": 0}))
"""
