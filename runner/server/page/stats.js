// Figures of the connection, once a second, out of the browser's own counters.

const EVERY_MS = 1000;
const LOSS_OVER = 10; // readings: loss is told over the last ten seconds

export class Stats extends EventTarget {
  #call;
  #timer = null;
  #readings = [];
  #silentS = 0; // how long no packet has come

  constructor(call) {
    super();
    this.#call = call;
  }

  start() {
    this.stop();
    this.#timer = setInterval(() => this.#read(), EVERY_MS);
    this.#read();
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#readings = [];
  }

  async #read() {
    const report = await this.#call.stats();
    if (!report || this.#timer === null) return;
    const reading = pick(report);
    const figures = this.#figures(reading);
    this.#readings = [...this.#readings, reading].slice(-LOSS_OVER);
    this.dispatchEvent(new CustomEvent("figures", { detail: figures }));
  }

  #figures(now) {
    const before = this.#readings.at(-1) ?? {};
    const first = this.#readings[0] ?? {};
    const emitted = since(now.emitted, before.emitted);
    const lost = since(now.lost, first.lost);
    const received = since(now.received, first.received);
    const arrives = !before.received || now.received !== before.received;
    this.#silentS = arrives ? 0 : this.#silentS + EVERY_MS / 1000;
    return {
      silentS: this.#silentS,
      roundTripMs: milliseconds(now.roundTrip),
      jitterMs: milliseconds(now.jitter),
      loss: share(lost, lost + received),
      madeUp: share(since(now.concealed, first.concealed), since(now.samples, first.samples)),
      // The server tells by it when its sound is heard.
      jitterBufferMs: emitted > 0 ? milliseconds(since(now.delay, before.delay) / emitted) : null,
    };
  }
}

function pick(report) {
  const entries = [...report.values()];
  const sound = entries.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio") ?? {};
  const transport = entries.find((entry) => entry.type === "transport") ?? {};
  const pairs = entries.filter((entry) => entry.type === "candidate-pair" && entry.state === "succeeded");
  const pair = report.get(transport.selectedCandidatePairId) ?? pairs.find((entry) => entry.nominated) ?? {};
  return {
    roundTrip: pair.currentRoundTripTime,
    jitter: sound.jitter,
    lost: sound.packetsLost,
    received: sound.packetsReceived,
    delay: sound.jitterBufferDelay,
    emitted: sound.jitterBufferEmittedCount,
    concealed: sound.concealedSamples,
    samples: sound.totalSamplesReceived,
  };
}

function since(now, before) {
  return (now ?? 0) - (before ?? 0);
}

function share(part, whole) {
  return whole > 0 ? Math.max(0, part) / whole : null;
}

function milliseconds(seconds) {
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}
