// The dialog with the sound settings.

import { byId } from "./view.js";

const SWITCHES = ["echoCancellation", "noiseSuppression", "autoGainControl"];

export class Panel {
  #settings;
  #microphone;
  #dialog = byId("settings");
  #select = byId("microphone");

  constructor(settings, microphone) {
    this.#settings = settings;
    this.#microphone = microphone;
    byId("open-settings").addEventListener("click", () => this.open());
    microphone.addEventListener("change", () => this.#list());
    this.#select.addEventListener("change", () => settings.set("microphone", this.#select.value));
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // the backdrop
    });
    for (const name of SWITCHES) this.#bind(byId(name), name);
    this.#list();
  }

  open() {
    this.#list();
    this.#dialog.showModal();
  }

  #bind(input, name) {
    input.checked = this.#settings.get(name);
    input.addEventListener("change", () => this.#settings.set(name, input.checked));
  }

  async #list() {
    const chosen = this.#settings.get("microphone");
    const choices = await this.#microphone.choices();
    const options = choices.map(({ id, label }) => new Option(label, id));
    this.#select.replaceChildren(new Option("The system’s default", ""), ...options);
    this.#select.value = choices.some(({ id }) => id === chosen) ? chosen : "";
  }
}
