// The bar with the play button, the time, and the whole call in one line.

import { button, el, icon, roundButton } from "./dom.js";
import { clock } from "./words.js";

const CHANNELS = [
  ["both", "Both"],
  ["caller", "Caller"],
  ["bot", "Bot"],
];
const SPEEDS = [1, 1.5, 2, 0.5];

export class TransportBar {
  #player;

  constructor(player, overview, timeline, { copyLink }) {
    this.#player = player;
    this.play = el(
      "button.play-main",
      { type: "button", "aria-label": "Play", title: "Play (Space)", onclick: () => player.toggle() },
      icon("play"),
    );
    this.at = el("output.clock", { "aria-label": "Position" }, clock(0));
    this.of = el("span.soft");
    this.channels = CHANNELS.map(([name, text]) =>
      button(text, () => player.listenTo(name), {
        class: "filter",
        "data-name": name,
        "aria-pressed": String(name === "both"),
      }),
    );
    this.speed = button("1×", () => this.#faster(), { class: "filter speed", title: "Speed" });
    const zoom = el(
      "div.zoom",
      { role: "group", "aria-label": "Zoom" },
      roundButton("minus", "Zoom out (-)", () => timeline.zoom(1 / 1.6)),
      roundButton("plus", "Zoom in (+)", () => timeline.zoom(1.6)),
      roundButton("fit", "Show the whole call (0)", () => timeline.fit()),
    );
    const link = copyLink ? roundButton("link", "Copy a link to this moment", () => copyLink(link)) : null;
    const listen = el("div.filters.listen", { role: "group", "aria-label": "Listen to" }, this.channels, this.speed);
    this.element = el(
      "div.transport",
      {},
      this.play,
      el("div.times", {}, this.at, this.of),
      overview.element,
      el("div.transport-tools", {}, listen, zoom, link),
    );
    player.addEventListener("change", () => this.#show());
    player.addEventListener("move", ({ detail }) => this.moveTo(detail.at));
    this.#show();
  }

  moveTo(at) {
    this.at.textContent = clock(at);
  }

  lasts(seconds) {
    this.of.textContent = `/ ${clock(seconds, 0)}`;
  }

  #faster() {
    const next = SPEEDS[(SPEEDS.indexOf(this.#player.speed) + 1) % SPEEDS.length];
    this.#player.speed = next;
  }

  #show() {
    const { playing, available, channel, speed } = this.#player;
    this.play.replaceChildren(icon(playing ? "pause" : "play"));
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.play.disabled = !available;
    this.play.title = available ? "Play (Space)" : "This call has no sound";
    this.element.classList.toggle("silent", !available);
    for (const chip of this.channels) chip.setAttribute("aria-pressed", String(chip.dataset.name === channel));
    this.speed.textContent = `${speed}×`;
  }
}
