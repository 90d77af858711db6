/** The JavaScript of the page of `pith plot`. All markup that it inserts is escaped by `html`. */
import { strip } from "./draw-graph.ts";
import { curveSteps } from "./weights.ts";

/** Functions without a document, which tests can run. `removed` rounds as `countOf` in `techniques/prune/amount.ts`. */
export const plotArithmetic = `
const removed = (amount, size) => amount * size + 4503599627370496 - 4503599627370496;
// Keeps the beginning of a sentence, in whole words.
const cutOff = (text, maxLength) => text.length <= maxLength ? text : text.slice(0, maxLength).replace(/[\\s,:;(]*\\S*$/, "") + " …";
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
const steps = ${curveSteps};
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
  const position = amount * steps;
  const low = Math.min(steps - 1, Math.floor(position));
  return cells.map((_, cell) => {
    const first = layer.curves[cell * (steps + 1) + low];
    const second = layer.curves[cell * (steps + 1) + low + 1];
    return (first + (second - first) * (position - low)) / 255;
  });
};
`;

export const plotScript = `
${plotArithmetic}
const find = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const [view, panel, slider, input] = ["view", "panel", "amount", "search"].map(find);
const percent = (share) => (100 * share).toFixed(share * 100 % 1 === 0 ? 0 : 1) + " %";
async function load() {
  const packed = new Blob([Uint8Array.from(atob(find("data").textContent), (letter) => letter.charCodeAt(0))]);
  return JSON.parse(await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).text());
}
function start({ drawings, details, layers }) {
  view.innerHTML = drawings;
  const boxes = all(".box[data-box]");
  const graphs = all("[data-graph]");
  let [graph, chosen, scale, mode, amount] = [graphs[0], undefined, 1, "entries", Number(slider.value) / 100];

  function shade() {
    let [count, size, layerCount] = [0, 0, 0];
    document.documentElement.style.setProperty("--amount", amount);
    document.body.className = mode;
    const { x, y, width, height } = ${JSON.stringify(strip)};
    layers.forEach((layer, number) => {
      if (layer === null) return;
      const pruned = amountOf(layer, mode, amount);
      if (layer.first && pruned !== undefined) { count += pruned.count; size += pruned.size; layerCount++; }
      const text = prunedText(layer, mode, amount);
      const cell = width / layer.cells;
      const path = shares(layer, mode, amount).map((share, column) => share < 0.004 ? "" :
        "M" + (x + column * cell).toFixed(1) + " " + (y + height * (1 - share)).toFixed(1) + "h" + cell.toFixed(1) + "V" + (y + height) + "h-" + cell.toFixed(1) + "z");
      boxes[number].querySelector(".gone").setAttribute("d", path.join(""));
      boxes[number].querySelector(".removed").textContent = cutOff(text, 40);
      if (boxes[number] === chosen) panel.querySelector(".removed").textContent = (pruned ? "" : mode === "channels" ? "not cut: " : "not pruned: ") + text;
    });
    find("share").textContent = percent(amount);
    find("total").textContent = layerCount === 0 ? "no layer to prune" : "at " + percent(amount) + ": " + removedText({ count, size }, mode === "channels" ? " channels" : " weights") + " in " + formatInteger(layerCount) + (layerCount === 1 ? " layer" : " layers");
  }
  slider.addEventListener("input", () => { amount = Number(slider.value) / 100; requestAnimationFrame(shade); });
  find("mode").addEventListener("change", (event) => { mode = event.target.value; shade(); });
  document.forms[0].addEventListener("submit", (event) => event.preventDefault());

  function choose(box, block = "nearest") {
    for (const element of all(".chosen, .near")) element.classList.remove("chosen", "near");
    chosen = box;
    panel.hidden = !box;
    if (!box) return;
    const number = box.dataset.box;
    open(box.closest("[data-graph]"));
    for (const element of [box, ...all('[data-from="' + number + '"], [data-to="' + number + '"]')]) element.classList.add(element === box ? "chosen" : "near");
    panel.innerHTML = details[number];
    shade();
    box.scrollIntoView({ block, inline: block });
  }
  function open(opened) {
    if (graph === opened && !opened.hidden) return;
    for (const other of graphs) other.hidden = other !== opened;
    graph = opened;
    zoomTo(Math.min(1, Math.max(0.6, view.clientWidth / sizeOf(graph).width)));
    view.scrollTo((view.scrollWidth - view.clientWidth) / 2, 0);
  }
  function follow({ dataset: { open: index, box } }) {
    choose(boxes[box]);
    open(graphs[index]);
  }

  const sizeOf = (graph) => graph.querySelector("svg").viewBox.baseVal;
  function zoomTo(value, point) {
    const frame = view.getBoundingClientRect();
    const [x, y] = point ?? [frame.left + frame.width / 2, frame.top + frame.height / 2];
    const svg = graph.querySelector("svg");
    const pointIn = ({ left, top }) => [(x - left) / scale, (y - top) / scale];
    const [pointX, pointY] = pointIn(svg.getBoundingClientRect());
    const { width, height } = sizeOf(graph);
    scale = Math.min(4, Math.max(0.9 * Math.min(0.02, view.clientWidth / width, view.clientHeight / height), value));
    // A transform leaves the layout of texts as it is.
    svg.style.transform = "scale(" + scale + ")";
    svg.style.margin = "0 " + width * (scale - 1) + "px " + height * (scale - 1) + "px " + Math.max(0, (view.clientWidth - width * scale) / 2) + "px";
    const { left, top } = svg.getBoundingClientRect();
    view.scrollBy(left + pointX * scale - x, top + pointY * scale - y);
    view.classList.toggle("far", scale < 0.45);
    if (scale >= 0.45) return;
    view.style.setProperty("--scale", scale);
    // At low zoom, a text is shown if it is below the one before it.
    const topOf = (text) => Number(text.getAttribute("y")) + (text.parentElement.transform.baseVal[0]?.matrix.f ?? 0);
    for (const kind of ["text.name", "text.block"]) {
      let free = -Infinity;
      const tops = [...graph.querySelectorAll(kind)].map((text) => [text, scale * topOf(text)]);
      for (const [text, top] of tops.sort(([, a], [, b]) => a - b)) {
        text.classList.toggle("hidden", top < free);
        if (top >= free) free = top + 15;
      }
    }
  }
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomTo(scale * Math.exp(-0.01 * event.deltaY), [event.clientX, event.clientY]);
  }, { passive: false });
  find("closer").addEventListener("click", () => zoomTo(1.4 * scale));
  find("farther").addEventListener("click", () => zoomTo(scale / 1.4));
  find("whole").addEventListener("click", () => zoomTo(Math.min(1, view.clientWidth / sizeOf(graph).width, view.clientHeight / sizeOf(graph).height)));

  addEventListener("resize", () => zoomTo(scale));

  let travelled = 0;
  view.addEventListener("pointerdown", () => { travelled = 0; });
  view.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || event.buttons !== 1) return;
    travelled += Math.abs(event.movementX) + Math.abs(event.movementY);
    view.scrollBy(-event.movementX, -event.movementY);
  });
  addEventListener("click", ({ target }) => {
    const link = target.closest("[data-open]");
    if (link) follow(link);
    else if (target.closest(".close")) choose();
    else if (travelled <= 5 && target.closest("#view svg")) choose(target.closest(".box"));
  });
  const enter = () => { const link = chosen && panel.querySelector("[data-open]"); if (link) follow(link); };
  view.addEventListener("dblclick", enter);
  addEventListener("keydown", (event) => {
    if (event.target.closest("input, button")) return;
    if (event.key === "+") zoomTo(1.25 * scale);
    else if (event.key === "-") zoomTo(0.8 * scale);
    else if (event.key === "Enter") enter();
    else if (event.key === "Escape" && chosen) choose();
    else if (event.key === "Escape") { const link = graph.querySelector("nav button:last-of-type"); if (link) follow(link); }
  });

  let [matches, match] = [[], -1];
  const texts = boxes.map((box) => {
    const [names, ...values] = box.querySelector("title").textContent.toLowerCase().split("\\n");
    return { box, names, text: values.join("\\n") };
  });
  input.addEventListener("input", () => {
    const words = input.value.trim().toLowerCase();
    [matches, match] = [words === "" ? [] : search(texts, words), -1];
    view.classList.toggle("searching", matches.length > 0);
    for (const box of all(".found")) box.classList.remove("found");
    for (const { box } of matches) box.classList.add("found");
    find("found").textContent = words === "" ? "" : matches.length === 0 ? "none" : formatInteger(matches.length) + " found, Enter for the next";
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { input.value = ""; input.dispatchEvent(new Event("input")); }
    if (event.key !== "Enter" || matches.length === 0) return;
    match = (match + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
    open(matches[match].box.closest("[data-graph]"));
    if (scale < 0.45) zoomTo(0.8);
    choose(matches[match].box, "center");
    find("found").textContent = formatInteger(match + 1) + " of " + formatInteger(matches.length);
  });
  document.documentElement.classList.add("live");
  open(graphs[0]);
  shade();
  view.focus();
}
load().then(start, (error) => { view.textContent = "This page cannot be read: " + error.message; });
`;
