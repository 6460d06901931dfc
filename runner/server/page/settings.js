// What the person chose, kept in this browser between visits.

const KEY = "botrun.settings";
const DEFAULTS = { microphone: "", echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Settings extends EventTarget {
  #values = { ...DEFAULTS, ...stored() };

  get(name) {
    return this.#values[name];
  }

  set(name, value) {
    if (this.#values[name] === value) return;
    this.#values[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#values));
    } catch {
      // Private windows may refuse storage: the choice then lasts as long as the page.
    }
    this.dispatchEvent(new CustomEvent("change", { detail: { name, value } }));
  }

  // What getUserMedia is asked for. The device is a wish, so that an unplugged one is no error.
  audioConstraints() {
    const { microphone, echoCancellation, noiseSuppression, autoGainControl } = this.#values;
    const device = microphone ? { deviceId: { ideal: microphone } } : {};
    return { ...device, echoCancellation, noiseSuppression, autoGainControl, channelCount: 1 };
  }
}

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const known = Object.entries(found).filter(([name, value]) => typeof value === typeof DEFAULTS[name]);
    return Object.fromEntries(known);
  } catch {
    return {};
  }
}
