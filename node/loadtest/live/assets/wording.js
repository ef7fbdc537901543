"use strict";

/** Figures as people read them. What is not known is a dash. */
const wording = {
  none: "–",

  /** At most three significant digits, thousands apart. */
  number(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) {
      return wording.none;
    }
    const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
    return value.toLocaleString("en", { maximumFractionDigits: digits });
  },

  count(value) {
    return value === null || value === undefined ? wording.none : Math.round(value).toLocaleString("en");
  },

  /** A latency: "850 µs", "12.3 ms", "1.25 s". */
  seconds(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) {
      return wording.none;
    }
    if (value === 0) {
      return "0 s";
    }
    if (value < 0.0009995) {
      return `${wording.number(value * 1e6)} µs`;
    }
    return value < 0.9995 ? `${wording.number(value * 1000)} ms` : `${wording.number(value)} s`;
  },

  share(value) {
    return value === null || value === undefined ? wording.none : `${wording.number(value * 100)} %`;
  },

  /** A time of the plan: "0:07", "12:40", "1:02:03". */
  elapsed(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    const two = (part) => String(part).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    const head = hours ? `${hours}:${two(minutes)}` : String(minutes);
    return `${head}:${two(whole % 60)}`;
  },

  /** The time of day of a Unix time, in the zone of whoever looks. */
  clock(at, withSeconds = true) {
    const date = new Date(at * 1000);
    const parts = [date.getHours(), date.getMinutes(), ...(withSeconds ? [date.getSeconds()] : [])];
    return parts.map((part) => String(part).padStart(2, "0")).join(":");
  },
};

/** What a verdict means, and how good it is. */
const verdicts = {
  passed: ["good", "Passed", "Every threshold is met, and the audit found nothing wrong with any job."],
  stopped: ["warn", "Stopped", "It was ended before its time: what was measured is shown, and not judged."],
  failed: ["bad", "Failed", "Not every threshold is met."],
  void: ["warn", "Void", "The generator fell short: these figures say nothing of the gateway."],
  broken: ["bad", "Broken", "The audit found something wrong with jobs."],
};

/** What a phase is called, and how it is shown. */
const phases = {
  waiting: ["warn", "waiting for the start"],
  load: ["busy", "under load"],
  settling: ["busy", "settling"],
  leaving: ["busy", "nodes leave"],
  over: ["busy", "over, being judged"],
};
