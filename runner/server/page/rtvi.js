// RTVI, as reference/PEERS.md has it: envelopes over the call's data channel, ready after a handshake.

const LABEL = "rtvi-ai";
const VERSION = "2.1.0";
const SILENT_MS = 3000; // a bot that has not said "ready" by then speaks no RTVI

export class Rtvi extends EventTarget {
  ready = false;
  #call;
  #next = 1;
  #readyId = null;
  #waiting = [];
  #held = false;
  #timer = null;

  constructor(call) {
    super();
    this.#call = call;
    call.addEventListener("channel", () => this.#hello());
    call.addEventListener("message", (event) => this.#receive(event.detail));
    call.addEventListener("hold", () => this.#hold());
    call.addEventListener("ended", () => this.reset());
  }

  reset() {
    this.ready = false;
    this.#waiting = [];
    clearTimeout(this.#timer);
  }

  // A typed turn; kept until the bot is ready.
  sendText(content) {
    const data = { content, options: { run_immediately: true, audio_response: true } };
    if (this.ready) return this.#send("send-text", data);
    this.#waiting.push(data);
    if (this.#held) this.#call.signal({ type: "held", waiting: true });
  }

  // The bot that is about to come answers what is typed from now on.
  #hold() {
    this.ready = false;
    this.#held = true;
  }

  #hello() {
    this.ready = this.#held = false;
    clearTimeout(this.#timer); // a hello that was never answered, on a connection that is gone
    const about = { library: "botrun-page", platform: navigator.platform, platform_details: { agent: navigator.userAgent } };
    this.#readyId = this.#send("client-ready", { version: VERSION, about });
    this.#timer = setTimeout(() => this.#emit("silent"), SILENT_MS);
  }

  #receive(message) {
    if (message?.label !== LABEL) return;
    if (message.type === "bot-ready" && message.id === this.#readyId) this.#begin();
    this.#emit("any", message);
    this.#emit(message.type, message.data ?? {});
  }

  #begin() {
    this.ready = true;
    clearTimeout(this.#timer);
    for (const data of this.#waiting.splice(0)) this.#send("send-text", data);
  }

  #send(type, data) {
    const id = String(this.#next++);
    this.#call.send({ label: LABEL, type, id, data });
    return id;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
