// How well one end hears the other, in a word for the person and a sentence for who wants to know more.

const FAIR = 0.01; // of the sound lost or made up: a click now and then
const BAD = 0.05; // words go missing

// figures: {loss, madeUp: shares of 1, heldMs, jitterMs, delayMs}; null or undefined is not known (yet).
export function hearing(figures) {
  const { loss, madeUp } = figures;
  const worst = Math.max(loss ?? 0, madeUp ?? 0);
  if (!known(loss) && !known(madeUp)) return { word: "–", tone: "", detail: "" };
  const [word, tone] = worst > BAD ? ["badly", "bad"] : worst > FAIR ? ["with gaps", "fair"] : ["clearly", "good"];
  return { word, tone, detail: detail(figures) };
}

function detail({ loss, madeUp, heldMs, jitterMs }) {
  const parts = [
    known(loss) && `${percent(loss)} of the sound was lost on the way`,
    known(madeUp) && `${percent(madeUp)} was made up in its place`,
    known(heldMs) && `it is held back for ${Math.round(heldMs)} ms so that none comes too late`,
    known(jitterMs) && `it comes ${jitterMs.toFixed(1)} ms uneven`,
  ].filter(Boolean);
  return parts.length ? `In the last seconds: ${parts.join("; ")}.` : "";
}

const known = (value) => value !== null && value !== undefined;
const percent = (share) => `${(share * 100).toFixed(1)} %`;
