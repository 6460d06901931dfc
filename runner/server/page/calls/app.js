// `/calls`: the list of calls; with `?call=ID` one of them, with `?compare=ID,ID` two. A saved call is its own page.

import { CallView } from "./call.js";
import { CompareView } from "./compare.js";
import { byId, el } from "./dom.js";
import { Keys } from "./keys.js";
import { ListView } from "./list.js";
import { SavedCall, ServedCall } from "./source.js";

async function start() {
  const keys = new Keys(byId("help"));
  byId("keys").addEventListener("click", () => keys.showHelp());
  const query = new URLSearchParams(location.search);
  const compared = (query.get("compare") ?? "").split(",").filter(Boolean);
  const host = byId("app");
  if (SavedCall.there()) {
    document.body.classList.add("saved");
    const view = await CallView.open(await SavedCall.read(), keys);
    for (const id of ["home", "where"]) byId(id).removeAttribute("href");
    return shown(host, view);
  }
  if (compared.length === 2)
    return shown(
      host,
      await CompareView.open(
        compared.map((id) => new ServedCall(id)),
        keys,
      ),
    );
  if (query.get("call")) return shown(host, await CallView.open(new ServedCall(query.get("call")), keys));
  return shown(host, new ListView(query, keys));
}

function shown(host, view) {
  host.replaceChildren(view.element);
  view.begin?.();
  return view;
}

// A long call takes the server some seconds to read.
const patience = setTimeout(() => byId("app").append(el("p.nothing.soft", { role: "status" }, "Reading the call …")), 400);

start()
  .then(
    (view) => (window.inspector = view), // for tests and tools
    (error) => byId("app").replaceChildren(failed(error)),
  )
  .finally(() => clearTimeout(patience));

function failed(error) {
  console.warn(error);
  return el(
    "div.empty-page",
    {},
    el("h2", {}, "This call cannot be shown"),
    el("p", {}, error.message),
    el("p", {}, el("a", { href: "calls" }, "All calls")),
  );
}
