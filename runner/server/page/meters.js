// How loud both sides are: read from the streams every 20 ms, kept for the orb, the bars and the figures.

const TICK_MS = 20;
const WINDOW = 1024; // samples; 21 ms at 48 kHz, so that no tick misses any
const SILENCE_DB = -100;
const HISTORY = 3000; // ticks: one minute

export const LOUD_DB = -50;

export class Meters extends EventTarget {
  #context = null;
  #sources = { you: null, bot: null };
  #samples = new Float32Array(WINDOW);
  #timer = null;
  db = { you: SILENCE_DB, bot: SILENCE_DB };
  level = { you: 0, bot: 0 }; // 0…1, eased for the eye
  #hushedUntil = 0;
  history = []; // [ms on the page's clock, your dB, the bot's dB]

  // Only after a click: browsers hold sound back until then.
  start() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    this.#context.resume();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.watch("you", null);
    this.watch("bot", null);
    this.#tick();
    this.level = { you: 0, bot: 0 };
    this.#context?.suspend();
  }

  watch(side, stream) {
    this.#sources[side]?.source.disconnect();
    this.#sources[side] = null;
    if (!stream || !this.#context) return;
    const source = this.#context.createMediaStreamSource(stream);
    const analyser = new AnalyserNode(this.#context, { fftSize: WINDOW, smoothingTimeConstant: 0 });
    source.connect(analyser);
    this.#sources[side] = { source, analyser };
  }

  // The page itself keeps the bot from being heard for so long; then it is not loud, either.
  hush(ms) {
    this.#hushedUntil = performance.now() + ms;
  }

  #tick() {
    const now = performance.now();
    this.#read("you", this.#sources.you);
    this.#read("bot", now < this.#hushedUntil ? null : this.#sources.bot);
    this.history.push([now, this.db.you, this.db.bot]);
    if (this.history.length > HISTORY) this.history.shift();
    this.dispatchEvent(new CustomEvent("tick", { detail: { now, ...this.db } }));
  }

  #read(side, source) {
    const db = this.#decibels(source?.analyser);
    const target = Math.min(1, Math.max(0, (db + 55) / 45));
    const ease = target > this.level[side] ? 0.5 : 0.12; // quick to rise, slow to fall
    this.db[side] = db;
    this.level[side] += (target - this.level[side]) * ease;
    if (this.level[side] < 0.001) this.level[side] = 0;
  }

  #decibels(analyser) {
    if (!analyser) return SILENCE_DB;
    analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.max(SILENCE_DB, 10 * Math.log10(sum / WINDOW + 1e-12));
  }
}

// A bar that shows a level; the number for assistive technology changes four times a second at most.
export class Bar {
  #element;
  #fill;
  #told = 0;

  constructor(element) {
    this.#element = element;
    this.#fill = element.firstElementChild;
  }

  show(level, now) {
    this.#fill.style.transform = `scaleX(${level.toFixed(3)})`;
    if (now - this.#told < 250) return;
    this.#told = now;
    this.#element.setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }
}
