// A call while it runs: what is new comes as server-sent events.

const LEAST_MS = 700; // between two looks at the whole

export class Live {
  #view;
  #events = null;
  #timer = 0;
  #wait = LEAST_MS;

  constructor(view) {
    this.#view = view;
  }

  start() {
    const view = this.#view;
    document.body.classList.add("live");
    view.timeline.following = true;
    view.timeline.show(Math.max(0, view.model.duration - 20), Math.max(view.model.duration, 20));
    this.#events = view.source.live();
    this.#events.addEventListener("call", () => this.#soon());
    this.#events.addEventListener("events", ({ data }) => {
      view.addEvents(JSON.parse(data).events);
      this.#soon();
    });
    this.#events.addEventListener("peaks", ({ data }) => view.waves.append(JSON.parse(data)));
    this.#events.addEventListener("end", () => this.#end());
    window.addEventListener("pagehide", () => this.#events.close());
    return this;
  }

  // The spans and answers are the server's to work out: asked for again, but not more often than it is quick.
  #soon() {
    this.#timer ||= setTimeout(async () => {
      const since = performance.now();
      await this.#refresh();
      this.#wait = Math.max(LEAST_MS, (performance.now() - since) * 4);
      this.#timer = 0;
    }, this.#wait);
  }

  async #refresh() {
    try {
      this.#view.update(await this.#view.source.detail());
    } catch (error) {
      console.warn(error.message);
    }
  }

  async #end() {
    this.#events.close();
    clearTimeout(this.#timer);
    document.body.classList.remove("live");
    const view = this.#view;
    view.timeline.following = false;
    await this.#refresh();
    view.waves.settle(view.model.duration);
    view.soundChanged();
  }
}
