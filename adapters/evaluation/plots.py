"""Pictures of a run: its confusion matrix, and the figures of each label. matplotlib is loaded when asked."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from domain.errors import Invalid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["confusion", "classes"]
Format = Literal["svg", "png"]
MEDIA_TYPES: dict[Format, str] = {"svg": "image/svg+xml", "png": "image/png"}

TIMEOUT_S = 120.0
_few_at_a_time = threading.BoundedSemaphore(2)

LONGEST_NAME = 28
DOTS_PER_INCH = 130
WITH_NUMBERS = 40
"""Labels up to which every cell of a matrix shows its number; with more, rows and columns are numbered."""

MARGIN, TITLE, NARROWEST = 0.3, 0.75, 6.8
"""Inches: at the right, above for the title, and of the whole at least."""

INK, FAINT, ACCENT, WRONG = "#1f2933", "#8c96a1", "#2166ac", "#b2182b"


def plot(figures: Mapping[str, Any], kind: Kind, file_format: Format, title: str) -> bytes:
    """`figures`: of the cases that count, as a `Scorer` gives them. Raises Invalid where there are none.

    Drawn in a process of its own: 150 names take seconds, in which no request would be answered.
    """
    if not figures["cases"]:
        raise Invalid("the run has no answer that counts: there is nothing to draw")
    command = [sys.executable, "-P", "-m", __name__, kind, file_format, title]
    with _few_at_a_time:
        drawn = subprocess.run(
            command, input=orjson.dumps(figures), capture_output=True, timeout=TIMEOUT_S, check=False
        )
    if drawn.returncode:
        raise RuntimeError(drawn.stderr.decode(errors="replace")[-2_000:])
    return drawn.stdout


def draw(figures: Mapping[str, Any], kind: Kind, file_format: Format, title: str) -> bytes:
    from matplotlib import rc_context

    settings: Any = {"font.family": "DejaVu Sans", "svg.fonttype": "none", "svg.hashsalt": "lmsys"}
    with rc_context(settings | _COLOURS):
        figure = _confusion(figures, title) if kind == "confusion" else _classes(figures, title)
        written = io.BytesIO()
        metadata = {"Date": None} if file_format == "svg" else {}
        figure.savefig(written, format=file_format, dpi=DOTS_PER_INCH, metadata=metadata)
    return written.getvalue()


_COLOURS = {
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
}


def _axes(width: float, height: float, left: float, bottom: float) -> Axes:
    """Of this size in inches, with so much room beside and below; without pyplot, which keeps every figure.

    Room is reckoned, not found by drawing again and again: that takes seconds where there are many names.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across, down = max(left + width + MARGIN, NARROWEST), bottom + height + TITLE
    figure = Figure(figsize=(across, down), facecolor="white")
    FigureCanvasAgg(figure)
    return figure.add_axes((left / across, bottom / down, width / across, height / down))


def _room(names: Sequence[str], size: float) -> float:
    """Inches that the longest of these names takes."""
    return max((len(name) for name in names), default=0) * size * 0.66 / 72 + 0.1


# --- the matrix


def matrix_of(confusion: Mapping[str, Any]) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Rows: labels that have cases. Columns: these, others that were answered, and errors where there are."""
    labels = [*confusion["labels"], "(error)"]
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for truth, answer, cases in confusion["cells"]:
        counts[truth, answer] = cases
    rows = np.flatnonzero(counts.any(axis=1))
    more = np.setdiff1d(np.flatnonzero(counts.any(axis=0)), rows)
    columns = np.concatenate([rows, more])
    return [labels[at] for at in rows], [labels[at] for at in columns], counts[np.ix_(rows, columns)]


def _confusion(figures: Mapping[str, Any], title: str) -> Figure:
    """Colour is the share of the row, so that rare labels are seen; the number is of cases."""
    rows, columns, counts = matrix_of(figures["confusion"])
    many = max(len(rows), len(columns)) > WITH_NUMBERS
    cell = 0.115 if many else 0.46
    size = 5 if many else 9
    across, down = map(_short, columns), map(_short, rows)
    beside, below = _room(list(down), size) + 0.35, _room(list(across), size) + 0.4
    axes = _axes(cell * len(columns), cell * len(rows), beside, below)
    shares = counts / counts.sum(axis=1, keepdims=True)
    right = np.equal.outer(np.array(rows, object), np.array(columns, object))
    image = axes.imshow(_painted(shares, right), aspect="equal", interpolation="nearest")
    image.set_gid("matrix")
    _ticks(axes, rows, columns, size)
    if many:
        _lines(axes, counts.shape)
    else:
        _numbers(axes, counts, shares)
        _grid(axes, counts.shape)
    axes.set_xlabel("answered")
    axes.set_ylabel("expected")
    _titled(axes, title, figures)
    return _figure_of(axes)


def _painted(shares: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Blue where the answer is right, red where it is not; the deeper, the larger the share of the row."""
    from matplotlib import colormaps

    depth = np.where(shares > 0, 0.12 + 0.83 * np.sqrt(shares), 0)
    painted: NDArray[np.float64] = np.where(
        right[..., None], colormaps["Blues"](depth), colormaps["Reds"](depth)
    )
    painted[shares == 0] = (1, 1, 1, 1)
    return painted


def _ticks(axes: Axes, rows: Sequence[str], columns: Sequence[str], size: float) -> None:
    axes.set_xticks(range(len(columns)), list(map(_short, columns)), rotation=90, fontsize=size)
    axes.set_yticks(range(len(rows)), list(map(_short, rows)), fontsize=size)
    axes.tick_params(length=0)


def _numbers(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=9 if counts.max() < 1_000 else 7,
            color="white" if shares[row, column] > 0.3 else INK,
        )


def _grid(axes: Axes, shape: tuple[int, ...]) -> None:
    axes.set_xticks(np.arange(shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#e4e7eb", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def _lines(axes: Axes, shape: tuple[int, ...]) -> None:
    """Every tenth row and column, so that an eye can follow one to its name."""
    for at in range(10, shape[0], 10):
        axes.axhline(at - 0.5, color="#d5dae0", linewidth=0.4)
    for at in range(10, shape[1], 10):
        axes.axvline(at - 0.5, color="#d5dae0", linewidth=0.4)


# --- the labels


def _classes(figures: Mapping[str, Any], title: str) -> Figure:
    """F1 of each label with its interval, precision and recall as marks; the worst on top."""
    shown = sorted(
        (one for one in figures["classes"] if one["support"]), key=lambda one: (one["f1"] or 0, one["label"])
    )
    many = len(shown) > WITH_NUMBERS
    size = 6 if many else 9
    names = [f"{_short(one['label'])}  ({one['support']:,})" for one in shown]
    axes = _axes(6.4, (0.135 if many else 0.34) * len(shown) + 0.1, _room(names, size), 0.75)
    places = np.arange(len(shown))
    f1 = np.array([one["f1"] or 0.0 for one in shown])
    low, high = np.array([one["f1_interval"] for one in shown]).T
    axes.barh(places, f1, height=0.72, color="#9ec5e8", label="F1, with its 95 % interval")
    around = np.array([np.clip(f1 - low, 0, None), np.clip(high - f1, 0, None)])
    axes.errorbar(f1, places, xerr=around, fmt="none", ecolor=ACCENT, elinewidth=0.9, capsize=0)
    for name, marker, colour in (("precision", "|", WRONG), ("recall", "x", INK)):
        values = [np.nan if one[name] is None else one[name] for one in shown]
        axes.scatter(values, places, marker=marker, s=18 if many else 42, c=colour, zorder=3, label=name)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.02)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _titled(axes, title, figures)
    figure = _figure_of(axes)
    figure.legend(loc="lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _titled(axes: Axes, title: str, figures: Mapping[str, Any]) -> None:
    """At the edge of the picture: a matrix of few labels is narrower than its title."""
    figure = _figure_of(axes)
    left = 0.12 / figure.get_figwidth()
    top = 1 - 0.12 / figure.get_figheight()
    words = f"{_escaped(title)}\n{_headline(figures)}"
    figure.text(left, top, words, ha="left", va="top", fontsize=11, linespacing=1.4)


def _headline(figures: Mapping[str, Any]) -> str:
    low, high = figures["accuracy_interval"]
    accuracy = f"accuracy {figures['accuracy']:.1%} ({low:.1%} to {high:.1%})"
    return f"{accuracy}, macro F1 {figures['macro']['f1']:.3f}, {figures['cases']:,} cases"


def _short(name: str) -> str:
    """`$` begins mathematics in matplotlib."""
    flat = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return _escaped(flat)


def _escaped(words: str) -> str:
    return words.replace("$", r"\$")


if __name__ == "__main__":
    _, wanted, written_as, headed = sys.argv
    figures = orjson.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(draw(figures, cast(Kind, wanted), cast(Format, written_as), headed))
