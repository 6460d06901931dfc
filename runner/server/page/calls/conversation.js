// What was said, in order, with the silence before each answer.

import { button, el } from "./dom.js";
import { clock, count, seconds, tone } from "./words.js";

const AT_ONCE = 150;

// Events: "go" (seconds), "play" ([from, to]).
export class Said extends EventTarget {
  #model = null;
  #shown = AT_ONCE;
  #lines = [];

  constructor() {
    super();
    this.element = el("div.said-list");
  }

  update(model) {
    this.#model = model;
    this.#draw();
  }

  moveTo(at) {
    for (const { word, line } of this.#lines) line.classList.toggle("now", at >= word.from_s && at <= word.to_s);
  }

  #draw() {
    const { detail } = this.#model;
    this.#lines = [];
    const lines = [];
    for (const word of detail.words.slice(0, this.#shown)) {
      const answer = word.speaker === "bot" && detail.answers.find((each) => Math.abs(each.to_s - word.from_s) < 0.35);
      if (answer) lines.push(el("p.gap", { "data-tone": tone(answer.silence_s) }, seconds(answer.silence_s)));
      const line = el(
        `div.turn.${word.speaker}`,
        {},
        button(clock(word.from_s), () => this.dispatchEvent(new CustomEvent("go", { detail: word.from_s })), {
          class: "time",
        }),
        el(
          "p",
          {
            title: "Click to listen",
            onclick: () => this.dispatchEvent(new CustomEvent("play", { detail: [word.from_s, word.to_s] })),
          },
          word.text,
          word.interrupted ? el("i", {}, " – interrupted") : null,
        ),
      );
      lines.push(line);
      this.#lines.push({ word, line });
    }
    const rest = detail.words.length - this.#shown;
    if (rest > 0)
      lines.push(
        button(
          `Show ${count(Math.min(rest, AT_ONCE), "more line")}`,
          () => {
            this.#shown += AT_ONCE;
            this.#draw();
          },
          { class: "filter" },
        ),
      );
    this.element.replaceChildren(
      ...(lines.length
        ? lines
        : [
            el(
              "p.soft.nothing",
              {},
              detail.call.content === "none"
                ? "Words are not recorded in this call (--record-content none)."
                : "Nothing was said yet.",
            ),
          ]),
    );
  }
}
