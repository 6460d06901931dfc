// The page's colours, for what is drawn on a canvas.

const NAMES = [
  "paper",
  "raised",
  "ink",
  "soft",
  "line",
  "you",
  "you-soft",
  "bot",
  "bot-soft",
  "good",
  "fair",
  "bad",
  "sans",
  "grid",
];
const SEGMENTS = [
  "waiting",
  "recogniser",
  "end_of_turn",
  "llm_first_token",
  "first_sentence",
  "voice_first_sound",
  "output",
  "line",
  "leading_silence",
];
const LANES = ["recogniser", "turn", "llm", "tool", "voice", "loop", "line"];

let current = null;
const watchers = new Set();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  current = null;
  for (const redraw of watchers) redraw();
});

export function onTheme(redraw) {
  watchers.add(redraw);
}

export function theme() {
  current ??= read();
  return current;
}

function read() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ...Object.fromEntries(NAMES.map((name) => [name, value(name)])),
    segment: Object.fromEntries(SEGMENTS.map((name) => [name, value(`seg-${name}`)])),
    lane: Object.fromEntries(LANES.map((name) => [name, value(`lane-${name}`)])),
  };
}

// A canvas as sharp as the screen; returns its context, with 1 unit a CSS pixel.
export function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
