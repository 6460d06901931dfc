// The head of a call: what it was, its figures, and on top what went wrong.

import { el, icon } from "./dom.js";
import { problemsOf } from "./problems.js";
import { clock, count, day, duration, seconds, timeOfDay, tone, transport, whoCalled } from "./words.js";

const SHOWN = matchMedia("(max-width: 44rem)").matches ? 2 : 4;

export function headOf(model) {
  const { summary, call } = model;
  const title = [transport(summary.transport), whoCalled(summary)].filter(Boolean).join(" · ");
  const end =
    summary.state === "running"
      ? "in progress"
      : summary.state === "lost"
        ? "lost"
        : call.end?.text || summary.end_text;
  const detail = call.end?.detail ? ` (${call.end.detail})` : "";
  return el(
    "div.call-head",
    {},
    el(
      "div",
      {},
      el("h2", {}, summary.bot || "Call", el("span", {}, title)),
      el(
        "p.soft",
        {},
        `${day(summary.started)}, ${timeOfDay(summary.started)} · ${duration(summary.duration_s)} · `,
        el("span", { "data-state": summary.state }, `${end}${detail}`),
      ),
    ),
    figures(model),
  );
}

function figures({ summary, call, answers }) {
  const f = call.figures ?? {};
  const times = answers.map(({ silence_s }) => silence_s).sort((one, other) => one - other);
  const median = times.length ? times[Math.floor(times.length / 2)] : summary.turn_p50_s;
  const slowest = times.at(-1) ?? summary.turn_max_s;
  const rows = [
    ["Answers", String(answers.length || summary.turns), ""],
    ["Median", seconds(median), tone(median)],
    ["Slowest", seconds(slowest), tone(slowest)],
    ["Interruptions", String(summary.interruptions), ""],
    f.tools
      ? ["Tools", f.tool_errors ? `${f.tools}, ${f.tool_errors} failed` : String(f.tools), f.tool_errors ? "bad" : ""]
      : null,
    summary.errors ? ["Errors", String(summary.errors), "bad"] : null,
    f.stop_p50_s ? ["Stops in", seconds(f.stop_p50_s), ""] : null,
  ];
  return el(
    "dl.call-figures",
    {},
    rows
      .filter(Boolean)
      .map(([name, value, each]) => el("div", {}, el("dt", {}, name), el("dd", { "data-tone": each }, value))),
  );
}

// `go(at)` leads to a moment.
export function problemList(model, go) {
  const problems = problemsOf(model.detail);
  const list = el(
    "ul.problems",
    { "aria-label": "Problems" },
    problems.map((problem) => row(problem, go)),
  );
  const rest = problems.length - SHOWN;
  if (rest > 1) {
    list.classList.add("folded");
    for (const each of [...list.children].slice(SHOWN)) each.classList.add("rest");
    list.append(
      el(
        "li.more",
        {},
        el(
          "button.link",
          { type: "button", onclick: () => list.classList.remove("folded") },
          `Show ${count(rest, "more problem")}`,
        ),
      ),
    );
  }
  return list;
}

const ICONS = { bad: "alert", fair: "slow", note: "note" };

function row({ tone: how, title, text, place, source, advice, at }, go) {
  return el(
    "li.problem",
    { "data-tone": how },
    icon(ICONS[how]),
    el(
      "div",
      {},
      el("p", {}, el("b", {}, title), text ? el("span", {}, text) : null, place ? el("code", {}, place) : null),
      source ? el("pre", {}, source) : null,
      advice ? el("p.soft", {}, advice) : null,
    ),
    at === undefined ? null : el("button.time", { type: "button", onclick: () => go(at) }, clock(at)),
  );
}
