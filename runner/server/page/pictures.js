// Pictures: the person's camera, the bot's picture, and the line that carries both.
//
// The camera is asked for only when the bot wants to see, and can be switched off at any time.

import { byId } from "./view.js";

const CAMERA = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30, max: 30 } };

// The video of one call, over one peer connection or several after another.
export class VideoLine {
  wanted = false;
  #transceiver = null;
  #track = null;

  // Room for pictures in the next offer.
  add(peer) {
    this.wanted = true;
    this.#transceiver = peer.addTransceiver("video", { direction: "sendrecv" });
    if (this.#track) this.#transceiver.sender.replaceTrack(this.#track);
  }

  // Room for pictures, unless this peer has it already.
  ensure(peer) {
    if (!peer.getTransceivers().includes(this.#transceiver)) this.add(peer);
  }

  get botSees() {
    return Boolean(this.#transceiver?.currentDirection?.includes("send"));
  }

  async useTrack(track) {
    this.#track = track;
    await this.#transceiver?.sender.replaceTrack(track);
  }

  // This peer connection is given up.
  leave() {
    this.#transceiver = null;
  }

  forget() {
    this.wanted = false;
    this.#transceiver = this.#track = null;
  }
}

// The two pictures and the camera's button. Events: "change" (the camera was opened or closed).
export class Pictures extends EventTarget {
  #stream = null;
  #asked = false;
  #button = byId("camera");

  constructor() {
    super();
    this.#button.addEventListener("click", () => this.toggle());
  }

  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  // What was agreed: whether the bot sees. The first time, the camera is asked for.
  async agreed(botSees) {
    this.#button.hidden = !botSees;
    if (!botSees) this.#close();
    else if (!this.#asked) await this.open();
  }

  showBot(stream) {
    const video = byId("bot-picture");
    video.srcObject = stream;
    document.body.dataset.pictures = "";
    video.hidden = false;
  }

  async toggle() {
    if (this.track) this.#close();
    else await this.open();
  }

  async open() {
    this.#asked = true;
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA });
      this.track.addEventListener("ended", () => this.#close(), { once: true });
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error.name === "NotFoundError" ? "noCamera" : "cameraRefused" }));
    }
    this.#tell();
  }

  end() {
    this.#close();
    this.#asked = false;
    this.#button.hidden = true;
    byId("bot-picture").hidden = true;
    byId("bot-picture").srcObject = null;
    delete document.body.dataset.pictures;
  }

  #close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#tell();
  }

  #tell() {
    const own = byId("your-picture");
    own.srcObject = this.#stream;
    own.hidden = this.#stream === null;
    if (this.#stream) document.body.dataset.pictures = "";
    else if (byId("bot-picture").hidden) delete document.body.dataset.pictures;
    this.#button.setAttribute("aria-pressed", String(this.#stream === null));
    this.#button.setAttribute("aria-label", this.#stream ? "Switch the camera off" : "Switch the camera on");
    this.dispatchEvent(new Event("change"));
  }
}
