// One call: its head, its problems, its timeline, and everything about it below.

import { Answers } from "./answers.js";
import { Said } from "./conversation.js";
import { byId, el } from "./dom.js";
import { headOf, problemList } from "./head.js";
import { Live } from "./live.js";
import { CallModel } from "./model.js";
import { Overview } from "./overview.js";
import { Details, facts, toolList } from "./pieces.js";
import { Player } from "./player.js";
import { ServedCall } from "./source.js";
import { Messages, eventTable, logTable } from "./tables.js";
import { Timeline } from "./timeline.js";
import { hideTip, showTip } from "./tip.js";
import { TransportBar } from "./transport.js";
import { Waves } from "./waves.js";
import { LANES, SEGMENTS, clock, day, seconds, short, timeOfDay } from "./words.js";

const START_S = 40; // a long call opens with so much of it in view
const TABS = [
  ["answers", "Answers"],
  ["said", "Conversation"],
  ["tools", "Tools"],
  ["messages", "Messages"],
  ["log", "Log"],
  ["events", "Events"],
  ["facts", "About"],
];

export class CallView {
  static async open(source, keys) {
    const detail = await source.detail();
    const { id } = detail.summary;
    if (source.saved || source.id === id) return new CallView(source, detail, keys);
    // Asked for as "last" or by a part of its id: from now on the page names this very call.
    history.replaceState(null, "", `${location.pathname}?call=${encodeURIComponent(id)}${location.hash}`);
    return new CallView(new ServedCall(id), detail, keys);
  }

  constructor(source, detail, keys) {
    this.source = source;
    this.model = new CallModel(detail);
    this.waves = new Waves(
      detail.sound ? source : { dense: source.dense, peaks: async () => ({ caller: [], bot: [] }) },
      this.model.duration,
    );
    this.player = new Player(detail.sound ? source.soundUrl : "");
    this.timeline = new Timeline(this.model, this.waves, { label: "The call’s sound and what happened, over time" });
    this.overview = new Overview(this.model, this.waves);
    this.details = new Details({ go: (at) => this.go(at) });
    this.transport = new TransportBar(this.player, this.overview, this.timeline, {
      copyLink: (link) => this.#copyLink(link),
    });
    this.answers = new Answers();
    this.said = new Said();
    this.messages = new Messages(source);
    this.events = eventTable();
    this.log = logTable();
    this.head = el("div.head-slot");
    this.problems = el("div.problem-slot");
    this.element = el(
      "section.call-view",
      { "aria-label": "Call" },
      this.head,
      this.problems,
      this.transport.element,
      this.timeline.element,
      this.#tabs(),
      this.details.element,
    );
    this.#connect();
    this.#keys(keys);
    this.#show();
    this.#loadEvents();
    byId("where").textContent = source.saved ? "a saved call" : "all calls";
  }

  begin() {
    this.#openMoment();
    if (this.model.summary.state === "running" && !this.source.saved) this.live = new Live(this).start();
  }

  get position() {
    return this.player.position;
  }

  // ------------------------------------------------------------ showing

  #show() {
    const { summary } = this.model;
    document.title = `${summary.bot || "Call"} ${day(summary.started)} ${timeOfDay(summary.started)} · botrun`;
    this.head.replaceChildren(headOf(this.model));
    this.problems.replaceChildren(problemList(this.model, (at) => this.go(at)));
    this.transport.lasts(this.model.duration);
    this.answers.update(this.model.answers);
    this.said.update(this.model);
    this.panels.tools.replaceChildren(toolList(this.model, (at) => this.go(at)));
    this.panels.facts.replaceChildren(facts(this.model));
    this.#counts();
  }

  // Of a running call there is more.
  update(detail) {
    this.model.update(detail);
    this.timeline.changed(this.model);
    this.overview.changed(this.model);
    this.#show();
  }

  // The call is over: now all of its sound is there.
  soundChanged() {
    if (this.model.detail.sound) this.player.load(this.source.soundUrl);
  }

  addEvents(events) {
    const known = new Set(this.all.map(({ line }) => line));
    this.all.push(...events.filter(({ line }) => !known.has(line)));
    this.events.update(this.all);
    this.log.update(this.all);
    this.#counts();
  }

  all = [];

  async #loadEvents() {
    try {
      this.addEvents(await this.source.events());
    } catch (error) {
      this.events.table.total.textContent = error.message;
    }
  }

  #counts() {
    const { detail, answers } = this.model;
    const numbers = {
      answers: answers.length,
      said: detail.words.length,
      tools: detail.spans.filter(({ lane, detail: each }) => lane === "tool" && each.name !== undefined).length,
      messages: detail.messages,
      log: this.log.table.shown.length,
      events: detail.events,
    };
    for (const [name, number] of Object.entries(numbers))
      this.tabs[name].querySelector("small").textContent = number ? number.toLocaleString() : "";
  }

  // ------------------------------------------------------------ tabs

  #tabs() {
    this.tabs = {};
    this.panels = {};
    const content = {
      answers: this.answers.element,
      said: this.said.element,
      messages: this.messages.element,
      log: this.log.element,
      events: this.events.element,
    };
    for (const [name, text] of TABS) {
      this.tabs[name] = el(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-controls": `panel-${name}`,
          onclick: () => this.openTab(name),
        },
        text,
        el("small"),
      );
      this.panels[name] = el(
        "div.panel",
        { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true },
        content[name],
      );
    }
    const view = el(
      "div.tabs-view",
      {},
      el("div.tabs", { role: "tablist", "aria-label": "The call" }, Object.values(this.tabs)),
      Object.values(this.panels),
    );
    this.openTab("answers");
    return view;
  }

  openTab(name) {
    this.tab = name;
    for (const [each] of TABS) {
      this.tabs[each].setAttribute("aria-selected", String(each === name));
      this.panels[each].hidden = each !== name;
    }
    if (name === "messages") this.messages.load();
    this.#follow(this.position, true);
  }

  // ------------------------------------------------------------ moving

  // Listen from there, and show it.
  go(at) {
    this.player.seek(at);
    this.timeline.reveal(at);
  }

  select(answer, { play = false } = {}) {
    this.selected = answer;
    this.timeline.selected = answer;
    this.answers.select(answer);
    this.go(answer.from_s);
    if (play) this.playTurn(answer);
  }

  // The caller's words before an answer, the silence, and the answer.
  playTurn(answer) {
    const { words } = this.model;
    const before = words.caller.findLast((word) => word.from_s < answer.from_s + 0.05);
    const after = words.bot.find((word) => word.to_s > answer.to_s);
    const next = this.model.answers.find((each) => each.n > answer.n);
    const from = before && answer.from_s - before.from_s < 15 ? before.from_s : answer.from_s - 2;
    const to = Math.min(after ? after.to_s + 0.2 : answer.to_s + 3, next ? next.from_s : Infinity);
    this.timeline.reveal(from);
    this.player.playPart(Math.max(0, from - 0.1), to);
  }

  step(by) {
    const { answers } = this.model;
    if (!answers.length) return;
    const index = this.selected
      ? answers.findIndex(({ n }) => n === this.selected.n) + by
      : by > 0
        ? this.model.answerNear(this.position) + 1
        : this.model.answerNear(this.position);
    this.select(answers[Math.min(Math.max(index, 0), answers.length - 1)]);
  }

  #follow(at, jump) {
    if (this.tab === "said") this.said.moveTo(at);
    const table = { messages: this.messages.table, log: this.log.table, events: this.events.table }[this.tab];
    table?.moveTo(at, jump);
  }

  #connect() {
    const { player, timeline, overview } = this;
    player.addEventListener("move", ({ detail: { at, jumped } }) => {
      timeline.moveTo(at);
      overview.moveTo(at);
      if (player.playing && !jumped) timeline.reveal(at, { margin: 0.1 });
      this.#follow(at, jumped || player.playing);
      if (jumped) this.#remember(at);
    });
    player.addEventListener("change", () => !player.playing && this.#remember(player.position));
    timeline.addEventListener("seek", ({ detail }) => player.seek(detail));
    timeline.addEventListener("select", ({ detail: { kind, span, lane } }) => this.#selectHit(kind, span, lane));
    timeline.addEventListener("view", () => overview.frame(timeline.view));
    timeline.addEventListener("hover", ({ detail }) =>
      detail ? showTip(detail.x, detail.y, ...tipOf(detail)) : hideTip(),
    );
    overview.addEventListener("seek", ({ detail }) => this.go(detail));
    overview.addEventListener("pan", ({ detail }) => timeline.pan(detail));
    this.answers.addEventListener("select", ({ detail }) => this.select(detail));
    this.answers.addEventListener("play", ({ detail }) => this.select(detail, { play: true }));
    this.said.addEventListener("go", ({ detail }) => this.go(detail));
    this.said.addEventListener("play", ({ detail: [from, to] }) => {
      timeline.reveal(from);
      player.playPart(from, to);
    });
    for (const table of [this.events.table, this.log.table])
      table.addEventListener("select", ({ detail: { item } }) => this.#selectItem(item, "event"));
    this.messages.table.addEventListener("select", ({ detail: { item } }) => this.#selectItem(item, "message"));
    window.addEventListener("hashchange", () => this.#openMoment());
  }

  #selectHit(kind, span, lane) {
    if (kind === "answer") {
      this.openTab("answers");
      this.selected = span;
      this.answers.select(span);
    } else this.details.span(span, LANES[span.lane] ?? lane);
    this.timeline.selected = span;
    this.timeline.redraw();
  }

  #selectItem(item, kind) {
    this.details[kind](item);
    this.player.seek(item.t);
    this.timeline.reveal(item.t);
  }

  // ------------------------------------------------------------ links to a moment

  #openMoment() {
    const startS = this.timeline.gutter ? START_S : START_S / 2;
    const wanted = new URLSearchParams(location.hash.slice(1));
    const at = Number(wanted.get("t"));
    if (wanted.get("tab") in this.panels) this.openTab(wanted.get("tab"));
    if (wanted.has("t") && at >= 0) {
      const span = Math.min(this.model.duration, 20);
      this.timeline.show(at - span / 3, at + (span * 2) / 3);
      this.player.seek(Math.min(at, this.model.duration));
    } else if (this.model.duration > startS * 2) this.timeline.show(0, startS);
    else this.timeline.show(0, this.model.duration);
  }

  #remember(at) {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const url = `${location.pathname}${location.search}#t=${at.toFixed(1)}`;
      if (at > 0 || location.hash) history.replaceState(null, "", url);
    }, 250);
  }

  async #copyLink(link) {
    const url = `${location.href.split("#")[0]}#t=${this.position.toFixed(1)}`;
    history.replaceState(null, "", url);
    await navigator.clipboard?.writeText(url).catch(() => {});
    link.classList.add("copied");
    setTimeout(() => link.classList.remove("copied"), 1200);
  }

  // ------------------------------------------------------------ keyboard

  #keys(keys) {
    const jump = (seconds) => (event) => this.go(Math.max(0, this.position + seconds * (event.shiftKey ? 5 : 1)));
    keys.add("Listen", [
      [[" "], "play, pause", () => this.player.toggle()],
      [
        ["ArrowLeft", "ArrowRight"],
        "1 s back, ahead; 5 s with Shift",
        (event) => jump(event.key === "ArrowLeft" ? -1 : 1)(event),
      ],
      [["j", "k"], "next, previous answer", (event) => this.step(event.key === "j" ? 1 : -1)],
      [["p"], "listen to this turn alone", () => this.selected && this.playTurn(this.selected)],
      [
        ["1", "2", "3"],
        "hear both, the caller, the bot",
        (event) => this.player.listenTo(["both", "caller", "bot"][event.key - 1]),
      ],
    ]);
    keys.add("Look", [
      [["+", "-"], "zoom in, out", (event) => this.timeline.zoom(event.key === "+" ? 1.6 : 1 / 1.6)],
      [["0"], "show the whole call", () => this.timeline.fit()],
      [["["], "the part before", () => this.timeline.pan((this.timeline.view.from - this.timeline.view.to) * 0.8)],
      [["]"], "the part after", () => this.timeline.pan((this.timeline.view.to - this.timeline.view.from) * 0.8)],
      [
        ["a", "c", "m", "l", "e"],
        "answers, conversation, messages, log, events",
        (event) => this.openTab({ a: "answers", c: "said", m: "messages", l: "log", e: "events" }[event.key]),
      ],
      [["/"], "filter", () => this.panels[this.tab].querySelector("input")?.focus()],
      [["Escape"], "close the details; then all calls", () => this.#back()],
      [["?"], "this list", () => keys.showHelp()],
    ]);
  }

  #back() {
    if (!this.details.element.hidden) this.details.close();
    else if (!this.source.saved) location.href = "calls";
  }
}

function tipOf({ kind, span, who }) {
  const when = `${clock(span.from_s, 2)}${span.to_s > span.from_s ? `, for ${short(span.to_s - span.from_s)}` : ""}`;
  if (kind === "answer") {
    const parts = span.segments
      .filter((each) => each.seconds > 0.0005)
      .map((each) =>
        el(
          "li",
          { style: { "--c": `var(--seg-${each.name})` } },
          el("span", {}, SEGMENTS[each.name]?.[0] ?? each.name),
          el("b", {}, short(each.seconds)),
        ),
      );
    return [
      el("b", {}, `Answer ${span.n} after ${seconds(span.silence_s)}`),
      el("ul.legend.tall", {}, parts),
      ...span.notes.map((note) => el("p", {}, note)),
    ];
  }
  if (kind === "word")
    return [el("b", {}, who === "bot" ? "Bot" : "Caller"), el("p", {}, span.text), el("p.soft", {}, when)];
  if (kind === "speech")
    return [el("b", {}, who === "bot" ? "The bot is heard" : "The caller speaks"), el("p.soft", {}, when)];
  const service = span.detail.service ?? span.detail.processor;
  return [
    el("b", {}, LANES[span.lane] ?? span.lane),
    span.label ? el("p", {}, span.label) : "",
    el("p.soft", {}, [when, service, span.detail.model].filter(Boolean).join(" · ")),
  ];
}
