"""From a run's folder to a report: figures, verdicts, tables, plots, one page; no model."""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.errors import check_that
from smart_speed.files import check_folder, whole, writing
from smart_speed.reporting.report_document import Reply, Report
from smart_speed.reporting.report_html import to_html
from smart_speed.reporting.report_markdown import to_markdown
from smart_speed.reporting.run_findings import Findings, find
from smart_speed.reporting.run_plots import draw_plots
from smart_speed.reporting.run_sections import CAPTIONS, report_of
from smart_speed.run_folder import read_manifest
from smart_speed.running.progress import say_on_stderr

__all__ = ["Analysis", "AnalysisPipeline"]

SCHEMA = 1
"""Version of the JSON files written here."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found, and where it is written down."""

    headline: tuple[Reply, ...]
    verdicts: tuple[Mapping[str, Any], ...]
    """As ``verdicts.json`` holds them."""
    report: Path
    """One page that stands alone."""
    markdown: Path
    tables: Path
    plots: Path

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "headline": [each._asdict() for each in self.headline],
            "verdicts": list(self.verdicts),
            **{
                name: str(getattr(self, name)) for name in ("report", "markdown", "tables", "plots")
            },
        }


@final
class AnalysisPipeline:
    """Reads a run, judges it, and writes a report."""

    def __init__(
        self,
        experiment_dir: str | Path,
        output_dir: str | Path | None = None,
        *,
        machine: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Say what is read and where the report goes.

        Args:
            experiment_dir: Folder of the run; what is missing in it is missing in the report,
                which says so.
            output_dir: Made if it is not there; ``None`` means "analysis" inside the run's.
            machine: Whose answers are looked at, where several have made some.
            progress: Called with what is done next; ``None`` writes a line to standard error at
                the end, which says where the report is.
        """
        self.experiment_dir = Path(experiment_dir).expanduser()
        own = self.experiment_dir / "analysis"
        self.output_dir = own if output_dir is None else Path(output_dir).expanduser()
        self.machine = machine
        self._progress = progress

    def run_full_analysis(self) -> Analysis:
        """Write report.html, report.md, tables/, plots/, tables.json and verdicts.json.

        Each file is there whole or not at all.

        Raises:
            ConfigError: If the folder holds no run, answers were timed on several machines, or
                matplotlib is not installed.
            OutputError: If the files cannot be written.
        """
        read_manifest(self.experiment_dir)
        out = self.output_dir
        check_that(not out.is_file(), "output_dir", "a folder", str(out))
        check_folder("An analysis", out)
        self._begin("figures and hypotheses")
        found = find(self.experiment_dir, machine=self.machine)
        tables, plots = out / "tables", out / "plots"
        with writing("An analysis", out):
            for folder in (tables, plots):
                folder.mkdir(parents=True, exist_ok=True)
            self._begin("plots")
            drawn = draw_plots(found, plots)
            self._begin("report")
            report = report_of(
                found, [name for name in CAPTIONS if name in drawn], self._commands()
            )
            self._write(found, report, drawn)
        if self._progress is None:
            say_on_stderr(f"Report written to {out / 'report.html'}.")
        return Analysis(
            headline=tuple(report.replies),
            verdicts=tuple(found.verdicts_json()),
            report=out / "report.html",
            markdown=out / "report.md",
            tables=tables,
            plots=plots,
        )

    def _begin(self, step: str) -> None:
        if self._progress is not None:
            self._progress(step)

    def _write(self, found: Findings, report: Report, drawn: Mapping[str, str]) -> None:
        texts = {f"tables/{table.name}.csv": table.to_csv() for table in report.tables}
        tables = {table.name: table.to_json() for table in report.tables}
        texts["tables.json"] = _json({"tables": tables})
        texts["verdicts.json"] = _json(
            {
                "headline": [each._asdict() for each in report.replies],
                "verdicts": found.verdicts_json(),
            }
        )
        texts["report.md"] = to_markdown(report)
        texts["report.html"] = to_html(report, drawn)
        for name, text in texts.items():
            with whole(self.output_dir / name) as part:
                part.write_text(text, encoding="utf-8")

    def _commands(self) -> list[str]:
        from shlex import quote

        folder, more = quote(str(self.experiment_dir)), ""
        if self.machine is not None:
            more = f" --machine {quote(self.machine)}"
        return [
            f"smart-speed evaluate {folder}{more} --json",
            f"smart-speed analyze {folder}{more} --out {quote(str(self.output_dir))}",
        ]


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, **document}, indent=1, allow_nan=False) + "\n"


if __name__ == "analysis":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.analysis")
