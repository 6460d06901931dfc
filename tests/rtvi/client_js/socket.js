// A page without React whose client speaks protobuf over a WebSocket, made of the published packages only.
import { PipecatClient, RTVIEvent } from "@pipecat-ai/client-js";
import { WavMediaManager, WebSocketTransport } from "@pipecat-ai/websocket-transport";

const seen = [];
// The transport's own default loads a script from elsewhere. This one records at 24000 Hz unless it is asked.
const manager = new WavMediaManager(512, 16000);
const client = new PipecatClient({
  transport: new WebSocketTransport({ mediaManager: manager }),
  enableMic: true,
  enableCam: false,
});
for (const event of Object.values(RTVIEvent)) client.on(event, (data) => seen.push([event, data ?? null]));

let heard = 0; // samples of the bot's sound
const play = manager.bufferBotAudio.bind(manager);
manager.bufferBotAudio = (sound, id) => {
  heard += sound.length ?? sound.byteLength / 2;
  return play(sound, id);
};
Object.assign(window, { client, seen, heard: () => heard });
document.querySelector("#root").innerHTML = "<b id=state>here</b>";
