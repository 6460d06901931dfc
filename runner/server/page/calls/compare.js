// Two calls: their figures side by side, their timelines under each other in one scale, and answer by answer.

import { answerRow, averageOf, legend } from "./answers.js";
import { byId, el } from "./dom.js";
import { headOf, problemList } from "./head.js";
import { CallModel } from "./model.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import { Waves } from "./waves.js";
import { seconds } from "./words.js";

export class CompareView {
  static async open(sources, keys) {
    return new CompareView(sources, await Promise.all(sources.map((source) => source.detail())), keys);
  }

  constructor(sources, details, keys) {
    this.sides = details.map((detail, index) => new Side(sources[index], detail, index));
    this.longest = Math.max(...this.sides.map(({ model }) => model.duration));
    for (const side of this.sides) {
      side.model.duration = this.longest; // one scale
      side.timeline.show(0, this.longest);
      side.timeline.addEventListener("view", () => this.#follow(side));
      side.timeline.addEventListener("seek", ({ detail }) => this.#listen(side, detail));
      side.player.addEventListener("move", ({ detail: { at } }) => side.timeline.moveTo(at));
    }
    this.active = this.sides[0];
    this.element = el(
      "section.compare-view",
      { "aria-label": "Two calls" },
      el(
        "div.sides",
        {},
        this.sides.map((side) => side.head),
      ),
      el(
        "div.side-timelines",
        {},
        this.sides.map((side) =>
          el("div.side-timeline", { "data-side": side.name }, el("h3", {}, side.title), side.timeline.element),
        ),
      ),
      el("h2", {}, "Answer by answer"),
      legend(this.sides.flatMap(({ model }) => model.answers)),
      this.#pairs(),
    );
    keys.add("Compare", [
      [[" "], "play, pause the call that was clicked last", () => this.active.player.toggle()],
      [["+", "-"], "zoom in, out", (event) => this.active.timeline.zoom(event.key === "+" ? 1.6 : 1 / 1.6)],
      [["0"], "show everything", () => this.active.timeline.fit()],
      [["Escape"], "all calls", () => (location.href = "calls")],
      [["?"], "this list", () => keys.showHelp()],
    ]);
    document.title = "Two calls · botrun";
    byId("where").textContent = "all calls";
  }

  // Both show the same time.
  #follow(side) {
    if (this.following) return;
    this.following = true;
    for (const other of this.sides)
      if (other !== side) other.timeline.show(side.timeline.view.from, side.timeline.view.to);
    this.following = false;
  }

  #listen(side, at) {
    for (const other of this.sides) if (other !== side) other.player.pause();
    this.active = side;
    side.player.seek(at);
    side.player.play();
  }

  #pairs() {
    const [one, other] = this.sides.map(({ model }) => model.answers);
    const scale = Math.max(1, ...[...one, ...other].map(({ silence_s }) => silence_s));
    const rows = [];
    for (let n = 0; n < Math.max(one.length, other.length); n++) {
      const change = one[n] && other[n] ? other[n].silence_s - one[n].silence_s : null;
      rows.push(
        el(
          "div.pair-row",
          {},
          [one[n], other[n]].map((answer, index) =>
            answer
              ? answerRow(answer, scale, {
                  play: () => this.#listen(this.sides[index], Math.max(0, answer.from_s - 2)),
                  onclick: () => this.sides[index].timeline.reveal(answer.from_s),
                })
              : el("div.answer.none", {}, el("p.soft", {}, "no such answer")),
          ),
          el(
            "b.change",
            { "data-tone": change === null || Math.abs(change) < 0.05 ? "" : change > 0 ? "bad" : "good" },
            change === null ? "" : `${change > 0 ? "+" : "−"}${seconds(Math.abs(change))}`,
          ),
        ),
      );
    }
    return el("div.pairs", {}, rows.length ? rows : el("p.soft", {}, "Neither call has an answer."));
  }
}

class Side {
  constructor(source, detail, index) {
    this.name = "AB"[index];
    this.model = new CallModel(detail);
    this.waves = new Waves(
      detail.sound ? source : { peaks: async () => ({ caller: [], bot: [] }) },
      this.model.duration,
    );
    this.player = new Player(detail.sound ? source.soundUrl : "");
    this.timeline = new Timeline(this.model, this.waves, { label: `Call ${this.name} over time`, compact: true });
    this.title = `Call ${this.name}`;
    const problems = problemList(this.model, (at) => this.timeline.reveal(at));
    const link = el("a", { href: `calls?call=${encodeURIComponent(source.id)}` }, "Open");
    this.head = el(
      "div.side",
      { "data-side": this.name },
      el("p.side-name", {}, this.title, link),
      headOf(this.model),
      this.model.answers.length ? averageOf(this.model.answers) : null,
      problems,
    );
  }
}
