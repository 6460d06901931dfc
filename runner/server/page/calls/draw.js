// Draws a call's timeline: only what is visible, and nothing twice on the same pixel.

import { visible } from "./model.js";
import { LANES, SLOW_S, clock, seconds } from "./words.js";

export const ROW = { ruler: 26, wave: 62, words: 20, silence: 20, gap: 10, lane: 19, bar: 14 };
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const LEAST_LABEL = 26;

// Where each part lies, from the top: [{kind, top, height, …}] and the whole height.
export function layout(model, { compact = false } = {}) {
  const parts = [];
  let top = 0;
  const add = (kind, height, more = {}) => {
    parts.push({ kind, top, height, ...more });
    top += height;
  };
  const wave = compact ? ROW.wave * 0.7 : ROW.wave;
  add("ruler", ROW.ruler);
  add("wave", wave, { who: "caller" });
  add("words", ROW.words, { who: "caller" });
  add("silence", ROW.silence);
  add("wave", wave, { who: "bot" });
  add("words", ROW.words, { who: "bot" });
  top += ROW.gap;
  for (const lane of compact ? [] : model.lanes) add("lane", ROW.lane * lane.rows, { lane });
  return { parts, height: top + 4 };
}

export class Drawing {
  constructor(context, { model, waves, view, width, gutter, colours, selected, hovered }) {
    Object.assign(this, { context, model, waves, view, width, gutter, colours, selected, hovered });
    this.scale = (width - gutter) / (view.to - view.from);
    this.hits = [];
  }

  x(seconds) {
    return this.gutter + (seconds - this.view.from) * this.scale;
  }

  draw({ parts, height }) {
    const { context, width } = this;
    context.clearRect(0, 0, width, height);
    this.#grid(height);
    context.save();
    context.beginPath();
    context.rect(this.gutter, 0, width - this.gutter, height);
    context.clip();
    for (const part of parts) this[`_${part.kind}`](part);
    context.restore();
    for (const part of parts) this.#title(part);
  }

  // ------------------------------------------------------------ parts

  #grid(height) {
    const { context, colours } = this;
    const step = STEPS.find((each) => each * this.scale >= 74) ?? STEPS.at(-1);
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    context.font = `11px ${colours.sans}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (let at = Math.ceil(this.view.from / step) * step; at <= this.view.to; at += step) {
      const x = Math.round(this.x(at)) + 0.5;
      context.fillStyle = colours.grid;
      context.fillRect(x - 0.5, 8, 1, height);
      context.fillStyle = colours.soft;
      context.fillText(clock(at, digits), x + 5, 12);
    }
  }

  _ruler() {}

  _wave({ who, top, height }) {
    const { context, colours } = this;
    const colour = who === "caller" ? colours.you : colours.bot;
    context.fillStyle = who === "caller" ? colours["you-soft"] : colours["bot-soft"];
    for (const span of visible(this.model.speech[who], this.view.from, this.view.to)) {
      const left = this.x(span.from_s);
      const wide = Math.max(1, this.x(span.to_s) - left);
      context.fillRect(left, top + 2, wide, height - 4);
      this.hits.push({ left, right: left + wide, top, bottom: top + height, kind: "speech", who, span });
    }
    const columns = Math.ceil(this.width - this.gutter);
    const read = this.waves.read(who, this.view.from, 1 / this.scale, columns);
    const middle = top + height / 2;
    const tall = (height / 2 - 5) / 127;
    context.fillStyle = colour;
    context.beginPath();
    for (let n = 0; n < columns; n++) {
      const high = root(read[n * 2 + 1]) * tall;
      const low = root(read[n * 2]) * tall;
      context.rect(this.gutter + n, middle - high - 0.5, 1, Math.max(1, high - low));
    }
    context.fill();
  }

  // Words may take the room up to the next ones of the same speaker.
  _words({ who, top, height }) {
    const { context, colours } = this;
    context.font = `12.5px ${colours.sans}`;
    context.textBaseline = "middle";
    const words = [...visible(this.model.words[who], this.view.from, this.view.to)];
    let left = -Infinity;
    words.forEach((word, n) => {
      left = Math.max(this.x(word.from_s), this.gutter + 2);
      const next = words[n + 1] ? this.x(words[n + 1].from_s) - 8 : this.width - 4;
      this.hits.push({
        left,
        right: Math.max(this.x(word.to_s), left),
        top,
        bottom: top + height,
        kind: "word",
        who,
        span: word,
      });
      if (next - left < LEAST_LABEL) return;
      context.fillStyle = colours.ink;
      this.#text(word.text + (word.interrupted ? " –" : ""), left, top + height / 2, next - left);
    });
  }

  _silence({ top, height }) {
    const { context, colours } = this;
    for (const answer of visible(this.model.silences, this.view.from, this.view.to)) {
      const from = this.x(answer.from_s);
      const to = this.x(answer.to_s);
      for (const segment of answer.segments) {
        const left = this.x(segment.from_s);
        context.fillStyle = colours.segment[segment.name] ?? colours.soft;
        context.fillRect(
          left,
          top + 3,
          Math.max(0, this.x(segment.to_s) - left - (segment.seconds * this.scale > 4 ? 1 : 0)),
          height - 6,
        );
      }
      if (to - from < 3) {
        context.fillStyle = answer.silence_s > SLOW_S ? colours.bad : colours.soft;
        context.fillRect(from, top + 3, 3, height - 6);
      }
      if (this.selected === answer) this.#frame(from, top + 1, to - from, height - 2);
      this.hits.push({
        left: from,
        right: Math.max(to, from + 3),
        top,
        bottom: top + height,
        kind: "answer",
        span: answer,
      });
      const slow = answer.silence_s > SLOW_S;
      context.font = `${slow ? "600 " : ""}11.5px ${colours.sans}`;
      const label = seconds(answer.silence_s);
      const next = this.model.answers[answer.n];
      const room = (next ? this.x(next.from_s) : Infinity) - to;
      if (room > 52) {
        context.fillStyle = slow ? colours.bad : colours.soft;
        context.textBaseline = "middle";
        context.fillText(label, to + 6, top + height / 2 + 0.5);
      }
    }
  }

  _lane({ lane, top }) {
    const { context, colours } = this;
    context.font = `11px ${colours.sans}`;
    const drawn = new Array(lane.rows).fill(-Infinity);
    const marks = [];
    for (const span of visible(lane.spans, this.view.from, this.view.to)) {
      const left = this.x(span.from_s);
      const wide = this.x(span.to_s) - left;
      const y = top + span.row * ROW.lane + (ROW.lane - ROW.bar) / 2;
      const right = Math.max(left + wide, left + 3);
      if (span.to_s <= span.from_s) {
        marks.push({ left, y, span });
        continue;
      }
      if (right <= drawn[span.row] + 0.5 && !span.bad) continue; // this pixel is taken
      drawn[span.row] = right;
      this.#bar(left, y, Math.max(wide, 2), span.bad ? colours.bad : colours.lane[lane.name]);
      if (wide > LEAST_LABEL) {
        context.fillStyle = colours.raised;
        context.textBaseline = "middle";
        const from = Math.max(left, this.gutter) + 6;
        this.#text(String(span.label), from, y + ROW.bar / 2 + 0.5, Math.min(right, this.width) - from - 4);
      }
      if (this.selected === span) this.#frame(left - 1, y - 1, Math.max(wide, 2) + 2, ROW.bar + 2);
      this.hits.push({ left: left - 2, right: right + 2, top: y - 2, bottom: y + ROW.bar + 2, kind: "span", span });
    }
    for (const { left, y, span } of marks) {
      this.#diamond(left, y, span.bad ? colours.bad : colours.lane[lane.name]);
      if (this.selected === span) this.#frame(left - 8, y - 1, 16, ROW.bar + 2);
      this.hits.push({ left: left - 7, right: left + 7, top: y - 2, bottom: y + ROW.bar + 2, kind: "span", span });
    }
  }

  // ------------------------------------------------------------ pieces

  #title({ kind, top, height, who, lane }) {
    const { context, colours } = this;
    const text = { wave: who === "caller" ? "Caller" : "Bot", silence: "Silence", lane: lane && LANES[lane.name] }[
      kind
    ];
    if (!text || (this.gutter < 40 && kind !== "wave")) return;
    context.font = kind === "wave" ? `600 ${this.gutter < 40 ? 11 : 12.5}px ${colours.sans}` : `11.5px ${colours.sans}`;
    context.fillStyle = kind === "wave" ? (who === "caller" ? colours.you : colours.bot) : colours.soft;
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(text, 0, this.gutter < 40 ? top + 9 : top + height / 2 + 0.5);
  }

  #bar(left, top, width, colour) {
    const { context } = this;
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(left, top, width, ROW.bar, Math.min(4, width / 2));
    context.fill();
  }

  #diamond(x, top, colour) {
    const { context } = this;
    const middle = top + ROW.bar / 2;
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(x, middle - 6);
    context.lineTo(x + 6, middle);
    context.lineTo(x, middle + 6);
    context.lineTo(x - 6, middle);
    context.closePath();
    context.fill();
    context.strokeStyle = this.colours.paper;
    context.lineWidth = 1.5;
    context.stroke();
  }

  #frame(left, top, width, height) {
    const { context, colours } = this;
    context.strokeStyle = colours.ink;
    context.lineWidth = 1.5;
    context.strokeRect(left, top, width, height);
  }

  #text(text, x, y, room) {
    const { context } = this;
    if (room < 12) return;
    let shown = text.slice(0, Math.ceil(room / 3));
    if (context.measureText(shown).width > room || shown.length < text.length) {
      let low = 0;
      let high = shown.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (context.measureText(`${shown.slice(0, middle)}…`).width <= room) low = middle;
        else high = middle - 1;
      }
      if (low < 2) return;
      shown = low < text.length ? `${shown.slice(0, low).trimEnd()}…` : text;
    }
    context.fillText(shown, x, y);
  }
}

// Quiet speech stays visible.
function root(value) {
  return Math.sign(value) * 127 * Math.abs(value / 127) ** 0.75;
}
