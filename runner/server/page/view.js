// Everything the page shows besides the conversation: the word in the rings, the state, the figures.

// The word in the rings; the hint below it with a keyboard, and on a touch screen.
const MOODS = {
  idle: ["Talk", "Click, or press Space", "Tap to begin"],
  ended: ["Talk", "Click, or press Space, to call again", "Tap to call again"],
  connecting: ["Connecting", "One moment", "One moment"],
  reconnecting: ["Reconnecting", "The connection was lost", "The connection was lost"],
  listening: ["Listening", "Speak at any time. Space mutes", "Speak at any time. A tap mutes"],
  hearing: ["Listening", "Speak at any time. Space mutes", "Speak at any time. A tap mutes"],
  thinking: ["Thinking", "Space mutes", "A tap mutes"],
  speaking: ["Speaking", "Speak to interrupt. Space mutes", "Speak to interrupt. A tap mutes"],
  muted: ["Muted", "Click, or press Space, to be heard", "Tap to be heard"],
  failed: ["Bot failed", "The error is shown with the conversation", "The error is shown below"],
  typed: ["Speak", "Click, or press Space, to open the microphone", "Tap to open the microphone"],
};
const fingers = matchMedia("(hover: none)");
const CONNECTION = {
  idle: "Not connected",
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  ended: "Call ended",
};
const GOOD_MS = 800; // an answer up to here feels natural, up to the next one slow (reference/UX.md)
const SLOW_MS = 1500;

export const byId = (id) => document.getElementById(id);

export class View {
  #orb;

  constructor(orb) {
    this.#orb = orb;
  }

  mood(mood, canMute) {
    const [word, ...hints] = MOODS[mood];
    // Without a microphone there is nothing to mute.
    const [withKeys, withFingers] = canMute ? hints : hints.map((hint) => hint.replace(/(\. )?(Space|A tap) mutes$/, ""));
    document.body.dataset.mood = mood;
    this.#orb.state = mood;
    write("orb-word", word);
    byId("orb-hint").replaceChildren(...keyed(fingers.matches ? withFingers : withKeys));
    byId("orb").setAttribute("aria-label", mood === "typed" ? "Open the microphone" : word);
  }

  connection(state) {
    document.body.dataset.state = state;
    write("connection-text", CONNECTION[state]);
    byId("end").hidden = state === "idle" || state === "ended";
  }

  microphone({ open, muted }) {
    document.body.dataset.microphone = !open ? "off" : muted ? "muted" : "on";
    const mute = byId("mute");
    mute.disabled = !open;
    mute.setAttribute("aria-pressed", String(open && muted));
  }

  bot(name) {
    write("bot-name", name);
    if (name) document.title = `${name} · botrun`;
  }

  roundTrip(ms) {
    write("round-trip", milliseconds(ms));
  }

  // end: "you-hear" or "bot-hears"
  hearing(end, { word, tone, detail }) {
    write(end, word);
    byId(end).dataset.tone = tone;
    byId(end).title = detail;
  }

  turn(ms, serverMs) {
    write("turn", seconds(ms));
    byId("turn").dataset.tone = tone(ms);
    if (serverMs) byId("turn").title = `Heard here: ${seconds(ms)}. The server reports ${seconds(serverMs)}.`;
  }

  firstSound(ms) {
    write("first-sound", seconds(ms));
    byId("first-sound").dataset.tone = tone(ms);
  }

  forgetFigures() {
    for (const id of ["turn", "round-trip", "you-hear", "bot-hears", "first-sound"]) {
      write(id, "–");
      delete byId(id).dataset.tone;
      if (id.includes("hear")) byId(id).title = "";
    }
  }
}

function write(id, text) {
  const target = byId(id);
  if (target.textContent !== text) target.textContent = text;
}

function tone(ms) {
  if (ms <= GOOD_MS) return "good";
  return ms <= SLOW_MS ? "fair" : "bad";
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}

function milliseconds(ms) {
  return ms === null ? "–" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function keyed(text) {
  return text.split(/(Space)/).map((part) => {
    if (part !== "Space") return part;
    const key = document.createElement("kbd");
    key.textContent = part;
    return key;
  });
}
