// Sentences for the person, where they matter: one notice per subject, with what can be done about it.

export class Notices {
  #root;
  #shown = new Map();

  constructor(root) {
    this.#root = root;
  }

  // `place` is a "file:line" to show as code; `actions` are [label, function] pairs.
  show(subject, { title, text = "", place = "", tone = "error", actions = [] }) {
    this.clear(subject);
    const notice = document.createElement("div");
    notice.className = `notice ${tone}`;
    notice.dataset.subject = subject;
    notice.append(element("strong", title));
    if (place) notice.append(element("code", place));
    if (text) notice.append(element("p", text));
    const buttons = actions.map(([label, act]) => this.#button(subject, label, act));
    const row = element("div", "", "actions");
    row.append(...buttons, this.#button(subject, "Close", () => {}, "quiet"));
    notice.append(row);
    this.#root.append(notice);
    this.#shown.set(subject, notice);
  }

  clear(subject) {
    this.#shown.get(subject)?.remove();
    this.#shown.delete(subject);
  }

  has(subject) {
    return this.#shown.has(subject);
  }

  clearAll() {
    for (const subject of [...this.#shown.keys()]) this.clear(subject);
  }

  #button(subject, label, act, className = "") {
    const button = element("button", label, className);
    button.type = "button";
    button.addEventListener("click", () => {
      this.clear(subject);
      act();
    });
    return button;
  }
}

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Everything that can go wrong, in words. Each is what `Notices.show` takes, without its actions.
export const WORDS = {
  cameraRefused: {
    title: "The camera cannot be opened",
    text: "The bot would like to see you. Allow the camera in the browser’s address bar, or go on without: it works as well.",
    tone: "info",
  },
  noCamera: { title: "No camera was found", text: "The bot would like to see you; it goes on without.", tone: "info" },
  refused: {
    title: "The microphone is refused",
    text: "Allow it with the icon at the left of the address bar, then try again. You can also type.",
  },
  missing: {
    title: "No microphone was found",
    text: "Plug one in, or allow this browser to use it in the system’s settings. You can also type.",
  },
  busy: {
    title: "The microphone cannot be opened",
    text: "Another program may hold it. Close that one, or choose another microphone. You can also type.",
  },
  insecure: {
    title: "No microphone over plain http",
    text: "Browsers give the microphone only to pages from localhost or over https. Open this page that way to speak. You can type here all the same.",
  },
  unplugged: { title: "The microphone has gone", text: "The call goes on. Plug it in again, or choose another one." },
  gone: {
    title: "The server does not answer",
    text: "Is botrun still running in its terminal? As soon as it is back, this page connects again by itself.",
  },
  lost: { title: "The connection is lost", text: "Several attempts to get it back have failed." },
  full: { title: "The server took no call" },
  botFailed: { title: "The bot failed" },
  botKeepsFailing: {
    title: "The call ends as soon as it begins",
    text: "The terminal in which botrun runs should tell why.",
  },
  silent: {
    title: "This bot sends no text",
    text: "It can be heard, but it has not answered as RTVI asks: nothing can be read or typed.",
    tone: "info",
  },
  broken: { title: "The new code does not load", text: "The code from before goes on.", tone: "info" },
  waits: { title: "The bot failed", text: "The call is kept: it goes on when that is mended and saved." },
  newCode: { title: "New code waits for a pause", text: "Meanwhile {busy}; what you type is answered at once, by the new code.", tone: "info" },
  leftOut: { title: "Not all of the conversation could go along", tone: "info" },
  noSound: { title: "The browser holds the sound back", text: "It wants one more click first.", tone: "info" },
  noMedia: {
    title: "No connection for sound",
    text: "The server answers, but no sound can pass between it and this browser. A firewall, or a VPN, may be in the way.",
  },
};
