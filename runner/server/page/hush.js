// After an interruption the browser's jitter buffer still holds a little of the old reply, and the
// network some more. The page does not play it. A new reply stands behind it in the same buffer: from
// its announcement on, only what the buffer holds at that moment is kept silent.

const ON_THE_WAY_MS = 150;
const MOST_MS = 400;

export class Hush {
  #audio;
  #meters;
  #until = 0;
  #timer = 0;

  constructor(audio, meters) {
    this.#audio = audio;
    this.#meters = meters;
  }

  cut(bufferMs) {
    this.#hold(Math.min(MOST_MS, bufferMs + ON_THE_WAY_MS));
  }

  newReply(bufferMs) {
    const left = this.#until - performance.now();
    if (left > 0) this.#hold(Math.min(left, bufferMs));
  }

  #hold(ms) {
    this.#until = performance.now() + ms;
    this.#audio.muted = true;
    this.#meters.hush(ms); // what is not heard is not loud
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#audio.muted = false), ms);
  }
}
