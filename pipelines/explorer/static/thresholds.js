// Thresholds as sliders: what another value would keep, counted again while it moves.

import { address, ask, changes, Problem } from "./api.js";
import { card } from "./documents.js";
import { count, el, many, slug } from "./dom.js";

const STEPS = 400; // places of a slider
const PAUSE_MS = 60; // after the last move before the server is asked

/** Return a value as its field shows it, and the value that a field shows; undefined where it shows none. */
const written = (value) => (value === null ? "" : Array.isArray(value) ? value.join(", ") : String(value));
function read(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "text") return field.value.split(",").map((word) => word.trim()).filter(Boolean);
  if (!field.validity.valid) return undefined; // half a number is not "off"
  return field.value === "" ? null : Number(field.value);
}

/** Return the value at a place of the slider: the histogram's axis is the slider's. */
function valueAt(histogram, place, isWhole) {
  const [low, high] = [histogram.edges[0], histogram.edges.at(-1)];
  const value = histogram.is_log ? low * (high / low) ** (place / STEPS) : low + ((high - low) * place) / STEPS;
  return isWhole ? Math.round(value) : Number(value.toPrecision(3));
}

function placeOf(histogram, value) {
  const [low, high] = [histogram.edges[0], histogram.edges.at(-1)];
  if (histogram.is_log && value <= 0) return 0;
  const share = histogram.is_log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.min(Math.max(share, 0), 1) * STEPS;
}

function bars(histogram, value, name) {
  const size = histogram.all.length;
  const most = Math.max(...histogram.all, 1);
  const stairs = (counts) => counts.map((number, at) => `L${at} ${100 - (100 * number) / most}L${at + 1} ${100 - (100 * number) / most}`).join("");
  const area = (counts) => `M0 100${stairs(counts)}L${size} 100Z`;
  const kept = histogram.then.reduce((sum, number) => sum + number, 0);
  const at = value === null ? null : (placeOf(histogram, value) / STEPS) * size;
  return el("svg", { class: "bars", viewBox: `0 0 ${size} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${count(kept)} kept` },
    el("path", { class: "all", d: area(histogram.all) }),
    el("path", { class: "kept", d: area(histogram.then) }),
    el("path", { class: "before", d: area(histogram.now) }),
    at === null ? null : el("line", { class: "line", x1: at, x2: at, y1: 0, y2: 100 }));
}

/** Return the words of a measure as boxes to check, longest bar first; `toggled` is called with a word and whether it is wanted. */
function wordList(found, wanted, key, toggled) {
  const most = Math.max(...found.all, 1);
  const bar = (kind, number) => el("rect", { class: kind, width: (100 * number) / most, height: 10 });
  return el("ul", { class: "words", "aria-label": `words of ${key}` }, found.words.map((word, at) => el("li", {},
    el("label", {},
      el("input", { type: "checkbox", checked: wanted.includes(word), onchange: (event) => toggled(word, event.currentTarget.checked) }),
      el("bdi", {}, word || "(none)"), el("span", { class: "muted" }, `${count(found.all[at])}, ${count(found.then[at])} kept`)),
    el("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, bar("all", found.all[at]), bar("kept", found.then[at])))));
}

const short = (number) => Number(number.toPrecision(3)).toLocaleString("en");

/** Return one slider; `moved` is called after each move. */
function slider(one, first, moved) {
  const { histograms, words } = first;
  const key = `${one.step}.${one.key}`;
  const measure = one.measures.find((name) => histograms[name]);
  const histogram = histograms[measure];
  const isFlag = typeof one.value === "boolean";
  const isNumber = !isFlag && !Array.isArray(one.value);
  const drawing = el("div");
  const range = histogram && isNumber ? el("input", { type: "range", min: 0, max: STEPS, step: 1, id: `${key}-range`, "aria-label": `${key} by its distribution` }) : null;
  const exact = el("input", { type: isFlag ? "checkbox" : isNumber ? "number" : "text", step: isNumber ? "any" : null, placeholder: isNumber ? "off" : null, id: key });
  const current = () => (changes.has(key) ? changes.get(key) : one.value);
  const fill = () => {
    const value = current();
    if (isFlag) exact.checked = value;
    else exact.value = written(value);
    if (!range) return;
    range.value = value === null ? (/(^|[._])max/.test(one.key) ? STEPS : 0) : placeOf(histogram, value); // off drops nothing
    range.setAttribute("aria-valuetext", value === null ? "off" : written(value));
  };
  const set = (value) => {
    if (value === undefined) return;
    if (JSON.stringify(value) === JSON.stringify(one.value)) changes.delete(key);
    else changes.set(key, value);
    fill();
    moved();
  };
  range?.addEventListener("input", () => set(valueAt(histogram, Number(range.value), one.is_whole)));
  exact.addEventListener("change", () => set(read(exact)));
  fill();
  const listed = Array.isArray(one.value) ? one.measures.find((name) => words[name]) : undefined;
  const toggled = (word, isWanted) => {
    const others = current().filter((old) => old !== word);
    set(isWanted ? [...others, word] : others);
  };
  const redraw = (found) => {
    if (listed) {
      const at = [...drawing.querySelectorAll("input")].indexOf(document.activeElement); // who moves by keys stays there
      drawing.replaceChildren(wordList(found.words[listed], current(), key, toggled));
      if (at >= 0) drawing.querySelectorAll("input")[at].focus();
    } else if (found.histograms[measure]) {
      drawing.replaceChildren(bars(found.histograms[measure], isNumber ? current() : null, measure));
    }
  };
  redraw(first);
  const box = el("div", { class: "slider", "data-key": key },
    el("label", { for: key }, el("b", {}, key), el("span", { class: "muted" }, one.measures.join(", "))),
    drawing,
    histogram ? el("div", { class: "range" }, el("span", {}, short(histogram.edges[0])), el("span", {}, short(histogram.edges.at(-1)))) : null,
    el("div", { class: "set" }, range, exact,
      el("button", { type: "button", onclick: () => set(one.value), "aria-label": `${key} as it was` }, "as it was"),
      isNumber ? el("button", { type: "button", onclick: () => set(null), "aria-label": `${key} off` }, "off") : null));
  return { box, fill, redraw };
}

function funnelTable(lines) {
  const rows = lines.filter((line) => line.dropped[0] || line.dropped[1]).map((line) => {
    const isChanged = line.dropped[0] !== line.dropped[1];
    return el("tr", { class: isChanged ? "changed" : null },
      [line.step, line.reason].map((text) => el("td", {}, slug(text))),
      line.dropped.map((number) => el("td", { class: "number" }, count(number))),
      el("td", {}, line.thresholds[1]));
  });
  const head = ["step", "reason", "drops", "would drop", "threshold"].map((name) => el("th", { scope: "col" }, name));
  return el("div", { class: "wide funnel", tabindex: 0, role: "region", "aria-label": "Funnel" },
    el("table", {}, el("caption", {}, "Funnel, as it is and as it would be"), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

/** Return the examples of a level that change sides; documents come when they are read, the counts wait for none. */
function sides(level, found) {
  const title = { lost: "would be lost", won: "would be won" };
  return Object.entries(found).filter(([, side]) => side.count).map(([name, side]) => [
    el("h3", {}, `${many(side.count, level.slice(0, -1))} ${title[name]}`),
    level === "documents"
      ? cards(side.rows)
      : el("ul", { class: "strip" }, side.rows.map((row) => el("li", {}, el("img", { src: `api/image/${row}?side=96`, alt: `image ${row}` })))),
  ]);
}

function cards(rows) {
  const list = el("ol", { class: "cards" });
  const asked = new URLSearchParams(rows.map((row) => ["row", row]));
  ask("cards", asked).then(
    (found) => list.append(...found.rows.map((one) => el("li", {}, card(one)))),
    (error) => list.append(el("li", { class: "problem" }, error.message)));
  return list;
}

export async function showThresholds(build, show) {
  const counts = el("p", { class: "counts", role: "status", id: "counts" });
  const problem = el("p", { class: "problem", role: "alert" });
  const funnel = el("div");
  const examples = el("div", { id: "examples" });
  const save = el("a", { id: "save", download: "recipe.yaml" }, "Save as a recipe");
  let asked = 0;
  let timer;
  let sliders = [];
  let latest; // the last answer, and what was asked for it: a change that the server refuses is set back to these
  let accepted;

  function draw(found, sent) {
    [latest, accepted] = [found, sent];
    save.href = address("recipe");
    const said = Object.entries(found.kept).map(([name, [now, then]]) => `${name}: ${count(now)} kept, would be ${count(then)} (${then < now ? "" : "+"}${count(then - now)})`);
    counts.textContent = said.join(" · ") + (found.unmeasured ? ` · ${many(found.unmeasured, "image")} never fetched or scored, which count as dropped` : "");
    for (const one of sliders) one.redraw(found);
    funnel.replaceChildren(funnelTable(found.funnel));
    examples.replaceChildren(...Object.entries(found.examples).flatMap(([level, side]) => sides(level, side).flat()));
  }
  async function recount() {
    const mine = ++asked;
    const sent = new Map(changes);
    try {
      const found = await ask("recount");
      if (mine !== asked) return;
      problem.textContent = "";
      draw(found, sent);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (mine !== asked) return;
      problem.textContent = `Set back: ${error.message}`;
      changes.clear();
      for (const [key, value] of accepted) changes.set(key, value);
      for (const one of sliders) one.fill();
      draw(latest, accepted);
    }
    counts.dataset.asked = mine;
  }
  const moved = () => {
    clearTimeout(timer);
    counts.dataset.asked = "";
    save.href = address("recipe");
    timer = setTimeout(recount, PAUSE_MS);
  };
  let first;
  try {
    first = await ask("recount");
  } catch (error) { // a change whose refusal nobody waited for
    if (!(error instanceof Problem) || !changes.size) throw error;
    changes.clear();
    problem.textContent = `All set back: ${error.message}`;
    first = await ask("recount");
  }
  sliders = build.sliders.map((one) => slider(one, first, moved));
  show("Thresholds", el("h2", {}, "What would other thresholds keep?"), counts,
    el("p", { class: "actions" }, save, el("button", { type: "button", onclick: () => { changes.clear(); showThresholds(build, show); } }, "All as they were")),
    problem,
    el("p", { class: "muted" }, "Filled: what would be kept. Outline: what is kept. Grey: all. Line: the threshold."),
    el("div", { class: "two" }, el("div", {}, sliders.map((one) => one.box)), el("div", {}, funnel, examples)));
  draw(first, new Map(changes));
}
