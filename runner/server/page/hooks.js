// `window.botrun`: for tests and tools, not for the page itself. Times are ms on the page's clock.
//
//   state         "idle", "connecting", "connected", "reconnecting", "ended"
//   ready         whether the bot has answered the RTVI handshake
//   level         {you, bot}: 0…1, as the meters show; `db` is dBFS of the last 20 ms
//   history       the last minute: [ms, your dBFS, the bot's dBFS] every 20 ms
//   figures       {clickToConnectedMs, clickToReadyMs, clickToFirstSoundMs, turnMs, stopMs, …}
//   messages      the last 1000 RTVI messages from the bot: {at, type, data}
//   channel       what is sent on the data channel by `send(object)`

const KEPT = 1000;

export function installHooks({ call, rtvi, meters, figures }) {
  const messages = [];
  rtvi.addEventListener("any", ({ detail: { type, data } }) => {
    messages.push({ at: performance.now(), type, data });
    if (messages.length > KEPT) messages.shift();
  });
  window.botrun = {
    get state() {
      return call.state;
    },
    get ready() {
      return rtvi.ready;
    },
    get level() {
      return { ...meters.level };
    },
    get db() {
      return { ...meters.db };
    },
    get history() {
      return meters.history;
    },
    figures,
    messages,
    send: (message) => call.send(message),
  };
}
