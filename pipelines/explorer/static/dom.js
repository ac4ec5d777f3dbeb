// Elements from plain data. Texts of a dataset only ever become text nodes: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "rect", "path", "line", "title"]);

/** Return an element. attributes: `on*` functions are listeners, false and null leave an attribute out. */
export function el(name, attributes = {}, ...children) {
  const made = DRAWN.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Show a view in the page, and say its name to who cannot see it. */
export function show(title, ...children) {
  document.title = `${title} - InfiMM explorer`;
  document.getElementById("content").replaceChildren(...children.flat().filter(Boolean));
}

/** Return a number as people read it. */
export const count = (number) => number.toLocaleString("en");

/** Return a count of things: "1 image", "2,000 images". */
export const many = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

/** Return a slug that may break after its underscores. */
export const slug = (text) => text.split(/(?<=_)/).flatMap((part) => [el("wbr"), part]);

/** Return what became of something, as a label. */
export const badge = (one) => el("span", { class: `badge ${one.is_kept ? "kept" : "dropped"}` }, one.verdict);

/** Return measures as a list. */
export const measures = (found) =>
  el("ul", { class: "measures" }, Object.entries(found).map(([name, value]) => el("li", {}, `${name} ${value}`)));
