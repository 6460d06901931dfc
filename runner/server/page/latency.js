// Turn latency and stop latency as the person hears them. Times are ms on the page's clock; no clock here.
//
// The server notices the end of speech only after a pause; the page has heard when it truly was, so a
// turn is counted from the last loud moment of the microphone before the server's message.

import { LOUD_DB } from "./meters.js";

const LOOK_BACK_MS = 1500;
const ONSET_GAP_MS = 250; // quiet this long, and the next loud moment begins a new stretch of speech
const SILENT_MS = 80; // the bot is silent when it has been so for this long
const ABOVE_FLOOR_DB = 12;

export class Latency extends EventTarget {
  #floor = -60;
  #lastLoud = -Infinity;
  #onset = -Infinity;
  #botLoud = -Infinity;
  #asked = null; // when the person's turn ended, while the answer is waited for
  #cutIn = null; // when the person cut in, while the bot still sounds

  // One reading of both levels, in dBFS.
  hear(now, youDb, botDb) {
    this.#hearYou(now, youDb);
    if (botDb > LOUD_DB) this.#hearBot(now);
    else this.#hearSilence(now);
  }

  // Whether the bot sounds, or did a moment ago.
  botIsHeard(now) {
    return now - this.#botLoud < ONSET_GAP_MS;
  }

  userStarted(now, botSpeaking) {
    this.#asked = null;
    const onset = now - this.#onset < LOOK_BACK_MS ? this.#onset : now;
    // The news that the bot was cut may be here before the news that the person speaks.
    this.#cutIn = botSpeaking || this.botIsHeard(now) ? onset : null;
  }

  userStopped(now) {
    this.#asked = now - this.#lastLoud < LOOK_BACK_MS ? this.#lastLoud : now;
  }

  typed(now) {
    this.#asked = now;
    this.#cutIn = null;
  }

  #hearYou(now, db) {
    this.#floor = Math.min(db, this.#floor + 0.02);
    if (db < LOUD_DB || db < this.#floor + ABOVE_FLOOR_DB) return;
    if (now - this.#lastLoud > ONSET_GAP_MS) this.#onset = now;
    this.#lastLoud = now;
  }

  #hearBot(now) {
    const wasSilent = now - this.#botLoud > SILENT_MS;
    this.#botLoud = now;
    if (!wasSilent) return;
    this.#emit("bot-sound", now);
    if (this.#asked === null) return;
    this.#emit("turn", now - this.#asked);
    this.#asked = null;
  }

  #hearSilence(now) {
    if (this.#cutIn === null || now - this.#botLoud < SILENT_MS) return;
    if (this.#botLoud > this.#cutIn) this.#emit("stop", this.#botLoud - this.#cutIn);
    this.#cutIn = null;
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
