// Where a call comes from: this botrun's API, or the file that it was saved in.

export class NotFound extends Error {}

const API = "api/calls";

export async function fetchJson(path, query = {}) {
  const asked = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined),
  );
  const answer = await fetch(`${path}${asked.size ? `?${asked}` : ""}`, { headers: { accept: "application/json" } });
  if (answer.ok) return answer.json();
  const { detail } = await answer.json().catch(() => ({}));
  throw new NotFound(typeof detail === "string" ? detail : `the server answered ${answer.status}`);
}

export const listCalls = (query) => fetchJson(API, query);

export class ServedCall {
  #path;

  constructor(id) {
    this.id = id;
    this.saved = false;
    this.#path = `${API}/${encodeURIComponent(id)}`;
  }

  get soundUrl() {
    return `${this.#path}/sound.wav`;
  }

  detail() {
    return fetchJson(this.#path);
  }

  // All events, page by page.
  async events() {
    const events = [];
    for (let after = 0, total = 1; after < total;) {
      const page = await fetchJson(`${this.#path}/events`, { after });
      events.push(...page.events);
      total = page.total;
      if (page.next === null || page.next <= after) break;
      after = page.next;
    }
    return events;
  }

  // Messages page by page, for `for await`.
  async *messages({ media }) {
    for (let after = 0, total = 1; after < total;) {
      const page = await fetchJson(`${this.#path}/wire`, { after, limit: 5000, ...(!media && { media: "false" }) });
      yield page.messages;
      total = page.total;
      if (page.next === null || page.next <= after) break;
      after = page.next;
    }
  }

  peaks(from, to, width) {
    return fetchJson(`${this.#path}/peaks`, { from, to, width });
  }

  live() {
    return new EventSource(`${this.#path}/live`);
  }
}

// A call saved by `botrun show --html`: gzipped JSON and the sound, in base64.
export class SavedCall {
  #data;

  constructor(data, soundUrl) {
    this.#data = data;
    this.id = data.detail.summary.id;
    this.saved = true;
    this.soundUrl = soundUrl;
    this.dense = data.peaks && { rate: data.peaks.rate, caller: data.peaks.caller, bot: data.peaks.bot };
  }

  static there() {
    return document.getElementById("saved-call") !== null;
  }

  static async read() {
    const packed = new Blob([fromBase64(document.getElementById("saved-call").textContent)]);
    const data = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).json();
    const sound = document.getElementById("saved-sound");
    const url = sound && URL.createObjectURL(new Blob([fromBase64(sound.textContent)], { type: sound.dataset.type }));
    return new SavedCall(data, url);
  }

  async detail() {
    return this.#data.detail;
  }

  async events() {
    return this.#data.events;
  }

  async *messages({ media }) {
    const { messages } = this.#data;
    yield media ? messages : messages.filter(({ at, k }) => at === null && k !== "rtp" && k !== "pcm");
  }
}

function fromBase64(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let n = 0; n < binary.length; n++) bytes[n] = binary.charCodeAt(n);
  return bytes;
}
