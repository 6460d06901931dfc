// The list of calls: search, filters, newest first; two of them can be compared.

import { el, icon } from "./dom.js";
import { Rows } from "./rows.js";
import { listCalls } from "./source.js";
import { count, day, duration, seconds, timeOfDay, tone, transport, whoCalled } from "./words.js";

const FILTERS = [
  ["failed", "Failed"],
  ["slow", "Slow"],
  ["interrupted", "Interrupted"],
  ["running", "Running"],
];
const PAGE = 200;
const REFRESH_MS = 3000;
const TYPED_MS = 180;

export class ListView {
  #filters = {};
  #calls = [];
  #next = null;
  #loading = false;
  #at = -1;
  #chosen = new Set();
  #asked = 0;
  #typed = 0;

  constructor(query, keys) {
    for (const [name] of FILTERS) if (query.has(name)) this.#filters[name] = true;
    for (const name of ["q", "scenario"]) if (query.get(name)) this.#filters[name] = query.get(name);
    this.rows = new Rows((call, index) => this.#row(call, index), {
      rowHeight: matchMedia("(max-width: 44rem)").matches ? 84 : 60,
      label: "Calls",
      fill: true,
    });
    this.rows.element.addEventListener(
      "drawn",
      ({ detail: { last } }) => last >= this.#calls.length - 40 && this.#more(),
    );
    this.search = el("input", {
      type: "search",
      placeholder: "Search: number, bot, id, reason",
      "aria-label": "Search calls",
      value: this.#filters.q ?? "",
      oninput: () => this.#type(),
    });
    this.scenario = el("select", {
      "aria-label": "Scenario",
      hidden: true,
      onchange: () => this.#set("scenario", this.scenario.value),
    });
    this.total = el("p.total", { role: "status" });
    this.notices = el("div.unreadable");
    this.compareBar = el("div.compare-bar", { hidden: true });
    this.element = el(
      "section.list-view",
      { "aria-label": "Calls" },
      this.#toolbar(),
      this.notices,
      this.#heading(),
      this.rows.element,
      this.compareBar,
    );
    keys.add("List", [
      [["j", "ArrowDown"], "next call", () => this.#go(1)],
      [["k", "ArrowUp"], "previous call", () => this.#go(-1)],
      [["Enter"], "open it", () => this.#open()],
      [["x"], "choose it for a comparison", () => this.#choose(this.#calls[this.#at])],
      [["/"], "search", () => this.search.focus()],
      [["?"], "this list", () => keys.showHelp()],
    ]);
  }

  begin() {
    document.title = "Calls · botrun";
    this.#load();
    setInterval(
      () =>
        document.visibilityState === "visible" && this.rows.element.scrollTop < 200 && this.#load({ quietly: true }),
      REFRESH_MS,
    );
  }

  // ------------------------------------------------------------ filters

  #toolbar() {
    this.chips = FILTERS.map(([name, text]) =>
      el(
        "button.filter",
        {
          type: "button",
          "aria-pressed": String(Boolean(this.#filters[name])),
          "data-name": name,
          onclick: () => this.#set(name, !this.#filters[name]),
        },
        text,
      ),
    );
    return el(
      "div.toolbar",
      {},
      el("label.search", {}, icon("search"), this.search),
      el("div.filters", { role: "group", "aria-label": "Filters" }, this.chips, this.scenario),
      this.total,
    );
  }

  #type() {
    clearTimeout(this.#typed);
    this.#typed = setTimeout(() => this.#set("q", this.search.value.trim()), TYPED_MS);
  }

  #set(name, value) {
    this.#filters[name] = value;
    for (const chip of this.chips) chip.setAttribute("aria-pressed", String(Boolean(this.#filters[chip.dataset.name])));
    const query = new URLSearchParams(
      Object.entries(this.#filters)
        .filter(([, each]) => each)
        .map(([key, each]) => [key, each === true ? "1" : each]),
    );
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    this.rows.element.scrollTop = 0;
    this.#load();
  }

  #query() {
    return Object.fromEntries(
      Object.entries(this.#filters)
        .filter(([, value]) => value)
        .map(([name, value]) => [name, value === true ? "true" : value]),
    );
  }

  // ------------------------------------------------------------ loading

  async #load({ quietly = false } = {}) {
    const asked = (this.#asked += 1);
    try {
      const list = await listCalls({ ...this.#query(), limit: PAGE });
      if (asked !== this.#asked) return;
      this.failure = null;
      const selected = this.#calls[this.#at]?.id;
      const before = JSON.stringify(this.#calls.slice(0, PAGE));
      this.unreadable(list.unreadable ?? []);
      if (quietly && before === JSON.stringify(list.calls)) return;
      this.#calls = list.calls;
      this.#next = list.next;
      this.#at = this.#calls.findIndex(({ id }) => id === selected);
      this.#scenarios();
      this.rows.items = this.#calls;
      this.#count(list.total);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.total.textContent = "";
      this.notices.replaceChildren(
        el("p.problem", { "data-tone": "bad" }, icon("alert"), `The list cannot be loaded: ${error.message}`),
      );
    }
  }

  async #more() {
    if (this.#loading || !this.#next) return;
    this.#loading = true;
    const asked = this.#asked;
    try {
      const list = await listCalls({ ...this.#query(), limit: PAGE, before: this.#next });
      if (asked !== this.#asked) return;
      this.#calls.push(...list.calls);
      this.#next = list.next;
      this.rows.grow();
    } finally {
      this.#loading = false;
    }
  }

  #count(total) {
    const filtered = Object.values(this.#filters).some(Boolean);
    this.total.textContent = count(total, filtered ? "match" : "call", filtered ? "matches" : "calls");
    this.element.classList.toggle("empty", !total);
    this.hint?.remove();
    if (total) return;
    this.hint = el(
      "div.empty-page",
      {},
      el("h2", {}, filtered ? "No call matches" : "No calls yet"),
      el(
        "p",
        {},
        filtered
          ? "Change the search or the filters."
          : "Talk to the bot, or call it: every call of this machine is recorded and appears here.",
      ),
    );
    this.rows.element.after(this.hint);
  }

  #scenarios() {
    const names = [...new Set(this.#calls.map(({ scenario }) => scenario).filter(Boolean))].sort();
    const chosen = this.#filters.scenario ?? "";
    if (chosen && !names.includes(chosen)) names.push(chosen);
    this.scenario.hidden = !names.length;
    this.scenario.replaceChildren(new Option("All scenarios", ""), ...names.map((name) => new Option(name, name)));
    this.scenario.value = chosen;
  }

  unreadable(records) {
    this.notices.replaceChildren(
      ...(records.length
        ? [
            el(
              "details.problem",
              { "data-tone": "fair" },
              el("summary", {}, icon("alert"), `${count(records.length, "record")} cannot be read`),
              el(
                "ul",
                {},
                records.slice(0, 50).map(({ problem }) => el("li", {}, problem)),
              ),
            ),
          ]
        : []),
    );
  }

  // ------------------------------------------------------------ rows

  #heading() {
    return el(
      "div.call-row.heading",
      { "aria-hidden": "true" },
      ["", "When", "Call", "What happened", "Length", "Answers", "Slowest", ""].map((text) => el("span", {}, text)),
    );
  }

  #row(call, index) {
    const state = call.state === "running" ? "running" : call.failed ? "failed" : call.slow ? "slow" : "good";
    const choose = el("button.choose", {
      type: "button",
      "aria-pressed": String(this.#chosen.has(call.id)),
      "aria-label": "Choose for a comparison",
      title: "Choose for a comparison (x)",
      onclick: (event) => {
        event.preventDefault();
        this.#choose(call);
      },
    });
    return el(
      `a.call-row${index === this.#at ? ".current" : ""}`,
      { href: `calls?call=${encodeURIComponent(call.id)}`, "data-state": state, "data-id": call.id },
      el("span.state", { title: STATES[state] }),
      el("span.when", {}, el("b", {}, day(call.started)), el("small", {}, timeOfDay(call.started))),
      el(
        "span.who",
        {},
        el("b", {}, call.bot || "bot"),
        el("small", {}, [transport(call.transport), whoCalled(call)].filter(Boolean).join(" · ")),
      ),
      el("span.what", {}, this.#what(call, state)),
      el("span.length", {}, call.state === "running" ? "live" : duration(call.duration_s)),
      el(
        "span.median",
        { "data-tone": tone(call.turn_p50_s) },
        call.turns ? `${call.turns} × ${seconds(call.turn_p50_s)}` : "–",
      ),
      el("span.slowest", { "data-tone": tone(call.turn_max_s) }, seconds(call.turn_max_s)),
      choose,
    );
  }

  #what(call, state) {
    if (call.problem) return el("b.bad", { title: call.problem }, call.problem);
    if (call.state === "running") return el("b.good", {}, "in progress");
    const parts = [call.end_text || call.end_reason];
    if (call.interruptions) parts.push(count(call.interruptions, "interruption"));
    if (call.errors) parts.push(count(call.errors, "error"));
    if (state === "slow") parts.push("a slow answer");
    const text = parts.filter(Boolean).join(" · ");
    return el("span", { title: text }, text);
  }

  // ------------------------------------------------------------ keyboard

  #go(by) {
    if (!this.#calls.length) return;
    this.#at = Math.min(Math.max(this.#at + by, 0), this.#calls.length - 1);
    this.rows.show(this.#at);
    this.rows.refresh();
    this.rows.rowAt(this.#at)?.focus({ preventScroll: true });
  }

  #open() {
    const call = this.#calls[this.#at];
    if (call) location.href = `calls?call=${encodeURIComponent(call.id)}`;
  }

  #choose(call) {
    if (!call) return;
    if (!this.#chosen.delete(call.id)) this.#chosen.add(call.id);
    if (this.#chosen.size > 2) this.#chosen.delete(this.#chosen.values().next().value);
    const chosen = [...this.#chosen];
    this.compareBar.hidden = !chosen.length;
    const ready = chosen.length === 2;
    this.compareBar.replaceChildren(
      el("span", {}, ready ? "Two calls chosen" : "Choose one more call to compare"),
      ...(ready
        ? [el("a.done", { href: `calls?compare=${chosen.map(encodeURIComponent).join(",")}` }, "Compare")]
        : []),
      el(
        "button.ghost",
        {
          type: "button",
          "aria-label": "Choose none",
          onclick: () => {
            this.#chosen.clear();
            this.compareBar.hidden = true;
            this.rows.refresh();
          },
        },
        icon("close"),
      ),
    );
    this.rows.refresh();
  }
}

const STATES = {
  running: "in progress",
  failed: "failed",
  slow: "an answer took longer than 1.5 s",
  good: "no problem seen",
};
