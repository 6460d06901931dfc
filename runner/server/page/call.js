// One call over WebRTC: peer connection, data channel, and getting them back when they are lost.
//
// Events: "state" (detail: state), "stream" (the bot's sound), "picture" (what it shows), "pictures" (detail: whether
// it wants to see), "channel" (open, also after a loss),
// "message" (what the data channel brought), "hold" and "moved" (the bot's code changes under the call),
// "waits" (detail: {busy}: new code waits for a pause), "code" (detail: {failure, waits}: how that code stands), "renewed" (a new session stands in for a lost one),
// "ended" (detail: {word, text, place}; word is of `WORDS`, or "" when all is well).
// States: idle, connecting, connected, reconnecting, ended.

import { VideoLine } from "./pictures.js";
import { Signaling, SignalingError, status } from "./signaling.js";

const RETRY_S = [0.3, 0.6, 1, 1.5, 2, 2.5]; // then 3 s each time
const MOST_TRIES = 24; // about a minute; then the person has to say so
const GRACE_MS = 2500; // "disconnected" often heals by itself
const SETTLED_MS = 5000; // a connection that has held so long counts as sound
const CONNECT_MS = 12_000;
const NETWORK_MS = 800; // after a change of network
const TRICKLE_MS = 40; // candidates that come together go together
const MOST_SHORT = 3; // calls that end before they have settled; a bot that fails at once must not be rung for ever

export class Call extends EventTarget {
  state = "idle";
  #signaling = new Signaling();

  #onNetwork = () => this.#networkChanged();
  #peer = null;
  #channel = null;
  #sender = null;
  #video = new VideoLine();
  #track = null;
  #candidates = [];
  #timers = new Map();
  #tries = 0;
  #held = false; // whether this connection ever stood
  #short = 0;
  #leftBehind = null; // a lost peer; closing it would tell the server that we hang up

  // ------------------------------------------------------------ what the page asks for

  // "" before the first call, and of a server without /start
  get sessionId() {
    return this.#signaling.sessionId;
  }

  async start(track = null) {
    this.#track = track;
    this.#video.forget();
    this.#tries = this.#short = 0;
    this.#become("connecting");
    window.addEventListener("online", this.#onNetwork);
    navigator.connection?.addEventListener("change", this.#onNetwork);
    await this.#attempt(() => this.#fresh());
  }

  // Another microphone, or none: no new offer is needed for it.
  async useTrack(track) {
    this.#track = track;
    await this.#sender?.replaceTrack(track);
    this.tellTrack();
  }

  async useCamera(track) {
    await this.#video.useTrack(track);
  }

  // The server must know a muted microphone from a vanished one.
  tellTrack() {
    const enabled = this.#track !== null && this.#track.enabled;
    this.signal({ type: "trackStatus", receiver_index: 0, enabled });
  }

  send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  signal(message) {
    return this.send({ type: "signalling", message });
  }

  stats() {
    return this.#peer?.getStats() ?? null;
  }

  // Nothing comes in: the browser would notice a dead server after some ten seconds, we can ask it.
  async check() {
    const peer = this.#peer;
    try {
      await status();
    } catch (error) {
      if (error.kind === "gone" && peer === this.#peer && this.state === "connected") this.#lost();
    }
  }

  end() {
    this.signal({ type: "peerLeft" });
    this.#finish({ word: "" });
  }

  // ------------------------------------------------------------ connecting

  async #fresh() {
    await this.#signaling.start();
    await this.#connect(false);
  }

  async #attempt(connect) {
    const tried = ++this.#tries;
    try {
      await connect();
    } catch (error) {
      if (tried === this.#tries && this.#alive) this.#failed(error);
    }
  }

  async #connect(restart) {
    this.#detach();
    const peer = new RTCPeerConnection({ iceServers: this.#signaling.iceServers, bundlePolicy: "max-bundle" });
    this.#peer = peer;
    this.#held = false;
    this.#candidates = [];
    this.#listen(peer);
    this.#sender = peer.addTransceiver("audio", { direction: "sendrecv" }).sender;
    if (this.#track) await this.#sender.replaceTrack(this.#track);
    if (this.#video.wanted) this.#video.add(peer);
    this.#open(peer.createDataChannel("chat", { ordered: true }));
    this.#after("connect", CONNECT_MS, () => this.#failed(new SignalingError("media", "")));
    await this.#negotiate(peer, restart);
  }

  // The offer goes out at once; candidates follow as they are found.
  async #negotiate(peer, restart = false) {
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await this.#signaling.offer(peer.localDescription, restart);
    if (peer !== this.#peer) return;
    this.#closeLeftBehind();
    await peer.setRemoteDescription(answer);
    if (this.#video.wanted) this.#emit("pictures", this.#video.botSees);
    this.#trickle(peer);
  }

  // The bot has begun, and wants pictures as well.
  #renegotiate(peer) {
    this.#video.ensure(peer);
    this.#negotiate(peer).catch((error) => peer === this.#peer && this.#failed(error));
  }

  #listen(peer) {
    const mine = (handle) => (event) => peer === this.#peer && handle(event);
    peer.addEventListener("track", mine((event) => {
      const stream = event.streams[0] ?? new MediaStream([event.track]);
      this.#emit(event.track.kind === "video" ? "picture" : "stream", stream);
    }));
    peer.addEventListener("icecandidate", mine(({ candidate }) => {
      this.#candidates.push(candidate ?? { candidate: "", sdpMid: "0", sdpMLineIndex: 0 });
      this.#after("trickle", TRICKLE_MS, () => this.#trickle(peer));
    }));
    peer.addEventListener("connectionstatechange", mine(() => this.#connection(peer.connectionState)));
  }

  #trickle(peer) {
    if (peer !== this.#peer || !peer.remoteDescription || !this.#candidates.length) return;
    this.#signaling.trickle(this.#candidates.splice(0)).catch(() => {
      // The connection's own state will tell whether these candidates were needed.
    });
  }

  #open(channel) {
    this.#channel = channel;
    const mine = (handle) => (event) => channel === this.#channel && handle(event);
    channel.addEventListener("open", mine(() => {
      this.tellTrack();
      this.#ping();
      this.#emit("channel");
    }));
    channel.addEventListener("message", mine((event) => this.#receive(event.data)));
    channel.addEventListener("close", mine(() => this.#lost()));
  }

  // The server takes a second without one for a sign, three for the end (aiortc itself needs 30).
  #ping() {
    if (this.#channel?.readyState !== "open") return;
    this.#channel.send(`ping: ${Math.round(performance.now())}`);
    this.#after("ping", 1000, () => this.#ping());
  }

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // "pong" and its like
    }
    if (message?.type === "signalling") this.#signalled(message.message ?? {});
    else this.#emit("message", message);
  }

  #signalled(message) {
    if (message.type === "renegotiate") this.#renegotiate(this.#peer);
    if (message.type === "peerLeft") this.#finish(leaving(message));
    if (message.type === "hold") this.#hold();
    if (message.type === "moved") this.#move(message);
    if (message.type === "waits") this.#emit("waits", message);
    if (message.type === "code") this.#emit("code", message);
  }

  // ------------------------------------------------------------ new code

  // What is for the bot waits here from now on: the one that would get it is about to be replaced.
  #hold() {
    this.#emit("hold");
    this.signal({ type: "held" });
  }

  // The same call, with a new connection; the person notices nothing but a short gap.
  #move({ left_out: leftOut = [] }) {
    this.#tries = this.#short = 0;
    this.#signaling.peerId = null;
    this.#emit("moved", { leftOut });
    this.#attempt(() => this.#connect(false));
  }

  // ------------------------------------------------------------ losing and getting back

  // Another network, as from Wi-Fi to mobile: the browser takes seconds to see that the old path is dead. If the
  // connection does not stand then, a new one is asked for at once.
  #networkChanged() {
    if (this.state !== "connected") return;
    this.#after("network", NETWORK_MS, () => this.#peer?.connectionState !== "connected" && this.#lost());
  }

  #connection(state) {
    if (state === "connected") this.#stands();
    if (state === "disconnected") this.#after("grace", GRACE_MS, () => this.#lost());
    if (state === "failed" || state === "closed") this.#lost();
  }

  #stands() {
    this.#cancel("grace");
    this.#cancel("connect");
    this.#held = true;
    this.#short += 1;
    this.#after("settled", SETTLED_MS, () => (this.#tries = this.#short = 0));
    this.#become("connected");
  }

  #lost() {
    if (!this.#alive) return;
    if (!this.#held) return this.#failed(new SignalingError("media", ""));
    if (this.#short >= MOST_SHORT) return this.#finish({ word: "botKeepsFailing" });
    this.#retry(() => this.#connect(true));
  }

  #failed(error) {
    if (!this.#alive) return;
    if (error.kind === "refused") return this.#finish({ word: "full", text: error.message });
    if (error.kind === "over") return this.#retry(() => this.#renew(), error);
    if (error.kind === "media" && this.#tries >= 2) return this.#finish({ word: "noMedia" });
    if (error.kind === undefined) console.error(error);
    if (error.kind === "gone") this.#emit("gone");
    this.#retry(() => (this.#signaling.peerId && error.kind === "gone" ? this.#connect(true) : this.#renew()), error);
  }

  async #renew() {
    await this.#fresh();
    this.#emit("renewed");
  }

  #retry(connect, error) {
    this.#detach();
    if (this.#tries >= MOST_TRIES) return this.#finish({ word: error?.kind === "gone" ? "gone" : "lost" });
    this.#become(this.state === "connecting" ? "connecting" : "reconnecting");
    const delayS = error?.kind === "over" ? 0 : (RETRY_S[this.#tries] ?? 3);
    this.#after("retry", delayS * 1000, () => this.#attempt(connect));
  }

  get #alive() {
    return this.state !== "idle" && this.state !== "ended";
  }

  #detach() {
    this.#video.leave();
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    if (!this.#peer) return;
    this.#closeLeftBehind();
    this.#leftBehind = this.#peer;
    this.#peer = this.#channel = this.#sender = null;
  }

  #closeLeftBehind() {
    this.#leftBehind?.close();
    this.#leftBehind = null;
  }

  #finish(detail) {
    if (!this.#alive) return;
    window.removeEventListener("online", this.#onNetwork);
    navigator.connection?.removeEventListener("change", this.#onNetwork);
    this.#detach();
    this.#closeLeftBehind();
    this.#become("ended");
    this.#emit("ended", detail);
  }

  // ------------------------------------------------------------ small tools

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.#emit("state", state);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #after(name, delayMs, act) {
    this.#cancel(name);
    this.#timers.set(name, setTimeout(act, delayMs));
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function leaving(message) {
  const error = message.error;
  if (!error) return { word: "", text: message.reason ?? "" };
  const file = error.file ?? error.path;
  const place = file ? `${file}${error.line ? `:${error.line}` : ""}` : "";
  return { word: "botFailed", text: error.message ?? String(error), place };
}
