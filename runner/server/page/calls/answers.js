// The silence before each answer, cut into what it was spent on; the slowest first.

import { button, el, icon } from "./dom.js";
import { Rows } from "./rows.js";
import { hideTip, showTip } from "./tip.js";
import { SEGMENTS, clock, mostly, seconds, short, tone } from "./words.js";

const ROW_PX = 92;

// Events: "select" (an answer), "play" (an answer: its sound alone).
export class Answers extends EventTarget {
  #answers = [];
  #worstFirst = true;
  #selected = null;

  constructor() {
    super();
    this.rows = new Rows((answer) => this.#row(answer), { rowHeight: ROW_PX, label: "Answers" });
    this.order = button("Slowest first", () => this.#turn(), { class: "filter", "aria-pressed": "true" });
    this.average = el("div.average");
    this.element = el("div.answers", {}, this.average, this.rows.element);
  }

  get inOrder() {
    return this.rows.items;
  }

  update(answers) {
    this.#answers = answers;
    this.#sort();
    this.average.replaceChildren(
      ...(answers.length
        ? [averageOf(answers), el("div.legend-row", {}, legend(answers), this.order)]
        : [el("p.soft.nothing", {}, "The bot has not answered yet.")]),
    );
  }

  select(answer) {
    this.#selected = answer;
    const index = this.rows.items.indexOf(answer);
    if (index >= 0) this.rows.show(index);
    this.rows.refresh();
  }

  #turn() {
    this.#worstFirst = !this.#worstFirst;
    this.order.setAttribute("aria-pressed", String(this.#worstFirst));
    this.#sort();
  }

  #sort() {
    this.longest = Math.max(1, ...this.#answers.map(({ silence_s }) => silence_s));
    this.rows.items = [...this.#answers].sort((one, other) =>
      this.#worstFirst ? other.silence_s - one.silence_s : one.n - other.n,
    );
  }

  #row(answer) {
    return answerRow(answer, this.longest, {
      current: answer === this.#selected,
      onclick: () => this.dispatchEvent(new CustomEvent("select", { detail: answer })),
      play: () => this.dispatchEvent(new CustomEvent("play", { detail: answer })),
    });
  }
}

export function answerRow(answer, longest, { current = false, onclick, play }) {
  const [name, most, share] = mostly(answer);
  const why = share > 0.35 ? `mostly ${name}: ${short(most)}` : "";
  return el(
    `div.answer${current ? ".current" : ""}`,
    { "data-n": answer.n, onclick },
    el(
      "button.play",
      {
        type: "button",
        title: "Listen to this turn alone (p)",
        "aria-label": `Listen to answer ${answer.n} alone`,
        onclick: (event) => {
          event.stopPropagation();
          play?.();
        },
      },
      icon("play"),
    ),
    el(
      "div.answer-body",
      {},
      el(
        "p.said",
        {},
        el("span.n", {}, `${answer.n}`),
        el("span.you", { title: answer.user_text }, answer.user_text || "…"),
        el(
          "span.bot",
          { title: answer.bot_text },
          answer.bot_text || "…",
          answer.interrupted ? el("i", {}, " interrupted") : null,
        ),
      ),
      bar(answer.segments, answer.silence_s, longest),
      el(
        "p.notes",
        {},
        el("span.soft", {}, clock(answer.from_s)),
        why ? el("span.why", {}, why) : null,
        answer.measured === "events"
          ? el("span.soft", { title: "There is no sound in which to measure it" }, "by events")
          : null,
        answer.notes.map((note) => el("span.note", {}, note)),
      ),
    ),
    el("b.silence", { "data-tone": tone(answer.silence_s) }, seconds(answer.silence_s)),
  );
}

// A bar of segments; the whole width is `longest` seconds.
export function bar(segments, total, longest) {
  return el(
    "div.bar",
    {
      role: "img",
      "aria-label": segments
        .map((each) => `${SEGMENTS[each.name]?.[0] ?? each.name} ${short(each.seconds)}`)
        .join(", "),
    },
    segments
      .filter((each) => each.seconds > 0.0005)
      .map((each) => {
        const [name, meaning] = SEGMENTS[each.name] ?? [each.name, ""];
        const wide = (each.seconds / longest) * 100;
        return el(
          "span",
          {
            "data-name": each.name,
            style: { "--c": `var(--seg-${each.name})`, width: `${wide}%` },
            onpointermove: (event) =>
              showTip(
                event.clientX,
                event.clientY,
                el("b", {}, `${name} ${short(each.seconds)}`),
                el("p", {}, meaning),
                el("p.soft", {}, `${Math.round((each.seconds / Math.max(total, 1e-9)) * 100)} % of this silence`),
              ),
            onpointerleave: hideTip,
          },
          wide > 9 ? short(each.seconds) : null,
        );
      }),
  );
}

export function averageSegments(answers) {
  const sums = new Map();
  for (const { segments } of answers)
    for (const each of segments) sums.set(each.name, (sums.get(each.name) ?? 0) + each.seconds);
  return Object.keys(SEGMENTS)
    .filter((name) => sums.has(name))
    .map((name) => ({ name, seconds: sums.get(name) / answers.length }));
}

export function averageOf(answers) {
  const segments = averageSegments(answers);
  const total = segments.reduce((sum, each) => sum + each.seconds, 0);
  return el(
    "div.average-row",
    {},
    el("span.soft", {}, "On average"),
    bar(segments, total, total),
    el("b", { "data-tone": tone(total) }, seconds(total)),
  );
}

export function legend(answers) {
  const used = new Set(
    answers.flatMap(({ segments }) => segments.filter((each) => each.seconds > 0.0005).map(({ name }) => name)),
  );
  return el(
    "ul.legend",
    { "aria-label": "Colours" },
    Object.entries(SEGMENTS)
      .filter(([name]) => used.has(name))
      .map(([name, [text, meaning]]) => el("li", { title: meaning, style: { "--c": `var(--seg-${name})` } }, text)),
  );
}
