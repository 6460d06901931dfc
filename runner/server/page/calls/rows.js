// A list of any length that has only its visible rows in the document.

import { el } from "./dom.js";

const SPARE = 8;

export class Rows {
  #render;
  #inner = el("div.rows-inner");
  #shown = new Map();
  #items = [];
  #frame = 0;

  // `render(item, index)` gives a row's element; all rows are `rowHeight` px high.
  constructor(render, { rowHeight, label, fill = false }) {
    this.#render = render;
    this.rowHeight = rowHeight;
    this.element = el(
      `div.rows${fill ? ".fill" : ""}`,
      { tabindex: "0", role: "list", "aria-label": label },
      this.#inner,
    );
    this.element.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(this.element);
  }

  get items() {
    return this.#items;
  }

  set items(items) {
    this.#items = items;
    this.#inner.style.height = `${items.length * this.rowHeight}px`;
    this.refresh();
  }

  // Draw every visible row again.
  refresh() {
    for (const row of this.#shown.values()) row.remove();
    this.#shown.clear();
    this.#draw();
  }

  // More at the end: what is visible stays.
  grow() {
    this.#inner.style.height = `${this.#items.length * this.rowHeight}px`;
    this.#soon();
  }

  show(index, { center = false } = {}) {
    const { clientHeight, scrollTop } = this.element;
    const top = index * this.rowHeight;
    if (center) this.element.scrollTop = top - clientHeight / 2;
    else if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight)
      this.element.scrollTop = top + this.rowHeight - clientHeight;
  }

  rowAt(index) {
    return this.#shown.get(index);
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - SPARE);
    const last = Math.min(this.#items.length, Math.ceil((scrollTop + (clientHeight || 600)) / this.rowHeight) + SPARE);
    for (const [index, row] of this.#shown) {
      if (index >= first && index < last) continue;
      row.remove();
      this.#shown.delete(index);
    }
    for (let index = first; index < last; index++) {
      if (this.#shown.has(index)) continue;
      const row = this.#render(this.#items[index], index);
      row.style.transform = `translateY(${index * this.rowHeight}px)`;
      row.style.height = `${this.rowHeight}px`;
      row.setAttribute("role", "listitem");
      this.#shown.set(index, row);
      this.#inner.append(row);
    }
    this.element.dispatchEvent(new CustomEvent("drawn", { detail: { first, last } }));
  }
}
