// How a document reaches the model: its tokens in their packed row, and which of them may look at which image.

import { ask } from "./api.js";
import { count, el, many } from "./dom.js";

const COLOURS = 6;
const colour = (image) => (image < 0 ? "" : `i${image % COLOURS}`);

/** Return runs of equal values: [value, start, length]. */
function runs(values) {
  const found = [];
  values.forEach((value, at) => {
    const last = found.at(-1);
    if (last && last[0] === value) last[2] += 1;
    else found.push([value, at, 1]);
  });
  return found;
}

/** Return the mask as a picture: a line per image, a column per token, filled where the token may look. */
function mask(row) {
  const lines = Math.max(row.images.length, 1);
  const cells = runs(row.image).filter(([image]) => image >= 0).map(([image, at, length]) =>
    el("rect", { class: colour(image), x: at, y: image, width: length, height: 1 }));
  return el("svg", { class: "mask", viewBox: `0 0 ${row.image.length} ${lines}`, preserveAspectRatio: "none", height: 18 * lines, role: "img", "aria-label": `which of ${row.image.length} tokens may look at which of ${row.images.length} images` }, cells);
}

function packedRow(row, id, number) {
  const own = row.documents.indexOf(id);
  const spans = row.tokens.map((text, at) => {
    const kinds = [colour(row.image[at]), row.document[at] !== own && "other", row.is_special[at] && "special", !row.has_loss[at] && "quiet"];
    const looks = row.image[at] < 0 ? "looks at no image" : `looks at image ${row.image[at]}`;
    const title = `token ${at}, ${row.document[at] < 0 ? "padding" : `document ${row.document[at]}`}, ${looks}, ${row.has_loss[at] ? "is learnt" : "is not learnt"}`;
    return el("span", { class: kinds.filter(Boolean).join(" "), title }, text);
  });
  const press = (button, image) => {
    const isOn = button.getAttribute("aria-pressed") !== "true";
    for (const other of button.closest("ul").querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(isOn));
    spans.forEach((span, at) => span.classList.toggle("seen", isOn && row.image[at] === image));
  };
  const pictures = row.images.map((one, image) => el("li", {},
    el("button", { type: "button", class: colour(image), "aria-pressed": "false", onclick: (event) => press(event.currentTarget, image) },
      el("img", { src: `api/packed/${one.id}/${one.number}?side=96`, alt: one.alt || `image ${image}` }),
      `image ${image}: ${many(row.image.filter((seen) => seen === image).length, "token")}`)));
  const filled = row.document.filter((one) => one >= 0).length;
  return el("section", {},
    el("h3", {}, `Row ${number + 1}: ${count(filled)} of ${count(row.tokens.length)} tokens, ${many(row.documents.length, "document")}`),
    row.images.length
      ? [el("ul", { class: "pictures" }, pictures), el("p", { class: "muted" }, "A line per image, a column per token:"), mask(row)]
      : el("p", { class: "muted" }, "no images: no token may look at any"),
    el("p", { class: "tokens" }, spans));
}

export async function showTokens(build, show, id) {
  const found = await ask(`tokens/${id}`);
  show("Tokens",
    el("p", { class: "actions" }, el("a", { href: `#/document/${id}` }, "Back to the document")),
    el("h2", {}, "As tokens in a packed row"),
    el("p", { class: "muted" }, `As ${found.recipe} reads it: rows of ${count(found.settings.row_tokens)} tokens, template ${found.settings.template}, the ${found.split} split, window ${found.window} of the first epoch.`),
    el("p", { class: "muted" }, "The colour under a token is the image that it may look at; press a picture to see its tokens. Bold: special tokens. Italic: tokens without a loss. Grey: other documents of the row."),
    found.rows.map((row, number) => packedRow(row, id, number)));
}
