// The page: connects the parts and handles gestures.

import { Call } from "./call.js";
import { Conversation } from "./conversation.js";
import { hearing } from "./hearing.js";
import { installHooks } from "./hooks.js";
import { Hush } from "./hush.js";
import { Latency } from "./latency.js";
import { Bar, Meters } from "./meters.js";
import { Microphone } from "./microphone.js";
import { Notices, WORDS } from "./notices.js";
import { Orb } from "./orb.js";
import { Panel } from "./panel.js";
import { Pictures } from "./pictures.js";
import { Rtvi } from "./rtvi.js";
import { Settings } from "./settings.js";
import { status } from "./signaling.js";
import { Stats } from "./stats.js";
import { Turns } from "./turns.js";
import { byId, View } from "./view.js";

const QUIET_S = 2; // without one packet: time to ask whether the server still lives

const settings = new Settings();
const microphone = new Microphone(settings);
const call = new Call();
const rtvi = new Rtvi(call);
const meters = new Meters();
const latency = new Latency();
const stats = new Stats(call);
const notices = new Notices(byId("notices"));
const conversation = new Conversation(byId("log"), byId("latest"));
const turns = new Turns({ rtvi, conversation, latency });
const view = new View(new Orb(byId("rings"), meters));
const bars = { you: new Bar(byId("you-meter")), bot: new Bar(byId("bot-meter")), set: new Bar(byId("settings-meter")) };
const audio = byId("bot-audio");
const pictures = new Pictures();
const hush = new Hush(audio, meters);
const figures = {};
let clickedAt = 0;
let botFailed = false; // the call is open, but nobody answers

new Panel(settings, microphone);
installHooks({ call, rtvi, meters, figures });

// ------------------------------------------------------------ gestures

async function talk() {
  if (call.state === "connecting" || call.state === "reconnecting") return;
  if (call.state !== "connected") await begin();
  else if (microphone.open) microphone.muted = !microphone.muted;
  else await openMicrophone();
}

// With the microphone allowed, the call does not wait for it. Otherwise it starts after the browser has asked.
async function begin() {
  prepare();
  if (await microphone.granted()) await Promise.all([ring(), openMicrophone()]);
  else if (await openMicrophone()) await ring();
}

function prepare() {
  notices.clearAll();
  clickedAt = performance.now();
  meters.start();
}

async function ring() {
  for (const name of Object.keys(figures)) delete figures[name];
  view.forgetFigures();
  conversation.divide("New call");
  await call.start(microphone.track);
}

async function openMicrophone() {
  try {
    await microphone.start();
    return true;
  } catch (error) {
    explainMicrophone(error.word);
    return false;
  }
}

function explainMicrophone(word) {
  const again = ["Try again", () => (call.state === "connected" ? openMicrophone() : begin())];
  const type = ["Type instead", () => byId("text").focus()];
  notices.show("microphone", { ...WORDS[word], actions: word === "insecure" ? [type] : [again, type] });
}

// A typed message starts a call if needed, without asking for the microphone.
async function say(text) {
  if (!text) return;
  if (call.state === "idle" || call.state === "ended") {
    prepare();
    await ring();
  }
  turns.type(text);
}

byId("orb").addEventListener("click", talk);
byId("mute").addEventListener("click", () => (microphone.muted = !microphone.muted));
byId("end").addEventListener("click", () => call.end());
byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = byId("text");
  say(input.value.trim());
  input.value = "";
});
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (byId("settings").open || event.target.closest("input, select, textarea, button")) return;
  const act = { " ": talk, "/": () => byId("text").focus() }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
window.addEventListener("pagehide", () => call.end());

// ------------------------------------------------------------ the call

call.addEventListener("state", ({ detail: state }) => {
  view.connection(state);
  if (state === "connected") connected();
  else stats.stop();
  if (state === "reconnecting" || state === "ended") turns.fallSilent();
  showMood();
});

function connected() {
  botFailed = false;
  notices.clear("connection");
  figures.clickToConnectedMs ??= performance.now() - clickedAt;
  stats.start();
}

call.addEventListener("stream", ({ detail: stream }) => {
  audio.srcObject = stream;
  meters.watch("bot", stream);
  audio.play().catch((error) => {
    if (error.name !== "NotAllowedError") return;
    notices.show("sound", { ...WORDS.noSound, actions: [["Play sound", () => audio.play()]] });
  });
});
call.addEventListener("picture", ({ detail: stream }) => pictures.showBot(stream));
call.addEventListener("pictures", ({ detail: botSees }) => pictures.agreed(botSees));
pictures.addEventListener("change", () => call.useCamera(pictures.track));
pictures.addEventListener("failed", ({ detail: word }) => notices.show("camera", { ...WORDS[word], actions: [["Try again", () => pictures.open()]] }));
call.addEventListener("gone", () => notices.show("connection", { ...WORDS.gone }));
call.addEventListener("waits", ({ detail: { busy } }) => notices.show("waits", { ...WORDS.newCode, text: WORDS.newCode.text.replace("{busy}", busy) }));
call.addEventListener("moved", ({ detail: { leftOut } }) => {
  notices.clear("waits");
  turns.fallSilent();
  conversation.codeUpdated();
  notices.clear("bot"); // an error of the previous code
  if (leftOut.length) notices.show("left-out", { ...WORDS.leftOut, text: leftOut.join("; ") });
});
call.addEventListener("code", ({ detail: { failure, waits } }) => {
  notices.clear("code");
  botFailed = Boolean(failure && waits);
  showMood();
  if (!failure) return;
  const { message, file, line, source } = failure;
  const words = waits ? WORDS.waits : WORDS.broken;
  const shown = { text: message, source: source?.trim() ?? "", advice: words.text };
  notices.show("code", { ...words, ...shown, place: line ? `${file}:${line}` : file });
});
call.addEventListener("renewed", () => conversation.divide("Connection lost, new call"));
call.addEventListener("ended", ({ detail }) => {
  audio.srcObject = null;
  microphone.stop();
  pictures.end();
  meters.stop();
  showLevels(performance.now());
  conversation.divide(detail.text && !detail.word ? `Call ended: ${detail.text}` : "Call ended");
  offerRecord(call.sessionId);
  notices.clear("connection");
  notices.clear("waits");
  if (detail.word) explainEnd(detail);
});

// A link to the call's record, if there is one.
async function offerRecord(id) {
  if (!id) return;
  const answer = await fetch(`api/calls?limit=1&q=${encodeURIComponent(id)}`).catch(() => null);
  const { calls = [] } = answer?.ok ? await answer.json() : {};
  if (calls.length) conversation.link("Look at this call", `calls?call=${encodeURIComponent(calls[0].id)}`);
}

function explainEnd({ word, text, place }) {
  const subject = word === "botFailed" ? "bot" : "connection";
  if (subject === "bot" && notices.has("bot")) return; // reported over RTVI already
  const words = { ...WORDS[word], ...(text && { text }), ...(place && { place }) };
  notices.show(subject, { ...words, actions: [["Call again", begin]] });
}

// ------------------------------------------------------------ sound

microphone.addEventListener("change", () => {
  meters.watch("you", microphone.stream);
  view.microphone(microphone);
  if (microphone.open) notices.clear("microphone");
  call.useTrack(microphone.track);
  showMood();
});
microphone.addEventListener("failed", ({ detail }) => explainMicrophone(detail.word));

meters.addEventListener("tick", ({ detail }) => {
  latency.hear(detail.now, detail.you, detail.bot);
  showLevels(detail.now);
});

function showLevels(at) {
  bars.you.show(meters.level.you, at);
  bars.bot.show(meters.level.bot, at);
  bars.set.show(meters.level.you, at);
}

turns.addEventListener("cut", () => {
  if (latency.botIsHeard(performance.now())) hush.cut(figures.jitterBufferMs ?? 80);
});
rtvi.addEventListener("bot-tts-started", () => hush.newReply(figures.jitterBufferMs ?? 80));

// ------------------------------------------------------------ figures

latency.addEventListener("bot-sound", ({ detail: at }) => {
  if (figures.clickToFirstSoundMs !== undefined || call.state !== "connected") return;
  figures.clickToFirstSoundMs = at - clickedAt;
  view.firstSound(figures.clickToFirstSoundMs);
});
latency.addEventListener("turn", ({ detail: ms }) => {
  figures.turnMs = ms;
  view.turn(ms, figures.serverTurnMs);
});
latency.addEventListener("stop", ({ detail: ms }) => (figures.stopMs = ms));

stats.addEventListener("figures", ({ detail }) => {
  Object.assign(figures, detail);
  view.roundTrip(detail.roundTripMs);
  view.hearing("you-hear", hearing({ ...detail, heldMs: detail.jitterBufferMs }));
  if (detail.silentS >= QUIET_S) call.check();
  if (detail.jitterBufferMs === null) return;
  const { jitterBufferMs, roundTripMs } = detail;
  call.signal({ type: "playout", jitter_buffer_ms: rounded(jitterBufferMs), round_trip_ms: rounded(roundTripMs) });
});

function rounded(ms) {
  return ms === null ? null : Math.round(ms * 10) / 10;
}

// ------------------------------------------------------------ messages from the bot

turns.addEventListener("change", showMood);
rtvi.addEventListener("silent", () => notices.has("code") || notices.show("silent", WORDS.silent));
rtvi.addEventListener("bot-ready", () => {
  notices.clear("silent");
  figures.clickToReadyMs ??= performance.now() - clickedAt;
});
rtvi.addEventListener("error-response", ({ detail }) => console.warn("the server:", detail.error));
rtvi.addEventListener("server-message", ({ detail }) => {
  if (detail.type !== "session-stats") return;
  figures.server = detail; // the same call as the bot has it, every 5 s
  const { loss, concealed: madeUp, buffer_ms: heldMs, jitter_ms: jitterMs } = detail;
  view.hearing("bot-hears", hearing({ loss, madeUp, heldMs, jitterMs }));
});
rtvi.addEventListener("metrics", ({ detail }) => {
  const seconds = detail.turn_latency?.at(-1)?.value;
  if (!seconds) return;
  figures.serverTurnMs = seconds * 1000;
  if (figures.turnMs) view.turn(figures.turnMs, figures.serverTurnMs);
});
rtvi.addEventListener("error", ({ detail }) => {
  const { error, message, exception, source, advice, fatal, processor, file, line } = detail;
  if (fatal) botFailed = true;
  showMood();
  const place = file ? `${file}${line ? `:${line}` : ""}` : "";
  const text = String(exception ?? error ?? message ?? "");
  notices.show("bot", {
    title: fatal ? "The bot failed" : `Error in ${processor ?? "the bot"}`,
    place,
    text: place && text.startsWith(`${place}: `) ? text.slice(place.length + 2) : text,
    source: source?.trim() ?? "",
    advice: advice ?? "",
    tone: fatal ? "error" : "info",
    actions: fatal ? [["Call again", begin]] : [],
  });
});

function showMood() {
  view.mood(mood(), microphone.open);
}

function mood() {
  if (call.state !== "connected") return call.state;
  if (botFailed) return "failed";
  if (turns.botSpeaks) return "speaking";
  if (turns.thinking) return "thinking";
  if (!microphone.open) return "typed";
  if (microphone.muted) return "muted";
  return turns.userSpeaks ? "hearing" : "listening";
}

// ------------------------------------------------------------ start

showMood();
status().then(
  (found) => view.bot(found.bot?.file ?? ""),
  (error) => error.kind === "gone" && notices.show("connection", { ...WORDS.gone }),
);
