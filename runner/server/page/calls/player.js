// Plays a call's sound: from a moment on, or a part of it alone; the caller, the bot, or both.

export class Player extends EventTarget {
  #audio = new Audio();
  #until = null; // where a part that is played alone ends
  #at = 0;
  #frame = 0;
  #gains = null;

  constructor(url) {
    super();
    this.available = Boolean(url);
    this.#audio.preload = "metadata";
    if (url) this.#audio.src = url;
    this.channel = "both";
    for (const name of ["play", "pause", "ended"]) this.#audio.addEventListener(name, () => this.#changed());
    this.#audio.addEventListener("seeked", () => this.#tick());
    this.#audio.addEventListener("error", () => {
      this.available = false;
      this.#changed();
    });
  }

  get playing() {
    return !this.#audio.paused;
  }

  get position() {
    return this.available && this.#audio.readyState > 0 ? this.#audio.currentTime : this.#at;
  }

  get speed() {
    return this.#audio.playbackRate;
  }

  set speed(rate) {
    this.#audio.playbackRate = rate;
    this.#changed();
  }

  // Another sound, or more of it; the position stays.
  load(url) {
    const at = this.position;
    this.available = true;
    this.#audio.src = url;
    this.seek(at);
    this.#changed();
  }

  seek(at) {
    this.#until = null;
    this.#at = Math.max(0, at);
    this.#place();
    this.dispatchEvent(new CustomEvent("move", { detail: { at: this.#at, jumped: true } }));
  }

  #place() {
    if (this.#audio.readyState > 0) this.#audio.currentTime = this.#at;
    else this.#audio.addEventListener("loadedmetadata", () => (this.#audio.currentTime = this.#at), { once: true });
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  pause() {
    this.#audio.pause();
  }

  async play() {
    if (!this.available) return;
    this.#gains?.context.resume();
    await this.#audio.play().catch((error) => {
      if (error.name !== "AbortError") this.dispatchEvent(new CustomEvent("failed", { detail: error.message }));
    });
  }

  playPart(from, to) {
    this.seek(from);
    this.#until = to;
    return this.play();
  }

  // "both", "caller" (left) or "bot" (right)
  listenTo(channel) {
    this.channel = channel;
    this.#gains ??= this.#route();
    const level = { both: [1, 1], caller: [1, 0], bot: [0, 1] }[channel];
    this.#gains.caller.gain.value = level[0];
    this.#gains.bot.gain.value = level[1];
    this.#changed();
  }

  // Each channel in the middle, with a gain of its own.
  #route() {
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    context.createMediaElementSource(this.#audio).connect(splitter);
    const [caller, bot] = [0, 1].map((channel) => {
      const gain = context.createGain();
      splitter.connect(gain, channel);
      gain.connect(context.destination);
      return gain;
    });
    return { context, caller, bot };
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    if (this.playing) this.#tick();
  }

  #tick() {
    cancelAnimationFrame(this.#frame);
    this.#at = this.position;
    if (this.#until !== null && this.#at >= this.#until) {
      this.pause();
      this.#until = null;
    }
    this.dispatchEvent(new CustomEvent("move", { detail: { at: this.#at, jumped: false } }));
    if (this.playing) this.#frame = requestAnimationFrame(() => this.#tick());
  }
}
