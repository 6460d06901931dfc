// The conversation as text: what you said, and what the bot says, each word marked as it is heard.

import { element } from "./notices.js";

const KEPT = 400; // bubbles; a day-long call must not fill the page's memory
const NEAR_PX = 60; // so close to the end counts as the end

export class Conversation {
  #log;
  #listening = null; // your bubble, while you speak or your words are still being made out
  #reply = null; // the bot's bubble that takes in text
  #segments = new Map(); // segment id -> the reply it belongs to
  #current = null; // the reply that is being heard

  #latest; // the button that leads back to the newest line
  #top = 0; // where the last scroll event left the log
  #stick = true; // whether the newest line stays in view

  constructor(log, latest) {
    this.#log = log;
    this.#latest = latest;
    log.addEventListener("scroll", () => this.#scrolled());
    // A notice below shrinks the log without a scroll event.
    new ResizeObserver(() => this.#follow()).observe(log);
    latest.addEventListener("click", () => {
      this.#stick = true;
      this.#follow();
    });
  }

  // ------------------------------------------------------------ you

  userSpeaks() {
    this.#listening ??= this.#bubble("you", "waiting");
  }

  // The turn is over; what was no speech after all leaves no bubble behind.
  userPauses() {
    const bubble = this.#listening;
    if (bubble?.classList.contains("waiting")) bubble.classList.add("thinking");
  }

  heard(text, final) {
    if (!text.trim()) return;
    const bubble = (this.#listening ??= this.#bubble("you"));
    bubble.classList.remove("waiting", "thinking");
    bubble.classList.toggle("interim", !final);
    bubble.lastElementChild.textContent = text;
    if (final) this.#listening = this.#reply = null;
    this.#follow();
  }

  // Speech that came to nothing: a cough, or a call that was lost.
  forgetWaiting() {
    if (!this.#listening?.classList.contains("waiting")) return;
    this.#listening.remove();
    this.#listening = null;
  }

  notUnderstood() {
    this.heard("not understood", true);
    const bubbles = this.#log.querySelectorAll(".bubble.you");
    bubbles[bubbles.length - 1].classList.add("unclear");
  }

  typed(text) {
    this.#bubble("you", "typed").lastElementChild.textContent = text;
    this.#reply = null;
    this.#follow();
  }

  // ------------------------------------------------------------ the bot

  replyBegins() {
    this.forgetWaiting();
    this.#reply = null;
  }

  // Text of the language model: shown until the voice has announced the same words.
  draft(text) {
    const reply = this.#open();
    reply.draft += text;
    this.#render(reply);
  }

  segment(data) {
    if (!data.text || data.segment_id === undefined) return;
    const reply = this.#segments.get(data.segment_id) ?? this.#open();
    this.#segments.set(data.segment_id, reply);
    reply.segments.set(data.segment_id, data);
    if (data.spoken_status !== "new") [reply.now, this.#current] = [data.segment_id, reply];
    this.#render(reply);
  }

  interrupted() {
    for (const reply of new Set([...this.#segments.values(), this.#reply])) {
      if (!reply || !unheard(reply)) continue;
      reply.cut = true;
      this.#render(reply);
    }
    this.#reply = null;
  }

  botSilent() {
    const reply = this.#current;
    this.#current = null;
    if (!reply) return;
    reply.now = null;
    this.#render(reply);
  }

  // ------------------------------------------------------------ the whole

  // The call moved to new code, which numbers its replies from the start. What was said stays.
  codeUpdated() {
    this.botSilent();
    this.#reply = null;
    this.#segments.clear();
    this.#line("Code updated");
  }

  divide(text) {
    this.botSilent();
    this.forgetWaiting();
    this.#listening = this.#reply = null;
    this.#segments.clear();
    this.#line(text);
  }

  // Behind the last line, to a page that opens beside this one
  link(text, href) {
    const anchor = element("a", text);
    Object.assign(anchor, { href, target: "_blank", rel: "noopener" });
    [...this.#log.querySelectorAll(".divider")].at(-1)?.append(anchor);
  }

  #line(text) {
    if (this.#log.querySelector(".bubble")) this.#log.append(element("p", text, "divider"));
    this.#follow();
  }

  #open() {
    this.#reply ??= { bubble: this.#bubble("bot"), draft: "", segments: new Map(), now: null, cut: false };
    return this.#reply;
  }

  #bubble(side, state = "") {
    const bubble = element("article", "", `bubble ${side} ${state}`.trim());
    bubble.append(element("h3", side === "you" ? "You" : "Bot"), element("p"));
    this.#log.querySelector(".empty")?.remove();
    this.#log.append(bubble);
    while (this.#log.childElementCount > KEPT) this.#log.firstElementChild.remove();
    this.#follow();
    return bubble;
  }

  #render(reply) {
    const parts = [];
    for (const [id, data] of reply.segments) {
      if (parts.length) parts.push(" ");
      parts.push(...spoken(data, id === reply.now, reply.cut));
    }
    const rest = reply.cut && parts.length ? "" : undrawn(reply);
    if (rest) parts.push(parts.length ? " " : "", element(reply.cut ? "del" : "span", rest, "coming"));
    reply.bubble.lastElementChild.replaceChildren(...parts);
    reply.bubble.classList.toggle("cut", reply.cut);
    this.#follow();
  }

  // Keep the newest line in view, unless the person has scrolled back to read.
  #follow() {
    if (this.#stick) this.#log.scrollTop = this.#log.scrollHeight;
    this.#latest.hidden = this.#stick;
  }

  // Only a scroll upward is the person's: the log also moves when it grows, or shrinks under a notice.
  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#stick = true;
    else if (scrollTop < this.#top) this.#stick = false;
    this.#top = scrollTop;
    this.#latest.hidden = this.#stick;
  }
}

// What was heard, the word that is being heard, and what is still to come or was cut off.
function spoken(data, isNow, cut) {
  const heard = data.spoken_progress?.accumulated_text ?? "";
  const rest = data.spoken_progress?.remaining_text ?? data.text;
  const start = isNow && !cut ? heard.trimEnd().lastIndexOf(" ") + 1 : heard.length;
  const parts = [];
  if (start > 0) parts.push(element("span", heard.slice(0, start), "heard"));
  if (start < heard.length) parts.push(element("mark", heard.slice(start)));
  if (rest) parts.push(/^\s/.test(rest) ? " " : "", element(cut ? "del" : "span", rest.trimStart(), "coming"));
  return parts;
}

function unheard(reply) {
  const segments = [...reply.segments.values()];
  return segments.some((data) => data.spoken_status !== "completed") || undrawn(reply) !== "";
}

// The part of the draft that no segment has taken over yet; none when the voice words it otherwise.
function undrawn(reply) {
  const said = [...reply.segments.values()].map((data) => data.text).join("").replace(/\s/g, "");
  const draft = reply.draft;
  let matched = 0;
  for (let index = 0; index < draft.length; index += 1) {
    if (matched === said.length) return draft.slice(index).trim();
    if (/\s/.test(draft[index])) continue;
    if (draft[index] !== said[matched]) return "";
    matched += 1;
  }
  return "";
}
