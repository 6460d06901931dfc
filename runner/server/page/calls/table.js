// A filterable list of things that happened at a time: messages, events, log lines.

import { el, icon } from "./dom.js";
import { Rows } from "./rows.js";

const ROW_PX = 30;

// Events: "select" (an item). `columns(item)` gives the cells of a row; `text(item)` what the filter looks in.
export class Table extends EventTarget {
  #all = [];
  #text;
  #accepts = () => true;
  #now = -1;
  #selected = null;

  constructor({ name, columns, text, placeholder }) {
    super();
    this.#text = text;
    this.rows = new Rows((item, index) => this.#row(columns, item, index), { rowHeight: ROW_PX, label: name });
    this.rows.element.classList.add("table", name);
    this.filter = el("input", { type: "search", placeholder, "aria-label": placeholder, oninput: () => this.apply() });
    this.tools = el("div.filters");
    this.total = el("p.total", { role: "status" });
    this.element = el(
      "div.table-view",
      {},
      el("div.toolbar", {}, el("label.search", {}, icon("search"), this.filter), this.tools, this.total),
      this.rows.element,
    );
  }

  get shown() {
    return this.rows.items;
  }

  set accepts(accepts) {
    this.#accepts = accepts;
    this.apply();
  }

  set items(items) {
    this.#all = items;
    this.apply();
  }

  apply() {
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = this.#all.filter(
      (item) => this.#accepts(item) && (!wanted || this.#text(item).toLowerCase().includes(wanted)),
    );
    this.rows.items = shown;
    this.total.textContent =
      shown.length === this.#all.length
        ? shown.length.toLocaleString()
        : `${shown.length.toLocaleString()} of ${this.#all.length.toLocaleString()}`;
  }

  // Mark what had happened at a time; `jump` shows it.
  moveTo(at, jump) {
    const items = this.rows.items;
    let low = 0;
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (items[middle].t <= at + 0.0005) low = middle + 1;
      else high = middle;
    }
    if (low - 1 === this.#now) return;
    this.rows.rowAt(this.#now)?.classList.remove("now");
    this.#now = low - 1;
    this.rows.rowAt(this.#now)?.classList.add("now");
    if (jump && this.#now >= 0) this.rows.show(this.#now, { center: true });
  }

  #row(columns, item, index) {
    return el(
      `div.table-row${index === this.#now ? ".now" : ""}${item === this.#selected ? ".current" : ""}`,
      { onclick: () => this.#select(item, index) },
      columns(item),
    );
  }

  #select(item, index) {
    this.#selected = item;
    this.rows.refresh();
    this.dispatchEvent(new CustomEvent("select", { detail: { item, row: this.rows.rowAt(index) } }));
  }
}
