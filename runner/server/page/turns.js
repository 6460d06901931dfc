// Whose turn it is, as the bot tells it, and what is said in it.
//
// Events: "change" (who speaks), "cut" (the bot was interrupted).

const PATIENCE_MS = 15_000; // then nothing is being thought about any more

export class Turns extends EventTarget {
  userSpeaks = false;
  botSpeaks = false;
  thinking = false;
  #rtvi;
  #conversation;
  #latency;
  #patience = 0;

  constructor({ rtvi, conversation, latency }) {
    super();
    this.#rtvi = rtvi;
    this.#conversation = conversation;
    this.#latency = latency;
    for (const [type, take] of Object.entries(this.#taken())) {
      rtvi.addEventListener(type, ({ detail }) => {
        take(detail);
        this.#changed();
      });
    }
  }

  type(text) {
    this.#conversation.typed(text);
    this.#latency.typed(performance.now());
    this.#think(true);
    this.#rtvi.sendText(text);
    this.#changed();
  }

  // The connection is gone: what was not heard by now is not heard.
  fallSilent() {
    this.userSpeaks = this.botSpeaks = false;
    this.#think(false);
    this.#conversation.forgetWaiting();
    this.#conversation.interrupted();
    this.#changed();
  }

  #taken() {
    const conversation = this.#conversation;
    return {
      "user-started-speaking": () => this.#userStarted(),
      "user-stopped-speaking": () => this.#userStopped(),
      "user-transcription": ({ text, final }) => conversation.heard(text, final),
      "server-message": ({ type }) => type === "not-understood" && this.#notUnderstood(),
      "bot-llm-started": () => conversation.replyBegins(),
      "bot-llm-text": ({ text }) => conversation.draft(text),
      "bot-output": (segment) => conversation.segment(segment),
      "bot-started-speaking": () => this.#botStarted(),
      "bot-stopped-speaking": () => this.#botStopped(),
      "bot-interrupted": () => this.#interrupted(),
    };
  }

  #userStarted() {
    this.#latency.userStarted(performance.now(), this.botSpeaks);
    this.userSpeaks = true;
    this.#think(false);
    this.#conversation.userSpeaks();
  }

  #userStopped() {
    this.#latency.userStopped(performance.now());
    this.userSpeaks = false;
    this.#think(true);
    this.#conversation.userPauses();
  }

  #notUnderstood() {
    this.#conversation.notUnderstood();
    this.#think(false);
  }

  #botStarted() {
    this.botSpeaks = true;
    this.#think(false);
  }

  #botStopped() {
    this.botSpeaks = false;
    this.#conversation.botSilent();
  }

  #interrupted() {
    this.#conversation.interrupted();
    this.dispatchEvent(new Event("cut"));
  }

  #think(thinking) {
    this.thinking = thinking;
    clearTimeout(this.#patience);
    if (thinking) this.#patience = setTimeout(() => this.#loseAnswer(), PATIENCE_MS);
  }

  #loseAnswer() {
    this.thinking = false;
    this.#conversation.forgetWaiting();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
