"""How plots of a report look: colours that the colour-blind tell apart, and never colour alone."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from smart_speed.errors import ConfigError
from smart_speed.files import whole
from smart_speed.reporting.report_html import INK

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8a867e"
"""Okabe and Ito's palette."""
LONGEST_NAME = 30
_SAVED = {"svg": {}, "png": {"dpi": 120, "facecolor": "white"}}


class Look(NamedTuple):
    """Of one series."""

    colour: str
    marker: str
    line: Any = "-"


ROLES: Mapping[str, Look] = {
    "plain": Look(INK, "|"),
    "fixed": Look(GREY, "s"),
    "tuned-fixed": Look(VERMILION, "D"),
    "entropy": Look(BLUE, "o"),
    "rival": Look(GREEN, "^"),
    "calibrated": Look(ORANGE, "*"),
    "ablation": Look(PURPLE, "X"),
    "lossy": Look(SKY, "P"),
}
ROLE_NAMES: Mapping[str, str] = {
    "plain": "plain decoding",
    "fixed": "fixed length",
    "tuned-fixed": "tuned fixed length",
    "entropy": "entropy",
    "rival": "published rival",
    "calibrated": "calibrated",
    "ablation": "ablation",
    "lossy": "lossy",
}
LINES = (
    Look(BLUE, "o", "-"),
    Look(VERMILION, "D", "--"),
    Look(GREEN, "^", "-."),
    Look(ORANGE, "*", "-"),
    Look(PURPLE, "X", ":"),
    Look(SKY, "s", "--"),
    Look(GREY, "v", "-."),
    Look(INK, "P", ":"),
)
"""Of series that are lines, in turn."""
_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "smart_speed",
    "text.parse_math": False,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Set how everything is drawn within.

    Raises:
        ConfigError: If matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError(
            "Plots need the module matplotlib, which is not installed: run "
            "`pip install 'smart-speed[analysis]'`."
        ) from error
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Names may hold signs that the font has not; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def panels(
    count: int = 1, *, columns: int = 1, height: float, margin: float = 0.0, width: float = 8.0
) -> tuple[Any, list[Any]]:
    """Return a figure and its panels, row by row.

    Args:
        count: Of panels; what is left of the last row stays empty.
        columns: At most.
        height: Of each row, in inches.
        margin: Added to the height of all.
        width: Of the figure, in inches.
    """
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width, margin + rows * height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def save(figure: Any, folder: Path, name: str) -> str:
    """Write a figure in every format, each file whole or not at all, and return its SVG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    # Laid out once, for all formats.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for kind, options in _SAVED.items():
        with whole(folder / f"{name}.{kind}") as part:
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(part, format=kind, metadata=metadata, **options)
    return (folder / f"{name}.svg").read_text(encoding="utf-8")


def label(name: str) -> str:
    """Return a name as it fits beside an axis."""
    clean = "".join(sign if sign.isprintable() else "·" for sign in name)
    return clean if len(clean) <= LONGEST_NAME else clean[: LONGEST_NAME - 1] + "…"


def errors(figure: Mapping[str, Any]) -> list[list[float]]:
    """Return how far an interval reaches below and above its value; nothing where not known."""
    value, low, high = figure["value"], figure["low"], figure["high"]
    if low is None or high is None:
        return [[0.0], [0.0]]
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]
