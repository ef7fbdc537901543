"use strict";

/** A colour of the page's own, as the scheme has it that is in force. */
function colorOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A colour, which is written as #rrggbb, that lets half of the ground through. */
function faded(color) {
  return `${color}8c`;
}

/** Steps between the lines of an axis of what is counted. */
const WHOLE = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

/**
 * One chart of a run. `kind` says what it shows:
 * - `track`: whose cells; `lines()`: the lines as {row, label, color, dash, axis, fill};
 * - `axes`: for each scale how its figures are `written`, and what it shows at least, its `floor`; `log()`: whether the scale is logarithmic;
 * - `isStacked`: whether lines stand on one another; those with `isApart` do not.
 */
class Chart {
  constructor(figure, history, kind, onZoom) {
    this.figure = figure;
    this.place = figure.querySelector(".plot");
    this.title = figure.querySelector("h3").textContent;
    this.history = history;
    this.kind = kind;
    this.onZoom = onZoom;
    this.plot = null;
    this.lines = [];
    this.shape = "";
    this.hidden = new Set();
    new ResizeObserver(() => this.fit()).observe(this.place);
  }

  /** Forget how it was drawn, and draw it anew. */
  rebuild() {
    this.shape = "";
    this.show();
  }

  /** Draw what the history holds. */
  show() {
    const lines = this.kind.lines(this.history);
    const shape = JSON.stringify([lines.map(({ row, label }) => [row, label]), this.kind.log?.() ?? false]);
    this.lines = lines;
    const data = this.data();
    if (this.plot === null || shape !== this.shape) {
      this.plot?.destroy();
      this.shape = shape;
      this.plot = new uPlot(this.options(), data, this.place);
      this.tuneLegend();
    } else {
      this.plot.setData(data, true);
    }
    this.fit();
    this.tellLast();
  }

  fit() {
    const width = this.place.clientWidth;
    if (this.plot && width && Math.abs(this.plot.width - width) > 0.5) {
      this.plot.setSize({ width, height: this.plot.height });
    }
  }

  /** The figures of a line, cell by cell. */
  raw(line) {
    return this.history.tracks[this.kind.track].row(line.row);
  }

  data() {
    const { times } = this.history.tracks[this.kind.track];
    const isLog = this.kind.log?.() ?? false;
    let below = new Array(times.length).fill(0);
    const rows = this.lines.map((line) => {
      const row = this.raw(line);
      if (this.kind.isStacked && !line.isApart) {
        below = this.hidden.has(line.label) ? below : below.map((sum, cell) => sum + (row[cell] ?? 0));
        return below;
      }
      return isLog ? row.map((value) => (value > 0 ? value : null)) : row;
    });
    return [times, ...rows];
  }

  options() {
    const isLog = this.kind.log?.() ?? false;
    const scales = { x: { time: true, range: () => this.history.range() } };
    for (const [scale, { floor }] of Object.entries(this.kind.axes)) {
      scales[scale] = isLog ? { distr: 3 } : { range: (_plot, _low, high) => [0, Math.max((high ?? 0) * 1.08, floor)] };
    }
    return {
      width: Math.max(this.place.clientWidth, 100),
      height: 215,
      padding: [marks.room, Object.keys(this.kind.axes).length > 1 ? 0 : 26, 0, 0],
      cursor: { sync: { key: "run" }, drag: { x: true, y: false, setScale: false }, y: false },
      legend: { markers: { width: 0, fill: (_plot, index) => colorOf(this.lines[index - 1]?.color ?? "text") } },
      scales,
      axes: this.axes(isLog),
      series: [{ label: "time", value: (_plot, at) => (at === null ? wording.none : wording.clock(at)) }, ...this.series()],
      bands: this.bands(),
      hooks: {
        draw: [(plot) => marks.draw(plot, this.history.marks, colorOf("mark"))],
        setSelect: [(plot) => this.zoomTo(plot)],
        setCursor: [() => this.tellLast()],
        setSeries: [(plot, index) => this.toggled(plot, index)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.onZoom(null))],
      },
    };
  }

  axes(isLog) {
    const [text, grid] = [colorOf("dim"), colorOf("grid")];
    const look = { stroke: text, font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: grid, width: 1 } };
    const clocks = (plot, splits, _axis, _space, step) =>
      splits.map((at) => (plot.data[0].length ? wording.clock(at, step < 60) : ""));
    const sides = Object.entries(this.kind.axes).map(([scale, { written, isWhole }], index) => ({
      ...look,
      scale,
      side: index ? 1 : 3,
      size: 52,
      grid: index ? { show: false } : look.grid,
      ...(isWhole ? { incrs: WHOLE } : {}),
      ...(isLog ? { filter: (_plot, splits) => splits } : {}),
      values: (_plot, splits) => splits.map((value) => (!isLog || isNamed(value, splits) ? written(value) : "")),
    }));
    return [{ ...look, size: 30, space: 64, values: clocks }, ...sides];
  }

  series() {
    return this.lines.map((line, index) => {
      const color = colorOf(line.color);
      const scale = line.axis ?? Object.keys(this.kind.axes)[0];
      const isStacked = this.kind.isStacked && !line.isApart;
      return {
        label: line.label,
        scale,
        show: !this.hidden.has(line.label),
        stroke: color,
        width: isStacked ? 1 : 1.5,
        dash: line.dash,
        fill: isStacked && index === 0 ? faded(color) : undefined,
        spanGaps: !line.hasGaps,
        points: line.hasGaps ? { size: 4, fill: color } : { show: false },
        value: (_plot, _value, _series, cell) =>
          cell === null || cell === undefined ? wording.none : this.kind.axes[scale].written(this.raw(this.lines[index])[cell]),
      };
    });
  }

  /** Between each two stacked lines; the lowest is filled down to zero. */
  bands() {
    const stacked = this.kind.isStacked ? this.lines.filter((line) => !line.isApart) : [];
    return stacked.slice(1).map((line, index) => ({
      series: [index + 2, index + 1],
      fill: faded(colorOf(line.color)),
    }));
  }

  zoomTo(plot) {
    const { left, width } = plot.select;
    if (width > 3) {
      this.onZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    }
  }

  /** While nobody points at a cell the legend tells of the last one. */
  tellLast() {
    if (this.plot && !(this.plot.cursor.left >= 0)) {
      const last = this.plot.data[0].length - 1;
      if (last >= 0) {
        this.plot.setLegend({ idx: last }, false);
        this.describe(last);
      }
    }
  }

  describe(cell) {
    const told = this.lines.map((line) => {
      const scale = line.axis ?? Object.keys(this.kind.axes)[0];
      return `${line.label} ${this.kind.axes[scale].written(this.raw(line)[cell])}`;
    });
    const canvas = this.plot.ctx.canvas;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.title}, last: ${told.join(", ")}`);
  }

  toggled(plot, index) {
    const line = this.lines[index - 1];
    if (!line) {
      return;
    }
    const isShown = plot.series[index].show;
    if (isShown === !this.hidden.has(line.label)) {
      return;
    }
    if (isShown) {
      this.hidden.delete(line.label);
    } else {
      this.hidden.add(line.label);
    }
    if (this.kind.isStacked) {
      plot.setData(this.data(), true);
      this.tellLast();
    }
  }

  /** Lines are switched by keyboard, too. */
  tuneLegend() {
    this.place.querySelectorAll(".u-legend .u-series").forEach((row, index) => {
      const head = row.querySelector("th");
      if (index === 0) {
        return;
      }
      head.tabIndex = 0;
      head.setAttribute("role", "button");
      head.setAttribute("aria-pressed", String(this.plot.series[index].show));
      head.addEventListener("click", () => head.setAttribute("aria-pressed", String(this.plot.series[index].show)));
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          head.click();
        }
      });
    });
  }
}

/** Of the lines of a logarithmic scale decades are named, and 2 and 5 where there are few. */
function isNamed(value, splits) {
  const isShort = Math.max(...splits) / Math.min(...splits) <= 100;
  const head = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  return (isShort ? [1, 2, 5] : [1]).some((named) => Math.abs(head - named) < 1e-6);
}
