// The small card at the pointer.

import { byId } from "./dom.js";

export function showTip(x, y, ...content) {
  const tip = byId("tip");
  tip.replaceChildren(...content);
  tip.hidden = false;
  const { offsetWidth, offsetHeight } = tip;
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - offsetWidth - 8))}px`;
  tip.style.top = `${y + 18 + offsetHeight > innerHeight - 8 ? y - offsetHeight - 12 : y + 18}px`;
}

export function hideTip() {
  byId("tip").hidden = true;
}
