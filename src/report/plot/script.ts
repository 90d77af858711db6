/**
 * The plot's JavaScript: what follows from the numbers in the page, and the parts that draw, move, find and explain. Whatever comes from the
 * model is written as text, never as markup.
 */
import { detailsScript } from "./script-details.ts";
import { drawScript } from "./script-draw.ts";
import { moveScript } from "./script-move.ts";

/**
 * What pruning removes, by the numbers in the page: `removed` as `removedCount` counts, `shares` for each cell of a layer's strip. Apart from
 * the rest, so that tests can run it.
 */
export const plotArithmetic = `
const removed = (amount, size) => amount * size + 4503599627370496 - 4503599627370496;
const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const unpack = (layer, steps) => {
  if (layer === null || layer.entries === undefined) return layer;
  const pairs = decode(layer.order);
  const order = Array.from({ length: pairs.length / 2 }, (_, index) => pairs[2 * index] + 256 * pairs[2 * index + 1]);
  return { ...layer, steps, curves: decode(layer.curves), order };
};
const amountOf = (layer, mode, amount) => {
  const size = mode === "channels" ? layer.channels : layer.entries;
  return size === undefined ? undefined : { gone: removed(amount, size), size };
};
const shares = (layer, mode, amount) => {
  const cells = Array.from({ length: layer.cells }, () => 0);
  if (mode === "channels") {
    if (layer.order.length === 0) return cells;
    const { gone } = amountOf(layer, mode, amount);
    const sizes = cells.slice();
    layer.order.forEach((place, channel) => {
      const cell = Math.floor((channel * layer.cells) / layer.order.length);
      sizes[cell]++;
      if (place < gone || place >= layer.channels) cells[cell]++;
    });
    return cells.map((count, cell) => count / sizes[cell]);
  }
  const at = amount * layer.steps;
  const low = Math.min(layer.steps - 1, Math.floor(at));
  return cells.map((_, cell) => {
    const first = layer.curves[cell * (layer.steps + 1) + low];
    const second = layer.curves[cell * (layer.steps + 1) + low + 1];
    return (first + (second - first) * (at - low)) / 255;
  });
};
`;

export const plotScript = `
${plotArithmetic}
const find = (id) => document.getElementById(id);
const [view, drawing, scene, panel, slider] = ["view", "drawing", "scene", "panel", "amount"].map(find);
const whole = (value) => Math.round(value).toLocaleString("en-US");
const percent = (share) => (100 * share).toFixed(share * 100 % 1 === 0 ? 0 : 1) + " %";
const clip = (text, most) => text.length > most ? text.slice(0, most - 9) + "…" + text.slice(-8) : text;
function element(name, content, style) {
  const made = document.createElement(name);
  if (style) made.className = style;
  if (content !== undefined) made.textContent = content;
  return made;
}
function shape(name, attributes) {
  const made = document.createElementNS(drawing.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) if (key === "text") made.textContent = value; else made.setAttribute(key, value);
  return made;
}
async function load() {
  const packed = new Blob([decode(find("data").textContent)]);
  return JSON.parse(await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).text());
}
function start(data) {
  const graphs = data.graphs.map((graph) => ({ ...graph, layers: graph.layers.map((layer) => unpack(layer, data.steps)) }));
  let [current, graph] = [0, graphs[0]];
  let [amount, mode, chosen] = [data.amount, "entries", undefined];
  let found = new Set();
${drawScript}
${moveScript}
${detailsScript}
  document.documentElement.classList.add("live");
  open(0);
  shade();
}
load().then(start, (error) => { view.append(element("p", "This page cannot be read: " + error.message, "bad")); });
`;
