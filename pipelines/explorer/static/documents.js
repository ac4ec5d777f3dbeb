// Browse and search documents; read one as a reader would see it; see its twins beside it.

import { ask, changes, Problem } from "./api.js";
import { badge, count, el, many, measures } from "./dom.js";

const wanted = { state: "all", reason: "", text: "" };
let listed = []; // ids of the list last shown: `j` and `k` walk along it

export function card(one) {
  const picture = one.picture === null
    ? el("div", { class: "nothing" }, many(one.images, "image"))
    : el("img", { src: `api/image/${one.picture}?side=96`, alt: "", loading: "lazy" });
  return el("a", { class: "card", href: `#/document/${one.id}` },
    picture,
    el("div", {}, badge(one), el("br"), el("bdi", { class: "muted" }, one.url), el("br"), el("bdi", {}, one.excerpt)));
}

export async function showDocuments(build, show) {
  const cards = el("ol", { class: "cards", "aria-label": "Documents" });
  const said = el("p", { role: "status", class: "muted" });
  const more = el("button", { type: "button", hidden: true }, "More");
  const field = (name, label, input) => {
    input.addEventListener("change", () => { wanted[name] = input.value; start(); });
    return el("label", {}, label, input);
  };
  const choice = (values, value) => {
    const made = el("select", {}, values.map(([key, text]) => el("option", { value: key }, text)));
    made.value = value;
    return made;
  };
  const text = el("input", { type: "search", id: "search", value: wanted.text, placeholder: "in text or URL" });
  const form = el("form", { class: "search", role: "search", onsubmit: (event) => { event.preventDefault(); wanted.text = text.value; start(); } },
    field("text", "Search", text),
    field("state", "Show", choice([["all", "all"], ["kept", "kept"], ["dropped", "dropped"]], wanted.state)),
    field("reason", "Dropped as", choice([["", "anything"], ...build.reasons.map((one) => [one, one])], wanted.reason)),
    el("button", {}, "Search"));
  show("Documents", el("h2", {}, `${many(build.documents, "document")}, ${many(build.images, "image")}`),
    changes.size ? el("p", { class: "problem" }, `Verdicts under ${count(changes.size)} changed `, el("a", { href: "#/thresholds" }, "thresholds")) : null,
    form, said, cards, more);

  let asked = 0;
  async function load(from) {
    const mine = ++asked;
    more.hidden = true;
    said.textContent = "looking ...";
    let found;
    try {
      found = await ask("documents", { ...wanted, start: from });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (mine === asked) said.textContent = error.message;
      return;
    }
    if (mine !== asked) return;
    listed.push(...found.rows.map((one) => one.id));
    cards.append(...found.rows.map((one) => el("li", {}, card(one))));
    const searched = found.next === null ? "that is all" : `looked through ${count(found.next)} so far`;
    said.textContent = `${count(listed.length)} shown, ${searched}`;
    more.hidden = found.next === null;
    more.onclick = () => load(found.next);
  }
  function start() {
    listed = [];
    cards.replaceChildren();
    return load(0);
  }
  return start();
}

function node(one) {
  const role = one.role ? el("span", { class: "role" }, `${one.role}: `) : null;
  if ("text" in one) return el("p", { dir: "auto" }, role, one.text);
  const picture = one.is_there
    ? el("img", { src: `api/image/${one.row}?side=480`, alt: one.alt || "without alternative text" })
    : el("div", { class: "nothing" }, "no picture");
  return el("figure", { class: one.is_kept ? "kept" : "dropped" }, role, picture,
    el("figcaption", {}, badge(one), " ", el("bdi", {}, one.url), one.alt ? el("div", { dir: "auto" }, `alt: ${one.alt}`) : null, measures(one.measures)));
}

export async function showDocument(build, show, id) {
  const one = await ask(`document/${id}`);
  const at = listed.indexOf(id);
  const beside = (step, text) => {
    const other = at < 0 ? undefined : listed[at + step];
    return other ? el("a", { href: `#/document/${other}`, id: step < 0 ? "previous" : "next" }, text) : null;
  };
  show(one.url || one.id,
    el("p", { class: "actions" }, el("a", { href: "#/documents" }, "Back to the list"), beside(-1, "Previous"), beside(1, "Next")),
    el("article", { class: "reader" },
      el("h2", {}, el("bdi", {}, one.url || one.id)), badge(one),
      el("p", { class: "muted" }, [one.date, one.licence, one.dump].filter(Boolean).join(", ")),
      el("div", { class: "actions" },
        one.clusters.map((name) => el("a", { href: `#/cluster/${id}/${name}` }, `Twins by ${name.replace(/_group$/, "")}`)),
        build.has_tokens && one.is_kept ? el("a", { href: `#/tokens/${id}` }, "As tokens") : null),
      one.nodes.map(node),
      el("h3", {}, "Measured on the document"), measures(one.measures)));
}

export async function showCluster(build, show, id, measure) {
  const found = await ask(`cluster/${id}`, { measure });
  show("Twins",
    el("p", { class: "actions" }, el("a", { href: `#/document/${id}` }, "Back to the document")),
    el("h2", {}, `${many(found.size, "document")} that ${measure.replace(/_group$/, "")} takes for one`),
    el("p", { class: "muted" }, "What differs from the first is underlined."),
    el("div", { class: "two" }, found.members.map((one) => el("section", {},
      badge(one), el("p", {}, el("a", { href: `#/document/${one.id}` }, el("bdi", {}, one.url))),
      one.picture === null ? null : el("img", { src: `api/image/${one.picture}?side=96`, alt: "" }),
      el("p", { class: "cluster-text", dir: "auto" }, one.parts.map(([differs, text]) => (differs ? el("mark", {}, text) : text)))))));
}

/** Go to the next (1) or previous (-1) document: of the list, or the one that is read. */
export function walk(step) {
  const link = document.getElementById(step < 0 ? "previous" : "next");
  if (link) { link.click(); return; }
  const cards = [...document.querySelectorAll(".cards .card")];
  const at = cards.indexOf(document.activeElement);
  cards[Math.min(Math.max(at + step, 0), cards.length - 1)]?.focus();
}
