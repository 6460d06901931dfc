// Requests to the runner: start a session, offer, trickle. A refusal becomes a SignalingError in words.

export class SignalingError extends Error {
  // kind: "gone" (no server), "over" (it does not know this call any more), "refused" (it said no)
  constructor(kind, message, status = 0) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

export class Signaling {
  #route = "api/offer";
  iceServers = [];
  peerId = null;
  sessionId = "";

  // A new session; a server without /start is spoken to on its plain route.
  async start(body = {}) {
    this.peerId = null;
    this.#route = "api/offer";
    this.iceServers = [];
    const answer = await request("POST", "start", { transport: "webrtc", enableDefaultIceServers: true, body });
    if (answer.status === 404 || answer.status === 405) return;
    const session = await accepted(answer);
    this.sessionId = session.sessionId ?? "";
    if (session.sessionId) this.#route = `sessions/${encodeURIComponent(session.sessionId)}/api/offer`;
    this.iceServers = session.iceConfig?.iceServers ?? [];
  }

  // `restart` rebuilds a lost peer under the id it had.
  async offer({ sdp, type }, restart = false) {
    const body = { sdp, type, pc_id: this.peerId, restart_pc: restart && this.peerId !== null, request_data: {}, moves: true };
    const answer = await accepted(await request("POST", this.#route, body), restart);
    this.peerId = answer.pc_id ?? this.peerId;
    return { sdp: answer.sdp, type: answer.type };
  }

  // An empty candidate marks the end of them (RFC 8840 §8.2).
  async trickle(candidates) {
    const listed = candidates.map((candidate) => ({
      candidate: candidate.candidate,
      sdp_mid: candidate.sdpMid,
      sdp_mline_index: candidate.sdpMLineIndex,
    }));
    await accepted(await request("PATCH", this.#route, { pc_id: this.peerId, candidates: listed }));
  }
}

export async function status() {
  return accepted(await request("GET", "status"));
}

async function request(method, url, body) {
  const content = body ? { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } } : {};
  try {
    return await fetch(url, { method, ...content, signal: AbortSignal.timeout(10_000) });
  } catch (error) {
    throw new SignalingError("gone", error.message);
  }
}

// A call that cannot be restarted is over, whatever the server's reason.
async function accepted(answer, restart = false) {
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const over = answer.status === 404 || answer.status === 410 || (restart && answer.status < 500);
  const kind = over ? "over" : [502, 503, 504].includes(answer.status) && !words(body) ? "gone" : "refused";
  throw new SignalingError(kind, words(body) || `The server answered ${answer.status}.`, answer.status);
}

function words(body) {
  const said = body?.detail ?? body?.error ?? body?.message;
  return typeof said === "string" ? said : (said?.message ?? "");
}
