// The person's microphone: opening, choosing, muting; failures become a word of `WORDS` in notices.js.

const REASONS = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

export class MicrophoneError extends Error {
  constructor(word, cause) {
    super(word, { cause });
    this.word = word;
  }
}

export class Microphone extends EventTarget {
  #settings;
  #stream = null;
  #muted = false;

  constructor(settings) {
    super();
    this.#settings = settings;
    settings.addEventListener("change", () => this.#reopen());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#tell());
  }

  get track() {
    return this.#stream?.getAudioTracks()[0] ?? null;
  }

  get stream() {
    return this.#stream;
  }

  get open() {
    return this.track !== null;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    if (this.track) this.track.enabled = !muted;
    this.#tell();
  }

  // Whether opening it will ask nobody anything, so that a call need not wait for it.
  async granted() {
    try {
      return (await navigator.permissions.query({ name: "microphone" })).state === "granted";
    } catch {
      return false;
    }
  }

  async start() {
    if (!window.isSecureContext || !navigator.mediaDevices) throw new MicrophoneError("insecure");
    try {
      this.#take(await navigator.mediaDevices.getUserMedia({ audio: this.#settings.audioConstraints() }));
    } catch (error) {
      throw new MicrophoneError(REASONS[error.name] ?? "busy", error);
    }
    return this.track;
  }

  stop() {
    this.#release();
    this.#muted = false;
    this.#tell();
  }

  // [{id, label}]: labels are told only after the microphone has been allowed once.
  async choices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return devices
      .filter((device) => device.kind === "audioinput" && device.deviceId && device.deviceId !== "default")
      .map((device, index) => ({ id: device.deviceId, label: device.label || `Microphone ${index + 1}` }));
  }

  // The processing cannot be changed on a live track in every browser; a new track can, in all.
  async #reopen() {
    if (!this.open) return;
    try {
      await this.start();
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    }
  }

  #take(stream) {
    this.#release();
    this.#stream = stream;
    this.track.enabled = !this.#muted;
    this.track.addEventListener("ended", () => this.#unplugged(stream), { once: true });
    this.#tell();
  }

  #unplugged(stream) {
    if (stream !== this.#stream) return;
    this.#release();
    this.#tell();
    this.dispatchEvent(new CustomEvent("failed", { detail: new MicrophoneError("unplugged") }));
  }

  #release() {
    const stream = this.#stream;
    this.#stream = null;
    for (const track of stream?.getTracks() ?? []) track.stop();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
