/**
 * The plot's JavaScript: moving and zooming, the amount, the search, the details. Whatever comes from the model is written as text, never as
 * markup.
 */

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
const data = JSON.parse(document.getElementById("data").textContent);
const layers = data.layers.map((layer) => unpack(layer, data.steps));
const find = (id) => document.getElementById(id);
const [view, drawing, scene, panel, slider] = ["view", "drawing", "scene", "panel", "amount"].map(find);
const boxes = [];
for (const box of scene.querySelectorAll("[data-box]")) boxes[box.dataset.box] = box;
const edges = [...scene.querySelectorAll("[data-ends]")].map((path) => ({ path, ends: path.dataset.ends.split(" ").map(Number) }));
const bands = [...scene.querySelectorAll(".band")].map((band) => ({ band, top: Number(band.dataset.top), bottom: Number(band.dataset.bottom) }));
const whole = (value) => Math.round(value).toLocaleString("en-US");
const percent = (share) => (100 * share).toFixed(share * 100 % 1 === 0 ? 0 : 1) + " %";
document.documentElement.classList.add("live");

// Moving and zooming.
const place = { x: 0, y: 0, scale: 1 };
let scheduled = false;
function move() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    scene.setAttribute("transform", "translate(" + place.x + " " + place.y + ") scale(" + place.scale + ")");
    scene.classList.toggle("far", place.scale < 0.45);
    scene.classList.toggle("farther", place.scale < 0.2);
    const [top, bottom] = [-place.y / place.scale, (view.clientHeight - place.y) / place.scale];
    for (const one of bands) one.band.classList.toggle("off", one.bottom < top || one.top > bottom);
  });
}
function zoom(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
  const scale = Math.min(4, Math.max(0.02, place.scale * factor));
  place.x = x - ((x - place.x) * scale) / place.scale;
  place.y = y - ((y - place.y) * scale) / place.scale;
  place.scale = scale;
  move();
}
function fit(all) {
  const wide = view.clientWidth / data.width;
  place.scale = Math.min(1, Math.max(0.02, all ? Math.min(wide, view.clientHeight / data.height) : Math.max(wide, 0.6)));
  // A drawing that is wider than the window begins at its first input.
  const middle = data.width * place.scale <= view.clientWidth ? data.width / 2 : data.boxes[0].x;
  place.x = view.clientWidth / 2 - middle * place.scale;
  place.y = 0;
  move();
}
function show(index) {
  place.scale = Math.max(place.scale, 0.8);
  place.x = view.clientWidth / 2 - data.boxes[index].x * place.scale;
  place.y = view.clientHeight / 2 - data.boxes[index].y * place.scale;
  move();
}
const pointers = new Map();
let travelled = 0;
const at = (event) => { const { left, top } = view.getBoundingClientRect(); return { x: event.clientX - left, y: event.clientY - top }; };
view.addEventListener("pointerdown", (event) => {
  if (event.target.closest(".zoom")) return;
  if (pointers.size === 0) travelled = 0;
  pointers.set(event.pointerId, at(event));
  view.setPointerCapture(event.pointerId);
});
view.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (before === undefined) return;
  const now = at(event);
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other !== undefined) {
    const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y);
    zoom(distance(now) / Math.max(1, distance(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
  }
  // Two fingers move what lies between them.
  const part = other === undefined ? 1 : 0.5;
  place.x += (now.x - before.x) * part;
  place.y += (now.y - before.y) * part;
  travelled += Math.hypot(now.x - before.x, now.y - before.y);
  pointers.set(event.pointerId, now);
  view.classList.add("dragging");
  move();
});
function lift(event) {
  if (!pointers.delete(event.pointerId) || pointers.size > 0) return;
  view.classList.remove("dragging");
  if (event.type !== "pointerup" || travelled > 5) return;
  const box = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-box]");
  choose(box ? Number(box.dataset.box) : undefined);
}
view.addEventListener("pointerup", lift);
view.addEventListener("pointercancel", lift);
view.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { x, y } = at(event);
  const unit = event.deltaMode === 1 ? 16 : 1;
  // A trackpad pans with two fingers and pinches with control; a mouse's wheel zooms.
  const wheel = event.deltaMode === 1 || (event.deltaX === 0 && Math.abs(event.deltaY) >= 50);
  if (event.ctrlKey || wheel) zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)), x, y);
  else { place.x -= event.deltaX; place.y -= event.deltaY; move(); }
}, { passive: false });
find("closer").addEventListener("click", () => zoom(1.4));
find("farther").addEventListener("click", () => zoom(1 / 1.4));
find("whole").addEventListener("click", () => fit(true));
addEventListener("keydown", (event) => {
  if (event.target.closest("input")) return;
  const step = { ArrowUp: [0, 80], ArrowDown: [0, -80], ArrowLeft: [80, 0], ArrowRight: [-80, 0] }[event.key];
  if (step) { place.x += step[0]; place.y += step[1]; move(); event.preventDefault(); }
  else if (event.key === "+") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
  else if (event.key === "Escape") choose(undefined);
});
addEventListener("resize", move);

// What an amount removes.
let amount = data.amount;
let mode = "entries";
function shade() {
  let [gone, size, counted] = [0, 0, 0];
  layers.forEach((layer, index) => {
    if (layer === null || layer.entries === undefined) return;
    const { x, y, width, height } = data.strip;
    const cell = width / layer.cells;
    const path = shares(layer, mode, amount).map((share, number) => share < 0.004 ? "" :
      "M" + (x + number * cell).toFixed(1) + " " + (y + height * (1 - share)).toFixed(1) + "h" + cell.toFixed(1) + "V" + (y + height) + "h-" + cell.toFixed(1) + "z");
    boxes[index].querySelector("path.gone").setAttribute("d", path.join(""));
    const taken = amountOf(layer, mode, amount);
    const unit = mode === "channels" ? " channels" : "";
    boxes[index].querySelector(".removed").textContent = taken === undefined ? "channels not known" : whole(taken.gone) + " of " + whole(taken.size) + unit + " removed";
    if (layer.first && taken !== undefined) { gone += taken.gone; size += taken.size; counted++; }
  });
  find("share").textContent = percent(amount);
  find("total").textContent = counted === 0 ? "no layer to prune" : whole(gone) + " of " + whole(size) + (mode === "channels" ? " channels" : " weights") + " removed in " + whole(counted) + (counted === 1 ? " layer" : " layers");
  if (chosen !== undefined) details();
}
let waiting = false;
slider.addEventListener("input", () => {
  amount = Number(slider.value) / 100;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; shade(); });
});
find("mode").addEventListener("change", (event) => { mode = event.target.value; shade(); });
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

// The search.
let matches = [];
let match = -1;
const texts = data.boxes.map((box) => [box.title, box.name, box.weight, ...box.inputs, ...box.outputs].join("\\n").toLowerCase());
find("search").addEventListener("input", () => {
  const words = find("search").value.trim().toLowerCase();
  matches = words === "" ? [] : texts.flatMap((text, index) => (text.includes(words) ? [index] : []));
  match = -1;
  scene.classList.toggle("searching", matches.length > 0);
  const set = new Set(matches);
  boxes.forEach((box, index) => box.classList.toggle("found", set.has(index)));
  find("found").textContent = words === "" ? "" : matches.length === 0 ? "none" : whole(matches.length) + " found, Enter for the next";
});
find("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
  if (event.key !== "Enter" || matches.length === 0) return;
  match = (match + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
  find("found").textContent = whole(match + 1) + " of " + whole(matches.length);
  choose(matches[match]);
  show(matches[match]);
});

// The details.
let chosen;
function choose(index) {
  if (chosen !== undefined) boxes[chosen].classList.remove("chosen");
  chosen = index;
  if (index !== undefined) boxes[index].classList.add("chosen");
  for (const { path, ends } of edges) path.classList.toggle("near", ends.includes(index));
  panel.hidden = index === undefined;
  if (index !== undefined) details();
}
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
function list(title, lines) {
  if (lines.length === 0) return [];
  const all = element("ul");
  for (const line of lines) all.append(element("li", line));
  return [element("h3", title), all];
}
function details() {
  const box = data.boxes[chosen];
  const layer = layers[chosen];
  const close = element("button", "×", "close");
  close.setAttribute("aria-label", "close");
  close.addEventListener("click", () => choose(undefined));
  const head = box.name === "" || box.name === box.title ? [element("h2", box.title)] : [element("h2", box.name), element("p", box.title)];
  const facts = [];
  if (box.miss) facts.push(element("p", "not understood: " + box.miss, "bad"));
  if (box.macs) facts.push(element("p", box.macs + " multiply-accumulates"));
  panel.replaceChildren(close, ...head, ...facts, ...(layer === null ? [] : weightDetails(box, layer)),
    ...list("inputs", box.inputs), ...list("outputs", box.outputs), ...list("attributes", box.attributes.map(([key, value]) => key + " = " + value)));
}
function weightDetails(box, layer) {
  const shown = [element("h3", "weight"), element("p", box.weight + ", " + layer.bytes)];
  if (!layer.first) shown.push(element("p", "shared with a layer before this one"));
  if (layer.entries === undefined) return [...shown, element("p", layer.reason)];
  const taken = amountOf(layer, mode, amount);
  if (taken !== undefined) shown.push(element("p", whole(taken.gone) + " of " + whole(taken.size) + (mode === "channels" ? " channels" : "") + " removed", "removed"));
  shown.push(element("h3", "size of the entries, from the smallest to the largest"), magnitudes(layer));
  if (layer.cells > 1) shown.push(element("h3", "norm of the output channels, and the part that goes"), norms(layer));
  return shown;
}
const [chartWidth, chartHeight] = [330, 110];
function magnitudes({ quantiles }) {
  const largest = quantiles[100] || 1;
  const x = (share) => ((share / 100) * chartWidth).toFixed(1);
  const y = (value) => (chartHeight - (value / largest) * (chartHeight - 14)).toFixed(1);
  const svg = shape("svg", { viewBox: "0 0 " + chartWidth + " " + (chartHeight + 16) });
  const last = Math.round(100 * amount);
  if (mode === "entries" && last > 0) {
    const line = quantiles.slice(0, last + 1).map((value, share) => "L" + x(share) + " " + y(value)).join("");
    svg.append(shape("path", { class: "part", d: "M0 " + chartHeight + line + "L" + x(last) + " " + chartHeight + "z" }));
  }
  svg.append(shape("path", { class: "base", d: "M0 " + chartHeight + "H" + chartWidth }), shape("path", { class: "curve", d: "M" + quantiles.map((value, share) => x(share) + " " + y(value)).join("L") }));
  const threshold = quantiles[last];
  svg.append(shape("text", { x: 0, y: chartHeight + 13, style: "text-anchor:start", text: mode === "entries" ? "below " + threshold.toPrecision(3) + " goes" : "" }), shape("text", { x: chartWidth, y: 10, style: "text-anchor:end", text: "largest " + quantiles[100].toPrecision(3) }));
  return svg;
}
function norms(layer) {
  const width = chartWidth / layer.cells;
  const svg = shape("svg", { viewBox: "0 0 " + chartWidth + " " + chartHeight });
  const gone = shares(layer, mode, amount);
  layer.heat.forEach((share, cell) => {
    const height = share * (chartHeight - 6);
    const part = height * gone[cell];
    const common = { x: (cell * width).toFixed(1), width: Math.max(0.8, width - 1).toFixed(1) };
    svg.append(shape("rect", { ...common, class: "bar", y: (chartHeight - height).toFixed(1), height: (height - part).toFixed(1) }), shape("rect", { ...common, class: "bar removed", y: (chartHeight - part).toFixed(1), height: part.toFixed(1) }));
  });
  return svg;
}

fit(false);
shade();
`;
