/** The JavaScript of the page of `pith plot`. Text from the model is inserted as text, never as markup. */
import { detailsScript } from "./script-details.ts";
import { drawScript } from "./script-draw.ts";
import { moveScript } from "./script-move.ts";

/** Functions without a document, which tests can run. `removed` rounds as `countOf` in `techniques/prune/amount.ts`. */
export const plotArithmetic = `
const removed = (amount, size) => amount * size + 4503599627370496 - 4503599627370496;
const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const unpack = (layer, steps) => layer === null ? null : {
  ...layer,
  steps,
  places: layer.places && Array.from(new Uint32Array(decode(layer.places).buffer)),
  curves: layer.curves && decode(layer.curves),
};
// Keeps the end of a path, in whole parts if they fit.
const ending = (text, maxLength) => {
  if (text.length <= maxLength) return text;
  const rest = text.slice(1 - maxLength);
  const part = rest.search(/[./]/);
  return "…" + (part >= 0 && part < rest.length / 2 ? rest.slice(part) : rest);
};
// Keeps the beginning of a sentence, in whole words.
const cutOff = (text, maxLength) => text.length <= maxLength ? text : text.slice(0, maxLength).replace(/[\\s,:;(]*\\S*$/, "") + " …";
// Joins names. Names after the first are shortened to the part that differs from the first.
const joinNames = ([first, ...rest]) => [ending(first, 29), ...rest.map((name) => {
  const [parts, firstParts] = [name.split(/[./]/), first.split(/[./]/)];
  const difference = parts.findIndex((part, index) => part !== firstParts[index]);
  return ending(parts.slice(Math.max(0, difference)).join("."), 29);
})].join(", ");
// Names that match come before nodes that only read or write a match.
const search = (texts, words) => [
  ...texts.filter(({ names }) => names.includes(words)),
  ...texts.filter(({ names, text }) => !names.includes(words) && text.includes(words)),
];
const amountOf = (layer, mode, amount) => {
  if (mode !== "channels") return layer.entries === undefined ? undefined : { count: removed(amount, layer.entries), size: layer.entries };
  if (layer.places === undefined) return undefined;
  const threshold = removed(amount, layer.units);
  return { count: layer.places.filter((rank) => rank < threshold).length, size: layer.places.length };
};
const formatInteger = (value) => Math.round(value).toLocaleString("en-US");
const removedText = ({ count, size }, unit) => formatInteger(count) + " of " + formatInteger(size) + unit + " would be removed";
const prunedText = (layer, mode, amount) => {
  const pruned = amountOf(layer, mode, amount);
  if (pruned === undefined) return mode === "channels" ? layer.kept : layer.reason;
  return removedText(pruned, mode === "channels" ? " channels" : "");
};
const shares = (layer, mode, amount) => {
  const cells = Array.from({ length: layer.cells }, () => 0);
  if (amountOf(layer, mode, amount) === undefined) return cells;
  if (mode === "channels") {
    const threshold = removed(amount, layer.units);
    const sizes = cells.slice();
    layer.places.forEach((rank, channel) => {
      const cell = Math.floor((channel * layer.cells) / layer.places.length);
      sizes[cell]++;
      if (rank < threshold) cells[cell]++;
    });
    return cells.map((count, cell) => count / sizes[cell]);
  }
  const position = amount * layer.steps;
  const low = Math.min(layer.steps - 1, Math.floor(position));
  return cells.map((_, cell) => {
    const first = layer.curves[cell * (layer.steps + 1) + low];
    const second = layer.curves[cell * (layer.steps + 1) + low + 1];
    return (first + (second - first) * (position - low)) / 255;
  });
};
`;

export const plotScript = `
${plotArithmetic}
const find = (id) => document.getElementById(id);
const [view, drawing, scene, panel, slider] = ["view", "drawing", "scene", "panel", "amount"].map(find);
const percent = (share) => (100 * share).toFixed(share * 100 % 1 === 0 ? 0 : 1) + " %";
const clip = (text, maxLength) => text.length > maxLength ? text.slice(0, maxLength - 9) + "…" + text.slice(-8) : text;
function element(name, content, style) {
  const created = document.createElement(name);
  if (style) created.className = style;
  if (content !== undefined) created.textContent = content;
  return created;
}
function shape(name, attributes) {
  const created = document.createElementNS(drawing.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) if (key === "text") created.textContent = value; else created.setAttribute(key, value);
  return created;
}
async function load() {
  const packed = new Blob([decode(find("data").textContent)]);
  return JSON.parse(await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).text());
}
function start(data) {
  const graphs = data.graphs.map((graph) => ({ ...graph, layers: graph.layers.map((layer) => unpack(layer, data.steps)) }));
  let [current, graph] = [0, graphs[0]];
  let [amount, mode, chosen] = [data.amount, "entries", undefined];
  let matchedBoxes = new Set();
${drawScript}
${moveScript}
${detailsScript}
  document.documentElement.classList.add("live");
  open(0);
  shade();
}
load().then(start, (error) => { view.append(element("p", "This page cannot be read: " + error.message, "bad")); });
`;
