// What went wrong in a call, in plain sentences, the worst first.

import { SLOW_S, cause, mostly, place, seconds, short } from "./words.js";

const MOST_SLOW = 3;

// [{tone, title, text, place, source, advice, at}]; `at` in seconds of the call.
export function problemsOf({ call, summary, answers, spans, words, problems }) {
  const found = [
    ...failures(call, summary),
    ...faults(spans, call.failure),
    ...slowAnswers(answers),
    ...cutGoodbye(call, words),
  ];
  for (const problem of problems) found.push({ tone: "note", title: "The record is incomplete", text: problem });
  if (call.figures?.not_recorded)
    found.push({
      tone: "note",
      title: "The record has gaps",
      text: `${call.figures.not_recorded} items were not recorded: the machine was too busy`,
    });
  return found.sort((one, other) => RANK[one.tone] - RANK[other.tone]);
}

const RANK = { bad: 0, fair: 1, note: 2 };

function* failures(call, summary) {
  const { failure, report } = call;
  if (failure) {
    yield {
      tone: "bad",
      title: "The bot failed",
      text: failure.message,
      place: place(failure),
      source: failure.source?.trim(),
      advice: failure.advice,
    };
  } else if (summary.problem && report?.passed !== false) {
    yield {
      tone: "bad",
      title: summary.state === "lost" ? "The call was lost" : "The call failed",
      text: summary.problem,
    };
  }
  for (const text of report?.passed === false ? (report.failures ?? []) : [])
    yield { tone: "bad", title: "The scenario failed", text };
}

function* faults(spans, failure) {
  for (const span of spans) {
    const { detail } = span;
    if (!span.bad || (failure && detail.fatal)) continue; // the failure stands on top already
    const at = span.from_s;
    if (span.lane === "tool")
      yield { tone: "bad", title: `Tool ${detail.name ?? span.label} failed`, text: asText(detail.result), at };
    else if (span.lane === "line")
      yield { tone: "fair", title: "Nothing arrived from the caller", text: `for ${seconds(span.to_s - at)}`, at };
    else if (detail.seconds !== undefined && detail.cause !== undefined)
      yield {
        tone: "fair",
        title: `The event loop was blocked for ${short(detail.seconds)}`,
        text: cause(detail.cause),
        place: detail.place || place(detail),
        at,
      };
    else if (detail.attempt !== undefined || detail.wait_s !== undefined)
      yield {
        tone: "fair",
        title: `${detail.service} was asked again${detail.attempt ? `, attempt ${detail.attempt}` : ""}`,
        text: detail.message,
        at,
      };
    else if (detail.to !== undefined)
      yield { tone: "fair", title: `${detail.service} was replaced by ${detail.to}`, text: detail.message, at };
    else
      yield {
        tone: detail.fatal ? "bad" : "fair",
        title: `Error in ${detail.processor || "the bot"}`,
        text: detail.message ?? span.label,
        place: place(detail),
        at,
      };
  }
}

function* slowAnswers(answers) {
  const slow = answers
    .filter(({ silence_s }) => silence_s > SLOW_S)
    .sort((one, other) => other.silence_s - one.silence_s);
  for (const answer of slow.slice(0, MOST_SLOW)) {
    const [name, longest] = mostly(answer);
    yield {
      tone: "fair",
      kind: "slow",
      title: `Answer ${answer.n} came after ${seconds(answer.silence_s)}`,
      text: `mostly ${name}: ${seconds(longest)}`,
      at: answer.from_s,
    };
  }
  if (slow.length > MOST_SLOW)
    yield {
      tone: "fair",
      kind: "slow",
      title: `${slow.length - MOST_SLOW} more answers took longer than ${seconds(SLOW_S, 1)}`,
      text: "they are listed below, the slowest first",
    };
}

function* cutGoodbye(call, words) {
  const last = words.findLast(({ speaker }) => speaker === "bot");
  const ended = call.duration_s;
  if (last?.interrupted && ended && ended - last.to_s < 0.7 && words.at(-1) === last)
    yield {
      tone: "fair",
      title: "The bot’s last words were cut off",
      text: "the call ended while it spoke",
      at: last.from_s,
    };
}

function asText(value) {
  return typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
}
