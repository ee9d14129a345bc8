# SPDX-License-Identifier: Apache-2.0
"""The table: rows of what was measured against what was promised, printed as they come and kept as JSON."""
import json
import platform
import time
from dataclasses import asdict, dataclass


@dataclass
class Line:
    """One line: `value` and `budget` in `unit`; without a budget it stands there for comparison."""
    row: str
    what: str
    value: float | None
    unit: str = ""
    budget: float | None = None
    least: bool = False       # the budget is a lower bound
    noise: float | None = None
    note: str = ""

    @property
    def verdict(self):
        if self.value is None:
            return f"skipped ({self.note})"
        if self.budget is None:
            return ""
        kept = self.value >= self.budget if self.least else self.value <= self.budget
        return "ok" if kept else "MISSED"

    def text(self):
        def shown(number, sign=""):
            return "" if number is None else f"{sign}{number:.4g} {self.unit}".rstrip()
        bound = shown(self.budget, "≥ " if self.least else "≤ ")
        note = f"  {self.note}" if self.note and self.value is not None else ""
        return f"{self.row:<11} {self.what:<58} {shown(self.value):>14} {bound:>14} {shown(self.noise, '± '):>14}  {self.verdict}{note}".rstrip()


HEADER = f"{'row':<11} {'what':<58} {'measured':>14} {'budget':>14} {'noise':>14}  verdict"


def write_json(path, lines, quick):
    record = {"schema": "loopwatch-bench/1", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": platform.release(),
              "quick": quick, "lines": [asdict(line) | {"verdict": line.verdict} for line in lines]}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
