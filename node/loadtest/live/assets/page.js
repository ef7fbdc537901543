"use strict";

/** The page: hears the run, shows it, and gives orders. */
class Page {
  constructor() {
    this.history = new RunHistory();
    this.charts = new Charts(this.history);
    this.token = document.querySelector('meta[name="token"]').content;
    this.source = null;
    this.isEnded = false;
    this.isDue = false;
    this.phaseTold = "";
    document.querySelectorAll("[data-order]").forEach((button) => {
      button.addEventListener("click", () => this.wanted(button.dataset.order));
    });
    this.sure = document.getElementById("sure");
    this.sure.addEventListener("close", () => this.sure.returnValue === "yes" && this.order("stop"));
  }

  listen() {
    const source = new EventSource("/events");
    const heard = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
    this.source = source;
    source.addEventListener("open", () => this.tellLink("live", "live"));
    source.addEventListener("error", () => this.lost());
    heard("plan", (plan) => this.takePlan(plan));
    heard("cells", (block) => this.history.tracks[block.track]?.take(block));
    heard("marks", (marks) => {
      this.history.marks = marks;
    });
    heard("errors", (errors) => {
      this.history.errors = errors;
      showErrors(errors);
    });
    // What a second brings ends with the state: only then is there something whole to show.
    heard("state", (state) => this.takeState(state));
    heard("end", () => this.ended());
  }

  /** The browser tries again by itself unless it was turned away. */
  lost() {
    if (this.isEnded) {
      return;
    }
    const isOver = this.history.state?.is_over;
    this.tellLink("lost", isOver ? "the program has ended" : "no connection, trying again");
    this.showOrders();
    if (this.source.readyState === EventSource.CLOSED) {
      setTimeout(() => this.listen(), 3000);
    }
  }

  ended() {
    this.isEnded = true;
    this.source.close();
    this.tellLink("ended", "complete");
    this.showOrders();
  }

  takePlan(plan) {
    if (this.history.plan && this.history.plan.run !== plan.run) {
      // Another run has taken the port, and its page has another token.
      location.reload();
      return;
    }
    this.history.plan = plan;
    document.getElementById("name").textContent = plan.name;
    document.getElementById("name").title = plan.description;
    document.getElementById("gateway").textContent = plan.gateway;
    const ticks = plan.faults.map((fault) => {
      const tick = made("div", "", "tick");
      tick.style.left = `${(100 * fault.at_s) / plan.duration_s}%`;
      return tick;
    });
    document.getElementById("ticks").replaceChildren(...ticks);
  }

  takeState(state) {
    this.history.state = state;
    if (!this.isDue) {
      this.isDue = true;
      requestAnimationFrame(() => {
        this.isDue = false;
        this.show();
      });
    }
  }

  show() {
    const { state, plan } = this.history;
    if (!state || !plan) {
      return;
    }
    showTiles(state);
    showFaults(this.history);
    showThresholds(this.history);
    this.showCourse(state, plan);
    this.showVerdict(state);
    this.showOrders();
    this.charts.show();
  }

  showCourse(state, plan) {
    const verdict = verdicts[state.verdict];
    const [kind, phase] = state.is_paused ? ["warn", "paused"] : (phases[state.phase] ?? ["", state.phase]);
    const word = verdict ? verdict[1].toLowerCase() : phase;
    const chip = document.getElementById("phase");
    chip.textContent = word;
    chip.dataset.kind = verdict ? verdict[0] : kind;
    const isLoaded = state.is_over || !["waiting", "load"].includes(state.phase);
    // Submissions that are late may take some seconds more than the plan has.
    const at = isLoaded ? state.load_s : Math.min(Math.max(0, state.elapsed_s), plan.duration_s);
    const share = (100 * at) / plan.duration_s;
    document.getElementById("bar").style.width = `${share}%`;
    document.getElementById("progress").setAttribute("aria-valuenow", String(Math.round(share)));
    const left = isLoaded ? "" : `, ${wording.elapsed(plan.duration_s - at)} left`;
    document.getElementById("times").textContent = `${wording.elapsed(at)} of ${wording.elapsed(plan.duration_s)}${left}`;
    document.title = `${state.verdict || state.phase !== "load" || state.is_paused ? word : `${Math.round(share)} %`} · ${plan.name}`;
    if (this.phaseTold !== word) {
      this.phaseTold = word;
      document.getElementById("told").textContent = `The load test is ${word}.`;
    }
  }

  showVerdict(state) {
    const place = document.getElementById("verdict");
    const found = verdicts[state.verdict];
    place.hidden = !found;
    if (found) {
      const [kind, word, why] = found;
      place.dataset.kind = kind;
      document.getElementById("verdict-word").textContent = word;
      document.getElementById("verdict-why").textContent = why;
    }
  }

  showOrders() {
    const { state } = this.history;
    const isLinked = this.source?.readyState === EventSource.OPEN && !this.isEnded;
    const isLoad = state?.phase === "load";
    const fits = {
      start: state?.phase === "waiting",
      pause: isLoad && !state.is_paused,
      resume: isLoad && state.is_paused,
      stop: isLoad || state?.phase === "waiting" || state?.phase === "settling",
    };
    document.querySelectorAll("[data-order]").forEach((button) => {
      button.disabled = !(isLinked && fits[button.dataset.order]);
    });
    if (this.sure.open && !(isLinked && fits.stop)) {
      this.sure.close("no");
    }
  }

  wanted(name) {
    if (name === "stop") {
      this.sure.returnValue = "no";
      this.sure.showModal();
    } else {
      this.order(name);
    }
  }

  async order(name) {
    try {
      const answer = await fetch(`/${name}`, { method: "POST", headers: { "x-run-token": this.token } });
      const said = await answer.json();
      if (answer.ok) {
        this.takeState(said);
        this.notice("");
      } else {
        this.notice(said.detail);
      }
    } catch {
      this.notice(`The order to ${name} did not reach the load test.`);
    }
  }

  notice(text) {
    const place = document.getElementById("notice");
    place.textContent = text;
    place.hidden = !text;
  }

  tellLink(state, text) {
    const place = document.getElementById("link");
    place.dataset.state = state;
    place.textContent = text;
  }
}

const page = new Page();
page.listen();
