"use strict";

/** What is read from the run goes into the page as text, never as markup. */
function made(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  if (tag === "td" || tag === "span") {
    element.dir = "auto";
  }
  return element;
}

function rowOf(cells, className = "") {
  const row = made("tr", "", className);
  row.append(...cells);
  return row;
}

/** Put rows into a table or list, and tell when there are none. */
function filled(id, rows) {
  document.getElementById(id).replaceChildren(...rows);
  document.getElementById(`${id}-none`).hidden = rows.length > 0;
  const table = document.getElementById(id).closest("table");
  if (table) {
    table.hidden = rows.length === 0;
  }
}

function showErrors(errors) {
  const rows = errors.map(([name, times]) => {
    const cut = name.indexOf(": ");
    const [step, reason] = cut < 0 ? ["", name] : [name.slice(0, cut), name.slice(cut + 2)];
    return rowOf([made("td", step, "step"), made("td", reason), made("td", wording.count(times), "number")]);
  });
  filled("classes", rows);
}

/** What has happened, and of the plan what is yet to come. */
function showFaults({ plan, marks: past, state }) {
  const begun = state?.begun_at ?? null;
  const happened = past.map(([at, text], index) =>
    rowOf([
      made("td", String(index + 1), "when"),
      made("td", begun === null ? wording.none : wording.elapsed(at - begun), "when"),
      made("td", wording.clock(at), "when"),
      made("td", text),
    ]),
  );
  const isEnding = state !== null && (state.is_over || !["waiting", "load"].includes(state.phase));
  const ahead = (plan?.faults ?? [])
    .filter((fault) => !isEnding && (state === null || fault.at_s > state.elapsed_s))
    .map((fault) =>
      rowOf([made("td", ""), made("td", wording.elapsed(fault.at_s), "when"), made("td", "ahead", "when"), made("td", fault.text)], "ahead"),
    );
  filled("faults", [...happened, ...ahead]);
}

/** The thresholds of the plan, with what came of them when that is known. */
function showThresholds({ plan, state }) {
  const signs = { passed: "✓", failed: "✗", unknown: "?", open: "·" };
  const found = state?.outcomes ?? [];
  const told = found.length ? found : (plan?.thresholds ?? []).map((text) => ({ text, state: "open" }));
  const rows = told.map((one) => {
    const row = made("li", "");
    row.dataset.state = one.state;
    row.append(made("span", signs[one.state] ?? "?", "sign"), made("span", one.text));
    return row;
  });
  filled("thresholds", rows);
}

/** A figure with its unit or its counterpart, which is written smaller. */
function showTile(id, figure, unit, more, unitClass = "unit") {
  const place = document.getElementById(id);
  place.replaceChildren(made("span", figure));
  if (unit) {
    place.append(" ", made("span", unit, unitClass));
  }
  document.getElementById(`${id}-more`).textContent = more;
}

function showTiles(state) {
  const over = state.is_over;
  const span = over ? "whole run" : "last 10 s";
  const counted = (count) => `${wording.count(count)} in all${over ? ", mean" : ""}`;
  const crashed = state.states.crashed ?? 0;
  showTile("nodes", wording.count(state.nodes), `/ ${wording.count(state.planned_nodes)}`, crashed ? `${wording.count(crashed)} crashed` : "running / planned", "of");
  showTile("offered", wording.number(state.rates.offered), "/s", counted(state.offered));
  showTile("accepted", wording.number(state.rates.accepted), "/s", counted(state.accepted));
  showTile("poll", ...split(wording.seconds(state.p99_s.poll)), `with a job, ${span}`);
  showTile("job", ...split(wording.seconds(state.p99_s.job)), `until accepted, ${span}`);
  showTile("flight", wording.count(state.in_flight), "", `${wording.count(state.queued)} queued, ${wording.count(state.working)} worked on`);
  showTile("errors", wording.count(state.errors), "", state.errors ? "by class: see below" : "none so far");
  document.getElementById("errors").parentElement.classList.toggle("bad", state.errors > 0);
}

function split(text) {
  const cut = text.indexOf(" ");
  return cut < 0 ? [text, ""] : [text.slice(0, cut), text.slice(cut + 1)];
}
