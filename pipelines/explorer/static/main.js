// The views by their address after `#`, and the keys.

import { ask, Problem, watch } from "./api.js";
import { el, show } from "./dom.js";
import { showCluster, showDocument, showDocuments, walk } from "./documents.js";
import { showThresholds } from "./thresholds.js";
import { showTokens } from "./tokens.js";

const VIEWS = { documents: showDocuments, document: showDocument, cluster: showCluster, tokens: showTokens, thresholds: showThresholds };
let build;
let visits = 0;

/** Return the words of an address; none where it is no address of ours. */
function words(hash) {
  try {
    return hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
}

async function go() {
  const mine = ++visits;
  const showHere = (...parts) => { if (mine === visits) show(...parts); }; // an answer that comes late shows nothing
  const [name, ...rest] = words(location.hash);
  const view = Object.hasOwn(VIEWS, name) ? name : "documents";
  for (const key of ["documents", "thresholds"]) {
    const link = document.getElementById(`to-${key}`);
    if (key === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    build ??= await ask("build");
    await VIEWS[view](build, showHere, ...rest);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showHere("Problem", el("p", { class: "problem", role: "alert" }, error.message));
  }
  document.body.dataset.view = location.hash;
}

const KEYS = {
  "/": () => document.getElementById("search")?.focus(),
  j: () => walk(1),
  k: () => walk(-1),
  t: () => { location.hash = "#/thresholds"; },
  d: () => { location.hash = "#/documents"; },
};

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#/") || !location.hash) go().then(() => scrollTo(0, 0));
});
go();
watch();
