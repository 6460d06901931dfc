// The whole call in one line: click to listen from there, drag the frame to move the view.

import { el } from "./dom.js";
import { onTheme, sized, theme } from "./theme.js";
import { SLOW_S } from "./words.js";

const HEIGHT_PX = 44;

export class Overview extends EventTarget {
  #canvas = el("canvas");
  #head = el("div.playhead");
  #frameOfView = el("div.brush");
  #model;
  #waves;
  #frame = 0;

  constructor(model, waves) {
    super();
    this.#model = model;
    this.#waves = waves;
    this.element = el(
      "div.overview",
      { title: "Click to listen from there" },
      this.#canvas,
      this.#frameOfView,
      this.#head,
    );
    waves.addEventListener("change", () => this.redraw());
    onTheme(() => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(this.element);
    this.#listen();
  }

  changed(model) {
    this.#model = model;
    this.redraw();
  }

  moveTo(at) {
    this.#head.style.transform = `translateX(${(at / this.#model.duration) * this.element.clientWidth}px)`;
  }

  frame({ from, to }) {
    const { duration } = this.#model;
    const all = to - from >= duration * 0.999;
    this.#frameOfView.hidden = all;
    this.#frameOfView.style.left = `${(from / duration) * 100}%`;
    this.#frameOfView.style.width = `${((to - from) / duration) * 100}%`;
  }

  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const context = sized(this.#canvas, width, HEIGHT_PX);
    const colours = theme();
    const { duration, answers, lanes } = this.#model;
    context.clearRect(0, 0, width, HEIGHT_PX);
    const middle = HEIGHT_PX / 2;
    for (const [who, up] of [
      ["caller", true],
      ["bot", false],
    ]) {
      const read = this.#waves.read(who, 0, duration / width, Math.ceil(width));
      context.fillStyle = who === "caller" ? colours.you : colours.bot;
      context.beginPath();
      for (let n = 0; n * 2 < read.length; n++) {
        const tall = (Math.max(read[n * 2 + 1], -read[n * 2]) / 127) ** 0.75 * (middle - 4);
        context.rect(n, up ? middle - 1 - tall : middle + 1, 1, tall);
      }
      context.fill();
    }
    context.fillStyle = colours.line;
    context.fillRect(0, middle - 0.5, width, 1);
    context.fillStyle = colours.bad;
    for (const answer of answers)
      if (answer.silence_s > SLOW_S)
        context.fillRect(
          (answer.from_s / duration) * width,
          middle - 2,
          Math.max(2, (answer.silence_s / duration) * width),
          4,
        );
    for (const { spans } of lanes)
      for (const span of spans)
        if (span.bad)
          context.fillRect(
            (span.from_s / duration) * width - 1,
            HEIGHT_PX - 3,
            Math.max(3, ((span.to_s - span.from_s) / duration) * width),
            3,
          );
  }

  #listen() {
    let drag = null;
    const at = (event) => {
      const { left, width } = this.element.getBoundingClientRect();
      return Math.min(Math.max((event.clientX - left) / width, 0), 1) * this.#model.duration;
    };
    this.element.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.element.setPointerCapture(event.pointerId);
      drag = { frame: event.target === this.#frameOfView, from: at(event), moved: false, x: event.clientX };
    });
    this.element.addEventListener("pointermove", (event) => {
      if (!drag) return;
      if (Math.abs(event.clientX - drag.x) > 3) drag.moved = true;
      if (!drag.moved) return;
      if (drag.frame) {
        this.dispatchEvent(new CustomEvent("pan", { detail: at(event) - drag.from }));
        drag.from = at(event);
      } else this.dispatchEvent(new CustomEvent("seek", { detail: at(event) }));
    });
    this.element.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) this.dispatchEvent(new CustomEvent("seek", { detail: at(event) }));
      drag = null;
    });
    this.element.addEventListener("pointercancel", () => (drag = null));
  }
}
