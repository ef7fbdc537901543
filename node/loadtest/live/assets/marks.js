"use strict";

/** Faults on the time axis: a line each, its number above the plot, and as much of its text as has room. */
const marks = {
  /** Room for the labels above a plot, in CSS pixels. */
  room: 18,

  /** Shorten a text to a width in canvas pixels; empty when nothing of it fits. */
  fitted(context, text, width) {
    if (context.measureText(text).width <= width) {
      return text;
    }
    let [low, high] = [0, Math.min(text.length, 200)];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (context.measureText(`${text.slice(0, middle)}…`).width <= width) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low > 2 ? `${text.slice(0, low)}…` : "";
  },

  /** The marks of a plot that can be seen, with their places in canvas pixels. */
  seen(plot, all) {
    const { left, width } = plot.bbox;
    return all
      .map(([at, text], index) => ({ x: Math.round(plot.valToPos(at, "x", true)), text, number: index + 1 }))
      .filter(({ x }) => x >= left && x <= left + width);
  },

  draw(plot, all, color) {
    const { ctx: context, bbox } = plot;
    const ratio = uPlot.pxRatio;
    const seen = marks.seen(plot, all);
    context.save();
    context.strokeStyle = color;
    context.fillStyle = color;
    context.lineWidth = ratio;
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    context.textAlign = "left";
    // Where they stand close together they must not hide what they mark.
    const lineAlpha = bbox.width / Math.max(1, seen.length) < 24 * ratio ? 0.4 : 1;
    seen.forEach(({ x, text, number }, index) => {
      context.setLineDash([4 * ratio, 3 * ratio]);
      context.globalAlpha = lineAlpha;
      context.beginPath();
      context.moveTo(x + 0.5, bbox.top - 3 * ratio);
      context.lineTo(x + 0.5, bbox.top + bbox.height);
      context.stroke();
      context.globalAlpha = 1;
      const next = index + 1 < seen.length ? seen[index + 1].x : plot.ctx.canvas.width;
      const room = next - x - 7 * ratio;
      const short = String(number);
      if (context.measureText(short).width <= room + 4 * ratio) {
        context.fillText(marks.fitted(context, `${short} ${text}`, room) || short, x + 2 * ratio, bbox.top - 3 * ratio);
      }
    });
    context.restore();
  },
};
