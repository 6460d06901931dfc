// The rings: a drop in water. The bot's voice travels outward from the core, yours inward from the rim,
// so one sees who speaks, how loud, and where the two meet.

const RINGS = 24;
const POINTS = 132;
const TRAVEL_MS = 700; // how long a sound takes across the rings
const CORE = 0.44; // the still middle, where the word stands
const STILL_MS = 250; // between pictures, for those who want no motion
const SLOW_MS = 50; // and for a machine that cannot paint sixty a second: its sound comes first
const PATIENCE = 60; // frames until that is decided

export class Orb {
  #canvas;
  #pen;
  #meters;
  #colours = {};
  #past = []; // [ms, you, bot], newest last
  #state = "idle";
  #last = 0;
  #gap = 16;
  #frames = 0;
  #slow = false;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas, meters) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    this.#meters = meters;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#readColours());
    new ResizeObserver(() => this.#fit()).observe(canvas);
    this.#readColours();
    this.#fit();
    requestAnimationFrame((now) => this.#frame(now));
  }

  set state(state) {
    this.#state = state;
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ink", "you", "bot"]) {
      const hex = style.getPropertyValue(`--${name}`).trim();
      this.#colours[name] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    }
  }

  #fit() {
    const size = Math.round(this.#canvas.clientWidth * Math.min(2, devicePixelRatio));
    if (size && this.#canvas.width !== size) this.#canvas.width = this.#canvas.height = size;
  }

  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    this.#judge(now);
    if (now - this.#last < this.#pause) return;
    this.#last = now;
    this.#past.push([now, this.#meters.level.you, this.#meters.level.bot]);
    while (this.#past.length > 2 && this.#past[0][0] < now - TRAVEL_MS * 1.5) this.#past.shift();
    this.#draw(now);
  }

  get #pause() {
    return this.#calm.matches ? STILL_MS : this.#slow ? SLOW_MS : 0;
  }

  #judge(now) {
    if (this.#slow || this.#calm.matches || now - this.#last > 500) return; // a tab that was hidden is not slow
    this.#gap += (now - this.#last - this.#gap) / PATIENCE;
    this.#frames += 1;
    this.#slow = this.#frames > PATIENCE && this.#gap > 24;
  }

  #draw(now) {
    const { width } = this.#canvas;
    const time = this.#calm.matches ? 0 : now / 1000;
    this.#pen.clearRect(0, 0, width, width);
    this.#pen.lineJoin = "round";
    for (let ring = 0; ring < RINGS; ring += 1) this.#ring(ring / (RINGS - 1), time, now, width / 2);
  }

  // One ring; `out` is 0 at the core and 1 at the rim.
  #ring(out, time, now, middle) {
    const travel = this.#calm.matches ? 0 : TRAVEL_MS;
    const bot = this.#levelAt(now - out * travel, 2) * (1 - 0.35 * out);
    const you = this.#levelAt(now - (1 - out) * travel, 1) * (0.3 + 0.7 * out);
    const pulse = this.#pulse(out, time);
    const radius = middle * 0.9 * (CORE + (1 - CORE) * out);
    const unit = middle / 200;
    this.#pen.beginPath();
    for (let point = 0; point <= POINTS; point += 1) {
      const angle = (point / POINTS) * Math.PI * 2;
      const wave =
        grain(angle, out, time) * (3 + 6 * out) +
        bot * 13 * Math.sin(3 * angle + time * 1.7 + out * 2) * Math.cos(2 * angle - time) +
        you * 9 * Math.sin(11 * angle - time * 3) * Math.cos(4 * angle + time * 1.3);
      const at = radius + unit * (wave + bot * 5 + pulse * 3);
      this.#pen.lineTo(middle + at * Math.cos(angle), middle + at * Math.sin(angle));
    }
    this.#stroke(out, you, bot, pulse, unit);
  }

  #stroke(out, you, bot, pulse, unit) {
    const { ink, you: yours, bot: bots } = this.#colours;
    const strength = Math.min(1, Math.max(you * 1.6, bot * 1.35) + pulse * 0.5);
    const meeting = Math.min(1, Math.max(0, 1.35 - 1.7 * out)); // the bot's at the core, yours at the rim
    const voice = mix(yours, bots, you + bot > 0.02 ? bot ** 2 / (bot ** 2 + you ** 2) : meeting);
    const atRest = ["idle", "ended", "failed"].includes(this.#state);
    const colour = mix(ink, voice, Math.max(strength, atRest ? 0.85 : 0.35));
    const faint = { idle: 0.46, ended: 0.4, muted: 0.16 }[this.#state] ?? 0.3;
    this.#pen.strokeStyle = `rgba(${colour.join(",")},${(faint + (1 - faint) * strength * 0.85).toFixed(3)})`;
    this.#pen.lineWidth = unit * (1.05 + 2 * strength);
    this.#pen.stroke();
  }

  // While it connects, rings run inward; at rest, a slow breath.
  #pulse(out, time) {
    if (this.#calm.matches) return 0;
    const seeking = this.#state === "connecting" || this.#state === "reconnecting";
    if (seeking) return Math.max(0, Math.sin((out + time * 0.9) * Math.PI * 2)) ** 4;
    return 0.12 * (1 + Math.sin(time * 0.9 - out * 2.5));
  }

  #levelAt(when, side) {
    for (let index = this.#past.length - 1; index >= 0; index -= 1) {
      if (this.#past[index][0] <= when) return this.#past[index][side];
    }
    return 0;
  }
}

// The grain of the wood: what makes it a thing rather than a row of circles.
function grain(angle, out, time) {
  const drift = time * 0.06;
  return (
    0.55 * Math.sin(2 * angle + 0.6 + drift) +
    0.35 * Math.sin(3 * angle + 2.1 - drift * 1.7 + out * 1.6) +
    0.22 * Math.sin(5 * angle + out * 4.2 + drift * 2.3) +
    0.08 * Math.sin(9 * angle - out * 7)
  );
}

function mix(from, to, share) {
  return from.map((value, index) => Math.round(value + (to[index] - value) * share));
}
