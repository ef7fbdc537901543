"use strict";

/** A series that is sent in blocks: the middles of the cells in time, and a row of figures a name. */
class Track {
  constructor() {
    this.clear();
  }

  clear() {
    this.first = null;
    this.step = 1;
    this.times = [];
    this.rows = new Map();
  }

  /** Take a block; what was known of its cells and of all after them is replaced. */
  take({ first, step, at, rows }) {
    if (first !== this.first || step !== this.step) {
      this.clear();
      this.first = first;
      this.step = step;
    }
    const place = Math.min((at - first) / step, this.times.length);
    const cells = Math.max(0, ...Object.values(rows).map((row) => row.length));
    this.times.length = place;
    for (let cell = 0; cell < cells; cell += 1) {
      this.times.push(at + (cell + 0.5) * step);
    }
    for (const name of Object.keys(rows)) {
      if (!this.rows.has(name)) {
        this.rows.set(name, []);
      }
    }
    for (const [name, known] of this.rows) {
      known.length = Math.min(known.length, place);
      while (known.length < place) {
        known.push(null);
      }
      const row = rows[name] ?? [];
      for (let cell = 0; cell < cells; cell += 1) {
        known.push(row[cell] ?? null);
      }
    }
  }

  row(name) {
    return this.rows.get(name) ?? new Array(this.times.length).fill(null);
  }
}

/** All that was heard of a run. */
class RunHistory {
  constructor() {
    this.tracks = { measured: new Track(), standing: new Track() };
    this.marks = [];
    this.errors = [];
    this.plan = null;
    this.state = null;
    /** The stretch of time looked at, as [from, to]; null is all. */
    this.zoom = null;
  }

  /** The stretch of time that every chart shows. */
  range() {
    if (this.zoom) {
      return this.zoom;
    }
    const tracks = Object.values(this.tracks).filter((track) => track.times.length);
    if (!tracks.length) {
      return [0, 10];
    }
    const from = Math.min(...tracks.map((track) => track.first));
    const to = Math.max(...tracks.map((track) => track.first + track.step * track.times.length));
    return [from, Math.max(to, from + 10)];
  }
}
