// The messages, the events, and the log of a call.

import { el, icon } from "./dom.js";
import { Table } from "./table.js";
import { bytes, clock } from "./words.js";

const time = (t) => el("span.t", {}, clock(t, 2));
const LONGEST = 400; // what a row shows of a text

// ------------------------------------------------------------ messages

export class Messages {
  #source;
  #withMedia = false;
  #asked = 0;
  #direction = "";
  #loaded = false;

  constructor(source) {
    this.#source = source;
    this.table = new Table({
      name: "messages",
      placeholder: "Filter messages",
      columns: messageRow,
      text: (each) => `${each.type} ${each.k} ${each.text ?? ""}`,
    });
    this.element = this.table.element;
    const direction = el(
      "select",
      {
        "aria-label": "Direction",
        onchange: () => {
          this.#direction = direction.value;
          this.#accept();
        },
      },
      [
        ["", "Both ways"],
        ["in", "From the caller"],
        ["out", "To the caller"],
      ].map(([value, text]) => new Option(text, value)),
    );
    this.media = el(
      "button.filter",
      {
        type: "button",
        "aria-pressed": "false",
        title: "Show the messages with sound, too",
        onclick: () => this.#toggle(),
      },
      "With media",
    );
    this.table.tools.append(direction, this.media);
  }

  get items() {
    return this.table.shown;
  }

  // When they are looked at for the first time, or there are new ones.
  async load(again = false) {
    if (this.#loaded && !again) return;
    this.#loaded = true;
    const asked = (this.#asked += 1);
    const all = [];
    try {
      for await (const page of this.#source.messages({ media: this.#withMedia })) {
        if (asked !== this.#asked) return;
        for (const each of page) all.push(each);
        this.table.items = all;
      }
    } catch (error) {
      this.table.total.textContent = error.message;
    }
  }

  #toggle() {
    this.#withMedia = !this.#withMedia;
    this.media.setAttribute("aria-pressed", String(this.#withMedia));
    this.load(true);
  }

  #accept() {
    this.table.accepts = ({ d }) => !this.#direction || d === this.#direction;
  }
}

function messageRow(each) {
  return [
    time(each.t),
    el(
      "span.direction",
      { "data-d": each.d, title: each.d === "in" ? "from the caller" : "to the caller" },
      icon(each.d),
    ),
    el("b.type", {}, each.type || KINDS[each.k] || each.k),
    el("span.text", {}, summary(each)),
    el("span.size", {}, bytes(each.size ?? each.n)),
  ];
}

const KINDS = { rtp: "RTP packet", pcm: "sound", binary: "binary", app: "app message", text: "text" };

function summary(each) {
  if (each.seq !== null && each.seq !== undefined)
    return `sequence ${each.seq} · timestamp ${each.ts} · ${each.n} bytes`;
  if (each.text) return each.text.slice(0, LONGEST);
  if (each.at !== null && each.at !== undefined) return `${each.n} bytes of sound`;
  return each.size ? "not kept: too large, or its content is not recorded" : "";
}

// ------------------------------------------------------------ events

const LANE_OF = {
  user: /^user_/,
  recogniser: /^(interim|final)$/,
  turn: /^(turn_ended|interruption|muted|unmuted)$/,
  llm: /^llm_/,
  tool: /^tool_/,
  voice: /^(sentence|voice_|sound_)/,
  bot: /^(bot_|heard)/,
  loop: /^(stall|error|retry|fallback)/,
  line: /^(input_stalled|key)/,
};
const BAD = /^(error|stall|input_stalled|retry|fallback|not_recorded)$/;

export function eventTable() {
  const kinds = el("select", { "aria-label": "Kind" });
  const table = new Table({
    name: "events",
    placeholder: "Filter events",
    columns: eventRow,
    text: (each) => JSON.stringify(each),
  });
  table.tools.append(kinds);
  kinds.addEventListener("change", () => (table.accepts = ({ kind }) => !kinds.value || kind === kinds.value));
  return {
    element: table.element,
    table,
    update(events) {
      const found = [...new Set(events.map(({ kind }) => kind))].sort();
      const chosen = kinds.value;
      kinds.replaceChildren(new Option("All kinds", ""), ...found.map((kind) => new Option(kind, kind)));
      kinds.value = found.includes(chosen) ? chosen : "";
      table.items = [...events].sort((one, other) => one.t - other.t);
    },
  };
}

function eventRow(each) {
  const lane = Object.keys(LANE_OF).find((name) => LANE_OF[name].test(each.kind)) ?? "none";
  return [
    time(each.t),
    el("span.dot-of", { "data-lane": lane, "data-bad": BAD.test(each.kind) || each.failed ? "" : null }),
    el("b.type", {}, each.kind),
    el("span.text", {}, fieldsOf(each)),
  ];
}

function fieldsOf(event) {
  return Object.entries(event)
    .filter(([name, value]) => !["t", "kind", "line", "seen"].includes(name) && value !== null && value !== "")
    .map(([name, value]) =>
      name === "text" || name === "message"
        ? String(value)
        : `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`,
    )
    .join(" · ")
    .slice(0, LONGEST);
}

// ------------------------------------------------------------ log

const LEVELS = ["debug", "info", "warning", "error"];

export function logTable() {
  const least = el(
    "select",
    { "aria-label": "Level" },
    LEVELS.map((level) => new Option(level === "debug" ? "All levels" : `${level} and worse`, level)),
  );
  const table = new Table({
    name: "log",
    placeholder: "Filter the log",
    columns: logRow,
    text: (each) => `${each.logger} ${each.message ?? ""}`,
  });
  table.tools.append(least);
  least.addEventListener(
    "change",
    () => (table.accepts = ({ level }) => LEVELS.indexOf(level) >= LEVELS.indexOf(least.value)),
  );
  return {
    element: table.element,
    table,
    update: (events) => (table.items = events.filter(({ kind }) => kind === "log")),
  };
}

function logRow(each) {
  return [
    time(each.t),
    el("b.level", { "data-level": each.level }, each.level),
    el("span.logger", {}, each.logger),
    el("span.text", { title: each.message }, (each.message ?? "").slice(0, LONGEST)),
  ];
}
