// The tools that a call used, the facts about it, and the details of what is selected.

import { el, icon, json } from "./dom.js";
import { bytes, clock, place, seconds, short } from "./words.js";

// ------------------------------------------------------------ tools

export function toolList(model, go) {
  const spans = model.detail.spans.filter(({ lane, detail }) => lane === "tool" && detail.name !== undefined);
  if (!spans.length) return el("p.soft.nothing", {}, "This call used no tools.");
  return el(
    "div.tool-list",
    {},
    spans.map((span) => tool(span, go)),
  );
}

function tool(span, go) {
  const { detail } = span;
  const took = detail.seconds ?? span.to_s - span.from_s;
  return el(
    "article.tool",
    { "data-bad": span.bad ? "" : null },
    el(
      "h3",
      {},
      el("code", {}, detail.name),
      el(
        "span",
        { "data-tone": span.bad ? "bad" : "good" },
        span.bad ? "failed" : detail.result === undefined ? "no result" : "done",
      ),
      el("span.soft", {}, `${short(took)}`),
      el("button.time", { type: "button", onclick: () => go(span.from_s) }, clock(span.from_s)),
    ),
    el(
      "div.pair",
      {},
      el("div", {}, el("h4", {}, "Arguments"), json(detail.arguments ?? {})),
      el(
        "div",
        {},
        el("h4", {}, "Result"),
        detail.result === undefined ? el("p.soft", {}, "none") : json(parsed(detail.result)),
      ),
    ),
  );
}

// A result that is JSON in a text, as JSON.
function parsed(value) {
  if (typeof value !== "string" || !/^[[{]/.test(value.trim())) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

// ------------------------------------------------------------ facts

export function facts({ call, summary, detail }) {
  const code = (call.code ?? []).map(
    ({ t, sha256, commit, dirty }) =>
      `${t ? `from ${clock(t)} on: ` : ""}${commit ? `commit ${commit.slice(0, 10)}${dirty ? " with changes" : ""}` : "no commit"} · file ${String(sha256).slice(0, 10)}`,
  );
  const media = Object.entries(call.media ?? {}).map(([side, each]) =>
    each ? `${side} ${each.encoding}, ${each.sample_rate / 1000} kHz` : `${side}: none`,
  );
  const rows = [
    ["Record", call.id],
    ["Session", call.session],
    ["Started", call.started],
    ["Ended", call.ended],
    ["End", [call.end?.reason, call.end?.text, call.end?.detail].filter(Boolean).join(" · ")],
    ["Transport", `${summary.transport}${summary.public ? ", through the public address" : ""}`],
    ["From, to", [call.from, call.to].filter(Boolean).join(" → ")],
    ["Call id", call.call_id],
    ["Stream id", call.stream_id],
    ["Bot", place({ file: call.bot?.file }) && `${call.bot.file}, ${call.bot.function}()`],
    ["Code", code.join("\n")],
    ["Media", media.join("\n")],
    ["Scenario", call.origin?.scenario],
    ["Contents", call.content === "none" ? "times and figures only" : "all"],
    ["Size", `${detail.events.toLocaleString()} events, ${detail.messages.toLocaleString()} messages`],
  ];
  const figures = Object.entries(call.figures ?? {}).filter(([, value]) => value !== null && value !== undefined);
  return el(
    "div.facts",
    {},
    el("dl", {}, rows.filter(([, value]) => value).map(fact)),
    el(
      "dl",
      {},
      figures.map(([name, value]) =>
        fact([name, typeof value === "number" ? String(Math.round(value * 1000) / 1000) : String(value)]),
      ),
    ),
  );
}

const fact = ([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

// ------------------------------------------------------------ details of what is selected

export class Details {
  constructor({ go }) {
    this.go = go;
    this.body = el("div.details-body");
    this.element = el(
      "aside.details",
      { "aria-label": "Details", hidden: true },
      el(
        "button.ghost.close",
        { type: "button", "aria-label": "Close (Esc)", title: "Close (Esc)", onclick: () => this.close() },
        icon("close"),
      ),
      this.body,
    );
  }

  close() {
    this.element.hidden = true;
  }

  #open(...content) {
    this.body.replaceChildren(...content.filter(Boolean));
    this.body.scrollTop = 0;
    this.element.hidden = false;
  }

  #title(text, from, to) {
    return el(
      "h3",
      {},
      text,
      el("button.time", { type: "button", onclick: () => this.go(from) }, clock(from, 2)),
      to > from ? el("span.soft", {}, `for ${short(to - from)}`) : null,
    );
  }

  span(span, lane) {
    this.#open(
      this.#title(lane, span.from_s, span.to_s),
      span.label ? el("p.label", {}, span.label) : null,
      fields(span.detail, [span.label]),
    );
  }

  message(each) {
    const known = {
      direction: each.d === "in" ? "from the caller" : "to the caller",
      kind: each.k,
      size: bytes(each.size),
      media: each.at === null || each.at === undefined ? null : `${each.n} bytes at ${each.at}`,
      sequence: each.seq,
      timestamp: each.ts,
      line: each.line,
    };
    this.#open(
      this.#title(each.type || each.k, each.t),
      fields(known),
      each.message !== null && each.message !== undefined ? json(each.message) : each.text ? json(each.text) : null,
    );
  }

  event({ t, kind, line, seen, ...rest }) {
    this.#open(
      this.#title(kind, t),
      fields({ ...rest, "noticed after": seen > t ? seconds(seen - t, 3) : null, line }),
    );
  }
}

function fields(detail, left = []) {
  const rows = Object.entries(detail ?? {}).filter(
    ([, value]) => value !== null && value !== undefined && value !== "" && !left.includes(value),
  );
  if (!rows.length) return null;
  return el(
    "dl.fields",
    {},
    rows.map(([name, value]) =>
      el(
        "div",
        {},
        el("dt", {}, name.replaceAll("_", " ")),
        el("dd", {}, typeof value === "object" ? json(value) : String(value)),
      ),
    ),
  );
}
