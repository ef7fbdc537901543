"use strict";

/** States of nodes from the bottom of the stack to its top, with their colours. */
const STATES = [
  ["processing", "green"],
  ["idle", "blue"],
  ["checking", "teal"],
  ["running", "blue"],
  ["backing off", "gold"],
  ["paused", "purple"],
  ["draining", "grey"],
  ["registering", "orange"],
  ["starting", "orange"],
  ["initializing", "gold"],
  ["error", "red"],
  ["recovering", "red"],
  ["failed", "red"],
  ["crashed", "mark"],
];

/** Nodes that are gone take no room. */
const GONE = new Set(["shutdown", "stopped"]);

function stateLines(history) {
  const prefix = "nodes.";
  const names = [...history.tracks.standing.rows.keys()]
    .filter((row) => row.startsWith(prefix))
    .map((row) => row.slice(prefix.length))
    .filter((state) => !GONE.has(state));
  const place = (state) => {
    const found = STATES.findIndex(([name]) => name === state);
    return found < 0 ? STATES.length : found;
  };
  names.sort((one, two) => place(one) - place(two) || (one < two ? -1 : 1));
  const lines = names.map((state) => ({
    row: prefix + state,
    label: state,
    color: STATES[place(state)]?.[1] ?? "grey",
  }));
  return [...lines, { row: "planned_nodes", label: "planned", color: "text", dash: [5, 4], isApart: true }];
}

/** The charts of a run, by the names of their figures. */
function chartKinds(step, log) {
  return {
    rates: {
      track: "measured",
      axes: { y: { written: wording.number, floor: 1 } },
      lines: () => [
        { row: "submitted", label: "submitted", color: "blue" },
        { row: "claimed", label: "claimed", color: "orange" },
        { row: "accepted", label: "accepted", color: "green" },
        { row: "offered", label: "offered", color: "text", dash: [5, 4] },
      ],
    },
    latency: {
      track: "measured",
      axes: { y: { written: wording.seconds, floor: 0.001 } },
      log: () => log.checked,
      lines: () => [
        { row: `${step.value}.p50`, label: "p50", color: "green", hasGaps: true },
        { row: `${step.value}.p95`, label: "p95", color: "orange", hasGaps: true },
        { row: `${step.value}.p99`, label: "p99", color: "purple", hasGaps: true },
      ],
    },
    states: {
      track: "standing",
      axes: { y: { written: wording.count, floor: 1, isWhole: true } },
      isStacked: true,
      lines: stateLines,
    },
    queue: {
      track: "standing",
      axes: { y: { written: wording.count, floor: 1, isWhole: true } },
      lines: () => [
        { row: "queued", label: "queued", color: "orange" },
        { row: "working", label: "worked on", color: "green" },
        { row: "in_flight", label: "being submitted", color: "blue" },
        { row: "outbox", label: "in the outbox", color: "purple" },
      ],
    },
    generator: {
      track: "standing",
      axes: { lag: { written: wording.seconds, floor: 0.005 }, cpu: { written: wording.share, floor: 1 } },
      lines: () => [
        { row: "lag_s", label: "loop lag", color: "red", axis: "lag" },
        { row: "cpu", label: "CPU of a core", color: "blue", axis: "cpu" },
      ],
    },
  };
}

/** All charts of the page, drawn together and looking at the same stretch of time. */
class Charts {
  constructor(history) {
    const [step, log, whole] = ["step", "log", "whole"].map((id) => document.getElementById(id));
    this.history = history;
    this.whole = whole;
    this.all = {};
    for (const [name, kind] of Object.entries(chartKinds(step, log))) {
      const figure = document.getElementById(`chart-${name}`);
      this.all[name] = new Chart(figure, history, kind, (stretch) => this.zoom(stretch));
    }
    step.addEventListener("change", () => this.all.latency.rebuild());
    log.addEventListener("change", () => this.all.latency.rebuild());
    whole.addEventListener("click", () => this.zoom(null));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
  }

  show() {
    Object.values(this.all).forEach((chart) => chart.show());
  }

  rebuild() {
    Object.values(this.all).forEach((chart) => chart.rebuild());
  }

  zoom(stretch) {
    this.history.zoom = stretch;
    this.whole.hidden = stretch === null;
    this.show();
  }
}
