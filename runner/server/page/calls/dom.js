// Elements made of text: nothing here or above parses HTML, so that what callers and models say stays text.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

// `el("p.soft", {title: "…", onclick: …}, "text", other)`; null, undefined and false are left out.
export function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) set(made, key, value);
  made.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function set(made, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
  else if (key === "style") for (const [name, each] of Object.entries(value)) made.style.setProperty(name, each);
  else made.setAttribute(key, value === true ? "" : value);
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

export function roundButton(name, label, onclick, attributes = {}) {
  return el("button.ghost", { type: "button", "aria-label": label, title: label, onclick, ...attributes }, icon(name));
}

// JSON, indented, in colours.
export function json(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const pre = el("pre.json");
  if (typeof value === "string") {
    pre.textContent = text;
    return pre;
  }
  const parts = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(true|false|null)/g;
  let at = 0;
  for (const found of (text ?? "").matchAll(parts)) {
    pre.append(text.slice(at, found.index));
    const kind = found[1] ? (found[2] ? "key" : "string") : found[3] ? "number" : "word";
    pre.append(el(`span.${kind}`, {}, found[1] ?? found[0]), found[2] ?? "");
    at = found.index + found[0].length;
  }
  pre.append((text ?? "").slice(at));
  return pre;
}
