// The keyboard: what each key does, and the dialog that lists it.

import { button, el } from "./dom.js";

export class Keys {
  #dialog;
  #sections = [];
  #actions = new Map();

  constructor(dialog) {
    this.#dialog = dialog;
    this.#actions.set("?", () => this.showHelp());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  // rows: [[keys], what it does, action(event)]
  add(title, rows) {
    this.#sections.push({ title, rows });
    for (const [keys, , action] of rows) for (const key of keys) this.#actions.set(key, action);
  }

  showHelp() {
    const rows = (section) =>
      section.rows.map(([keys, text]) =>
        el(
          "div.key-row",
          {},
          el(
            "dt",
            {},
            keys.map((key) => el("kbd", {}, NAMES[key] ?? key)),
          ),
          el("dd", {}, text),
        ),
      );
    this.#dialog.replaceChildren(
      el(
        "form",
        { method: "dialog" },
        el("h2", { id: "help-title" }, "Keyboard"),
        ...this.#sections.map((section) => el("dl.key-list", {}, el("h3", {}, section.title), rows(section))),
        button("Done", () => this.#dialog.close(), { class: "done" }),
      ),
    );
    this.#dialog.showModal();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#dialog.open) return;
    const typing = event.target.closest?.("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === " " && event.target.closest?.("button, a")) return; // it presses that
    const action = this.#actions.get(event.key);
    if (!action || (event.key === "Enter" && event.target.closest?.("button, a"))) return;
    event.preventDefault();
    action(event);
  }
}

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };
