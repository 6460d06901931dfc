// Notices: one per subject, with what can be done about it.

export class Notices {
  #root;
  #shown = new Map();

  constructor(root) {
    this.#root = root;
  }

  // `place` is a "file:line", `source` that line; `advice` says what to do; `actions` are [label, function] pairs.
  show(subject, { title, text = "", place = "", source = "", advice = "", tone = "error", actions = [] }) {
    this.clear(subject);
    const notice = document.createElement("div");
    notice.className = `notice ${tone}`;
    notice.dataset.subject = subject;
    notice.append(element("strong", title));
    if (place) notice.append(element("code", place));
    if (text) notice.append(element("p", text));
    if (source) notice.append(element("pre", source));
    if (advice) notice.append(element("p", advice, "advice"));
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

// The texts of all notices. Each is what `Notices.show` takes, without its actions.
export const WORDS = {
  cameraRefused: {
    title: "The camera is blocked",
    text: "The bot asks for pictures. Allow the camera in the browser’s address bar, or continue without it.",
    tone: "info",
  },
  noCamera: { title: "No camera found", text: "The bot asks for pictures. The call continues without them.", tone: "info" },
  refused: {
    title: "The microphone is blocked",
    text: "Allow it with the icon in the address bar, then try again. You can also type.",
  },
  missing: {
    title: "No microphone found",
    text: "Connect one, or allow this browser to use it in the system settings. You can also type.",
  },
  busy: {
    title: "The microphone cannot be opened",
    text: "Another program may be using it. Close that program or choose another microphone. You can also type.",
  },
  insecure: {
    title: "No microphone over HTTP",
    text: "Browsers allow the microphone only on localhost or over HTTPS. Start botrun with --https, or open the page on this machine. You can also type.",
  },
  unplugged: { title: "The microphone was disconnected", text: "The call continues. Connect it again or choose another one." },
  gone: {
    title: "The server does not answer",
    text: "Check that botrun is running in its terminal. This page reconnects when it is back.",
  },
  lost: { title: "The connection was lost", text: "Several attempts to reconnect failed." },
  full: { title: "The server refused the call" },
  botFailed: { title: "The bot failed" },
  botKeepsFailing: {
    title: "The bot ends every call at once",
    text: "The terminal that runs botrun shows the reason.",
  },
  silent: {
    title: "This bot sends no text",
    text: "It can be heard, but it does not answer over RTVI, so there is no transcript and no typing.",
    tone: "info",
  },
  broken: { title: "The new code does not load", text: "The previous code continues.", tone: "info" },
  waits: { title: "The bot failed", text: "The call stays open. Fix the error and save to continue." },
  newCode: { title: "New code is waiting for a pause", text: "Right now {busy}. What you type is answered at once, by the new code.", tone: "info" },
  leftOut: { title: "Part of the conversation could not be moved", tone: "info" },
  noSound: { title: "The browser blocks sound", text: "It needs one more click.", tone: "info" },
  noMedia: {
    title: "No connection for sound",
    text: "The server answers, but no packet arrives over UDP. A firewall or a VPN may block it.",
  },
};
