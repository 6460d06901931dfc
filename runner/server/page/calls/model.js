// A call, prepared for drawing: its spans in lanes, sorted, so that what is visible is found at once.

import { LANES } from "./words.js";

const MOST_ROWS = 3; // bars of one lane that overlap, side by side

export class CallModel {
  constructor(detail) {
    this.update(detail);
  }

  update(detail) {
    this.detail = detail;
    this.summary = detail.summary;
    this.call = detail.call;
    this.answers = detail.answers;
    const ends = [
      detail.sound?.duration_s,
      detail.summary.duration_s,
      detail.spans.at(-1)?.to_s,
      detail.words.at(-1)?.to_s,
    ];
    this.duration = Math.max(1, ...ends.filter((each) => typeof each === "number"));
    this.words = {
      caller: sorted(detail.words.filter((word) => word.speaker === "caller")),
      bot: sorted(detail.words.filter((word) => word.speaker === "bot")),
    };
    const spans = (lane) => sorted(detail.spans.filter((span) => span.lane === lane));
    this.speech = { caller: spans("user"), bot: spans("bot") };
    this.lanes = Object.keys(LANES)
      .map((name) => lane(name, spans(name)))
      .filter((each) => each.spans.length);
    this.silences = sorted(this.answers.filter((answer) => answer.silence_s > 0));
  }

  answerNear(at) {
    let found = -1;
    this.answers.forEach((answer, index) => {
      if (answer.from_s <= at + 0.01) found = index;
    });
    return found;
  }
}

function sorted(spans) {
  const list = [...spans].sort((one, other) => one.from_s - other.from_s);
  let longest = 0;
  for (const span of list) longest = Math.max(longest, span.to_s - span.from_s);
  list.longest = longest;
  return list;
}

// Bars that overlap go into rows of their own.
function lane(name, spans) {
  const ends = [];
  for (const span of spans) {
    span.row = 0;
    if (span.to_s <= span.from_s) continue; // a mark, drawn upon the bars
    let row = ends.findIndex((end) => end <= span.from_s + 1e-6);
    if (row < 0) row = ends.length < MOST_ROWS ? ends.length : 0;
    span.row = row;
    ends[row] = Math.max(ends[row] ?? 0, span.to_s);
  }
  return { name, spans, rows: Math.max(1, ends.length) };
}

// Those of a sorted list that touch the time from…to.
export function* visible(list, from, to) {
  let low = 0;
  let high = list.length;
  const earliest = from - (list.longest ?? 0);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].from_s < earliest) low = middle + 1;
    else high = middle;
  }
  for (let n = low; n < list.length && list[n].from_s <= to; n++) if (list[n].to_s >= from) yield list[n];
}
