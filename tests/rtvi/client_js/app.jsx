// A React application as its author would write it, made of the published packages only. It keeps what
// happens in `window.seen`, and puts the client in `window.client`, for the test to read and use.
import { PipecatClient, RTVIEvent, RTVIMessageType } from "@pipecat-ai/client-js";
import {
  PipecatClientAudio,
  PipecatClientMicToggle,
  PipecatClientProvider,
  usePipecatClient,
  usePipecatClientTransportState,
  usePipecatConversation,
  useRTVIClientEvent,
  useUICommandHandler,
} from "@pipecat-ai/client-react";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";
import { useCallback, useState } from "react";
import { createRoot } from "react-dom/client";

// The default media manager loads a script from elsewhere; this one is complete in itself.
const transport = new SmallWebRTCTransport({ mediaManager: new WavMediaManager(), iceServers: [] });
const client = new PipecatClient({ transport, enableMic: true, enableCam: false });

const seen = [];
for (const event of Object.values(RTVIEvent)) {
  client.on(event, (data) => {
    const message = data?.data !== undefined && data?.type !== undefined ? data.data : data;
    seen.push([event, typeof message === "object" && message instanceof EventTarget ? null : message]);
  });
}
client.registerFunctionCallHandler("where_am_i", async ({ arguments: asked }) => ({ city: "Ulm", asked }));

const start = (endpoint) => client.startBotAndConnect({ endpoint, requestData: { body: { guest: "Ada" } } });
Object.assign(window, { client, seen, start, messageTypes: Object.values(RTVIMessageType), RTVIEvent });

function Bubble({ message }) {
  const texts = (message.parts ?? []).map((part) => {
    const text = part.text ?? "";
    return typeof text === "string" ? text : `${text.spoken}${text.unspoken}`;
  });
  return <p className={message.role}>{texts.join(" ")}</p>;
}

function App() {
  const state = usePipecatClientTransportState();
  const talker = usePipecatClient();
  const { messages } = usePipecatConversation();
  const [words, setWords] = useState([]);
  const [toast, setToast] = useState("");
  useRTVIClientEvent(
    RTVIEvent.BotTtsText,
    useCallback(({ text }) => setWords((before) => [...before, text]), []),
  );
  useUICommandHandler("toast", useCallback(({ title }) => setToast(title), []));
  return (
    <main>
      <b id="state">{state}</b>
      <button id="connect" onClick={() => start("/start")}>Talk</button>
      <button id="end" onClick={() => talker.disconnect()}>End</button>
      <PipecatClientMicToggle>
        {({ isMicEnabled, onClick }) => (
          <button id="mic" onClick={onClick}>{isMicEnabled ? "on" : "off"}</button>
        )}
      </PipecatClientMicToggle>
      <i id="words">{words.join(" ")}</i>
      <i id="toast">{toast}</i>
      <section>{messages.map((message) => <Bubble key={message.createdAt} message={message} />)}</section>
      <PipecatClientAudio />
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <PipecatClientProvider client={client}>
    <App />
  </PipecatClientProvider>,
);
