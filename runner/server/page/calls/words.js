// How figures and names are written.

export const GOOD_S = 0.8; // an answer up to here feels natural, up to the next one slow
export const SLOW_S = 1.5;

// The parts of an answer's silence: in short, what it means, and within a sentence.
export const SEGMENTS = {
  waiting: ["Waiting", "botrun waited to hear whether the caller goes on", "waiting for more speech"],
  recogniser: ["Speech recognition", "from there to the final words", "speech recognition"],
  end_of_turn: ["End of turn", "deciding that the caller’s turn is over", "the end-of-turn decision"],
  llm_first_token: [
    "Model: first token",
    "from the request to the model to its first token",
    "the model’s first token",
  ],
  first_sentence: [
    "Model: first sentence",
    "from the first token to the first whole sentence; tools run here",
    "the model’s first sentence",
  ],
  voice_first_sound: ["Voice: first sound", "from the sentence to the voice’s first sound", "the voice’s first sound"],
  output: ["Output", "until the first sound was sent", "output"],
  line: ["Line", "from botrun to the caller’s ear", "the line"],
  leading_silence: [
    "Silence in the voice",
    "the voice’s sound begins with silence",
    "silence at the start of the voice’s sound",
  ],
};

export const LANES = {
  recogniser: "Recognition",
  turn: "End of turn",
  llm: "Model",
  tool: "Tools",
  voice: "Voice",
  loop: "Event loop",
  line: "Line",
};

const CAUSES = {
  bot_code: "by the bot’s code",
  garbage_collection: "by garbage collection",
  busy_machine: "because the machine was busy",
  botrun: "by botrun",
  import: "by an import",
  library: "by a library",
};
const TRANSPORTS = {
  webrtc: "Browser",
  twilio: "Twilio",
  telnyx: "Telnyx",
  plivo: "Plivo",
  exotel: "Exotel",
  websocket: "WebSocket",
  daily: "Daily",
};

export const transport = (name) => TRANSPORTS[name] ?? name;

export const cause = (name) => CAUSES[name] ?? name ?? "";

export function seconds(s, digits = 2) {
  if (s === null || s === undefined) return "–";
  return `${s.toFixed(digits)} s`;
}

// "0.61 s", and short times in ms
export function short(s) {
  if (s === null || s === undefined) return "–";
  return s < 0.1 ? `${Math.round(s * 1000)} ms` : seconds(s);
}

// "12.34", "1:02.3"
export function clock(s, digits = 1) {
  const whole = Math.max(s, 0);
  const rest = (whole % 60).toFixed(digits);
  if (Number(rest) >= 60) return clock(Math.round(whole), digits);
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const padded = rest.padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${padded}` : `${minutes}:${padded}`;
}

// "41 s", "3 min 12 s", "1 h 2 min"
export function duration(s) {
  if (s === null || s === undefined) return "–";
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

export function tone(s) {
  if (s === null || s === undefined) return "";
  return s <= GOOD_S ? "good" : s <= SLOW_S ? "fair" : "bad";
}

export function day(iso) {
  const at = new Date(iso);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return at.toLocaleDateString(undefined, { day: "numeric", month: "short", ...(days > 300 && { year: "numeric" }) });
}

export function timeOfDay(iso) {
  return new Date(iso).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function bytes(n) {
  if (n === null || n === undefined) return "";
  return n < 1000 ? `${n} B` : `${(n / 1000).toFixed(1)} kB`;
}

export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}

export function place({ file, line }) {
  return file ? `${file}${line ? `:${line}` : ""}` : "";
}

// "the caller and the transport", of a call's summary
export function whoCalled(call) {
  if (call.scenario) return `Scenario ${call.scenario}`;
  if (call.origin === "call" || call.origin === "load") return `Simulated caller`;
  if (call.origin === "replay") return "Replay";
  return call.from || "";
}

// The longest part of an answer's silence: [name within a sentence, seconds, share]
export function mostly(answer) {
  const longest = answer.segments.reduce((most, each) => (each.seconds > most.seconds ? each : most));
  const name = SEGMENTS[longest.name]?.[2] ?? longest.name;
  return [name, longest.seconds, longest.seconds / Math.max(answer.silence_s, 1e-9)];
}
