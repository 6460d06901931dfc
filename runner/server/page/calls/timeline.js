// A call as one timeline: zoom with Ctrl and the wheel or two fingers, pan by dragging, click to listen from there.

import { el } from "./dom.js";
import { Drawing, layout } from "./draw.js";
import { onTheme, sized, theme } from "./theme.js";

const LEAST_S = 0.2; // the closest look
const CLICK_PX = 4;
const NARROW_PX = 560;
const GUTTER_PX = 92;

// Events: "seek" (seconds), "select" ({kind, span}), "hover" ({kind, span, x, y} or null), "view".
export class Timeline extends EventTarget {
  #canvas = el("canvas");
  #head = el("div.playhead");
  #model;
  #waves;
  #hits = [];
  #frame = 0;
  #pointers = new Map();
  #drag = null;
  #goal = null;

  constructor(model, waves, { label, compact = false }) {
    super();
    this.compact = compact;
    this.#model = model;
    this.#waves = waves;
    this.view = { from: 0, to: model.duration };
    this.position = 0;
    this.selected = null;
    this.following = false;
    this.drawn = 0;
    this.element = el("div.timeline", { role: "img", "aria-label": label }, this.#canvas, this.#head);
    waves.addEventListener("change", () => this.redraw());
    onTheme(() => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(this.element);
    this.#listen();
  }

  get gutter() {
    return this.element.clientWidth < NARROW_PX ? 0 : GUTTER_PX;
  }

  get scale() {
    return (this.element.clientWidth - this.gutter) / (this.view.to - this.view.from);
  }

  // ------------------------------------------------------------ the view

  show(from, to, { smooth = false } = {}) {
    const span = Math.min(Math.max(to - from, LEAST_S), this.#model.duration);
    const begin = Math.min(Math.max(0, from), this.#model.duration - span);
    const goal = { from: begin, to: begin + span };
    if (smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#goal = { ...goal, since: performance.now(), start: this.view };
    } else {
      this.#goal = null;
      this.view = goal;
    }
    this.redraw();
    this.dispatchEvent(new Event("view"));
  }

  fit() {
    this.show(0, this.#model.duration, { smooth: true });
  }

  zoom(factor, around = this.#anchor()) {
    const { from, to } = this.view;
    this.show(around - (around - from) / factor, around + (to - around) / factor);
  }

  pan(seconds) {
    this.show(this.view.from + seconds, this.view.to + seconds);
  }

  reveal(at, { margin = 0.15 } = {}) {
    const span = this.view.to - this.view.from;
    if (at < this.view.from || at > this.view.to - span * 0.02)
      this.show(at - span * margin, at + span * (1 - margin), { smooth: true });
  }

  #anchor() {
    const { from, to } = this.view;
    return this.position >= from && this.position <= to ? this.position : (from + to) / 2;
  }

  // ------------------------------------------------------------ drawing

  changed(model) {
    const atEnd = this.view.to >= this.#model.shownUntil - 0.05;
    this.#model = model;
    if (this.following && atEnd) {
      const span = Math.max(this.view.to - this.view.from, Math.min(20, model.duration));
      this.show(model.duration - span, model.duration);
    }
    model.shownUntil = model.duration;
    this.redraw();
  }

  moveTo(at) {
    this.position = at;
    this.#placeHead();
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
    if (this.#goal) this.#approach();
    const plan = layout(this.#model, this);
    this.#canvas.style.height = `${plan.height}px`;
    const context = sized(this.#canvas, width, plan.height);
    const { view, gutter, selected } = this;
    const drawing = new Drawing(context, {
      model: this.#model,
      waves: this.#waves,
      view,
      width,
      gutter,
      colours: theme(),
      selected,
    });
    drawing.draw(plan);
    this.#hits = drawing.hits;
    this.drawn += 1;
    this.#placeHead();
  }

  // A move of the view takes 180 ms.
  #approach() {
    const { from, to, since, start } = this.#goal;
    const part = Math.min(1, (performance.now() - since) / 180);
    const eased = 1 - (1 - part) ** 3;
    this.view = { from: start.from + (from - start.from) * eased, to: start.to + (to - start.to) * eased };
    if (part === 1) this.#goal = null;
    else this.redraw();
    this.dispatchEvent(new Event("view"));
  }

  #placeHead() {
    const x = this.gutter + (this.position - this.view.from) * this.scale;
    this.#head.style.transform = `translateX(${x}px)`;
    this.#head.hidden = x < this.gutter - 1 || x > this.element.clientWidth;
  }

  // ------------------------------------------------------------ pointer

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("dblclick", (event) => {
      const hit = this.#hit(event);
      if (hit) this.show(hit.span.from_s - 0.5, hit.span.to_s + 0.5, { smooth: true });
      else this.zoom(2, this.#seconds(event));
    });
  }

  #seconds(event) {
    const { left } = this.#canvas.getBoundingClientRect();
    return this.view.from + (event.clientX - left - this.gutter) / this.scale;
  }

  #wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.004)), this.#seconds(event));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.pan((event.deltaX || event.deltaY) / this.scale);
    }
  }

  #down(event) {
    if (event.button) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    this.#drag = { x: event.clientX, view: { ...this.view }, moved: false, spread: this.#spread() };
    this.#hover(null);
  }

  #move(event) {
    if (!this.#pointers.has(event.pointerId)) return this.#hover(event);
    this.#pointers.set(event.pointerId, event);
    const { x, view, spread } = this.#drag;
    if (this.#pointers.size > 1 && spread) {
      const middle =
        view.from + (spread.middle - this.gutter) / ((this.element.clientWidth - this.gutter) / (view.to - view.from));
      const factor = this.#spread().apart / spread.apart;
      this.#drag.moved = true;
      return this.show(middle - (middle - view.from) / factor, middle + (view.to - middle) / factor);
    }
    if (Math.abs(event.clientX - x) > CLICK_PX) this.#drag.moved = true;
    if (this.#drag.moved) {
      const seconds = (x - event.clientX) / this.scale;
      this.show(view.from + seconds, view.to + seconds);
    }
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (this.#pointers.size)
      return void (this.#drag = { x: [...this.#pointers.values()][0].clientX, view: { ...this.view }, moved: true });
    if (event.type === "pointerup" && !this.#drag.moved) this.#click(event);
    this.#drag = null;
  }

  #spread() {
    const [one, other] = [...this.#pointers.values()];
    if (!other) return null;
    const { left } = this.#canvas.getBoundingClientRect();
    return {
      apart: Math.max(20, Math.abs(one.clientX - other.clientX)),
      middle: (one.clientX + other.clientX) / 2 - left,
    };
  }

  #click(event) {
    const hit = this.#hit(event);
    const at = this.#seconds(event);
    if (hit && hit.kind !== "speech" && hit.kind !== "word")
      this.dispatchEvent(new CustomEvent("select", { detail: hit }));
    if (at >= this.view.from)
      this.dispatchEvent(
        new CustomEvent("seek", { detail: hit?.kind === "span" || hit?.kind === "answer" ? hit.span.from_s : at }),
      );
  }

  #hit(event) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    const x = event.clientX - left;
    const y = event.clientY - top;
    return this.#hits.findLast((hit) => x >= hit.left && x <= hit.right && y >= hit.top && y <= hit.bottom) ?? null;
  }

  #hover(event) {
    const hit = event && this.#hit(event);
    this.#canvas.style.cursor = hit ? "pointer" : "";
    this.dispatchEvent(
      new CustomEvent("hover", { detail: hit ? { ...hit, x: event.clientX, y: event.clientY } : null }),
    );
  }
}
