/** The part of the plot's JavaScript that draws visible boxes and lines. If too many boxes are visible, it draws one path per kind of box. */
export const drawScript = `
  const maxDrawn = 500;
  const [framesLayer, sketchLayer, linesLayer, boxesLayer] = ["frames", "sketch", "lines", "boxes"].map((name) => shape("g", { id: name }));
  const [labelsLayer, rowsLayer] = ["labels", "rows"].map((name) => shape("g", { id: name }));
  scene.append(framesLayer, sketchLayer, linesLayer, boxesLayer, labelsLayer, rowsLayer);
  const place = { x: 0, y: 0, scale: 1 };
  const drawnBoxes = new Map();
  const drawnLines = new Map();
  let sketched;
  let printing = false;
  const within = (box, { left, right, top, bottom }) =>
    box.x + box.width / 2 >= left && box.x - box.width / 2 <= right && box.y + box.height / 2 >= top && box.y - box.height / 2 <= bottom;

  function seen(part) {
    if (printing) return { left: 0, right: graph.width, top: 0, bottom: graph.height };
    const [width, height] = [view.clientWidth / place.scale, view.clientHeight / place.scale];
    const [left, top] = [-place.x / place.scale, -place.y / place.scale];
    return { left: left - part * width, right: left + (1 + part) * width, top: top - part * height, bottom: top + (1 + part) * height };
  }
  function render() {
    const window = seen(0);
    let count = 0;
    let missing = false;
    graph.boxes.forEach((box, index) => {
      if (!within(box, window)) return;
      count++;
      if (!drawnBoxes.has(index)) missing = true;
    });
    const lines = graph.lines.filter(([, , , left, right, top, bottom]) => right >= window.left && left <= window.right && bottom >= window.top && top <= window.bottom);
    const sketching = count > (printing ? 4 * maxDrawn : maxDrawn);
    scene.classList.toggle("sketching", sketching);
    scene.classList.toggle("far", place.scale < 0.45 && !printing);
    if (sketching) {
      forget();
      sketch();
    } else {
      sketchLayer.replaceChildren();
      sketched = undefined;
      if (missing || lines.some((line) => !drawnLines.has(line))) fill(seen(0.4));
    }
    // Names of blocks are left of their frames in screen size, if there is room, and inside the window.
    const size = printing ? 13 : Math.max(12, 12 / place.scale);
    for (const [index, text] of [...labelsLayer.children].entries()) {
      const frame = graph.frames[index];
      text.style.fontSize = size.toFixed(1) + "px";
      text.style.display = frame.height > 1.2 * size ? "" : "none";
      const minX = window.left + size / 2 + 0.62 * size * text.textContent.length;
      text.setAttribute("y", Math.min(Math.max(frame.y, window.top) + size, frame.y + frame.height - 0.2 * size).toFixed(1));
      text.setAttribute("x", Math.max(frame.x - size / 2, minX).toFixed(1));
    }
    // At low zoom, the names of layers are written next to them in a readable size, if there is room.
    let free = -Infinity;
    const readable = scene.classList.contains("far") ? rows.filter(({ y }) => {
      if (y - size / 2 < free || y < window.top || y > window.bottom) return false;
      free = y + 0.6 * size;
      return true;
    }) : [];
    rowsLayer.style.fontSize = size.toFixed(1) + "px";
    rowsLayer.replaceChildren(...readable.map(({ x, y, text }) => {
      const maxX = window.right - size / 2 - 0.55 * size * text.length;
      return shape("text", { x: Math.min(x + size / 2, maxX).toFixed(1), y: (y + size / 3).toFixed(1), text });
    }));
  }
  function forget() {
    boxesLayer.replaceChildren();
    linesLayer.replaceChildren();
    drawnBoxes.clear();
    drawnLines.clear();
  }
  function fill(window) {
    for (const [index, group] of drawnBoxes) if (!within(graph.boxes[index], window)) { group.remove(); drawnBoxes.delete(index); }
    for (const line of graph.lines) {
      const [from, to, d, left, right, top, bottom] = line;
      const near = right >= window.left && left <= window.right && bottom >= window.top && top <= window.bottom;
      const drawnPath = drawnLines.get(line);
      if (!near) { drawnPath?.remove(); drawnLines.delete(line); }
      else if (drawnPath === undefined) {
        const path = shape("path", { class: from === chosen || to === chosen ? "edge near" : "edge", d });
        linesLayer.append(path);
        drawnLines.set(line, path);
      }
    }
    graph.boxes.forEach((box, index) => {
      if (drawnBoxes.has(index) || !within(box, window)) return;
      const group = drawBox(box, index);
      boxesLayer.append(group);
      drawnBoxes.set(index, group);
    });
  }
  function drawBox(box, index) {
    const { x, y, width, height, family } = box;
    const layer = graph.layers[index];
    const group = shape("g", { class: "box " + family + (box.graphs.length > 0 ? " holder" : ""), "data-box": index, transform: "translate(" + x + " " + y + ")" });
    group.classList.toggle("found", matchedBoxes.has(box));
    group.classList.toggle("chosen", index === chosen);
    const frame = (grow) => ({ x: -width / 2 - grow, y: -height / 2 - grow, width: width + 2 * grow, height: height + 2 * grow, rx: family === "port" ? height / 2 : 4 });
    group.append(shape("title", { text: box.title + " " + box.name }));
    if (box.graphs.length > 0) group.append(shape("rect", { class: "body", ...frame(3) }));
    group.append(shape("rect", { class: "body", ...frame(0) }));
    if (layer === null) group.append(shape("text", { class: "title", y: 4, text: box.label }));
    else {
      const { x: left } = data.strip;
      group.append(shape("text", { class: "name", x: left, y: -21, text: ending(box.name, 29) }), shape("text", { class: "facts", x: left, y: -6, text: clip(layer.original ? layer.original.brief : box.title + " " + layer.facts, layer.original ? 37 : 42) }),
        ...heat(layer), shape("path", { class: "gone" }), shape("text", { class: "facts removed", x: left, y: 31 }));
      shadeBox(group, layer);
    }
    if (box.note) group.append(shape("text", { class: "note", x: 6, y: height / 2 + 12, text: box.note }));
    return group;
  }
  // Draws one column per cell, darker for larger norms. All columns of a shade are one path.
  function heat(layer) {
    if (layer.cells === 0) return [];
    const { x, y, width, height } = data.strip;
    const cell = width / layer.cells;
    const paths = Array.from({ length: 8 }, () => "");
    layer.heat.forEach((share, index) => {
      paths[Math.min(7, Math.floor(share * 8))] += "M" + (x + index * cell).toFixed(1) + " " + y + "h" + cell.toFixed(1) + "v" + height + "h-" + cell.toFixed(1) + "z";
    });
    return paths.flatMap((d, shade) => (d === "" ? [] : [shape("path", { class: "heat heat" + shade, d })]));
  }
  function shadeBox(group, layer) {
    group.querySelector(".removed").textContent = cutOff(prunedText(layer, mode, amount), 40);
    const { x, y, width, height } = data.strip;
    const cell = width / layer.cells;
    const path = shares(layer, mode, amount).map((share, number) => share < 0.004 ? "" :
      "M" + (x + number * cell).toFixed(1) + " " + (y + height * (1 - share)).toFixed(1) + "h" + cell.toFixed(1) + "V" + (y + height) + "h-" + cell.toFixed(1) + "z");
    group.querySelector("path.gone").setAttribute("d", path.join(""));
  }
  function sketch() {
    const key = current + " " + chosen + " " + matchedBoxes.size + " " + matchedBoxes.values().next().value?.name;
    if (sketched === key) return;
    sketched = key;
    const rectangle = ({ x, y, width, height }) => "M" + (x - width / 2) + " " + (y - height / 2) + "h" + width + "v" + height + "h" + -width + "z";
    const paths = new Map();
    const add = (name, box) => paths.set(name, (paths.get(name) ?? "") + rectangle(box));
    graph.boxes.forEach((box, index) => {
      add(box.family, box);
      if (matchedBoxes.has(box)) add("found", box);
      if (index === chosen) add("chosen", box);
    });
    sketchLayer.replaceChildren(shape("path", { class: "edge", d: graph.lines.map(([, , d]) => d).join("") }),
      ...[...paths].map(([name, d]) => { const group = shape("g", { class: ["found", "chosen"].includes(name) ? "box " + name : name }); group.append(shape("path", { class: "body", d })); return group; }));
  }
  function drawFrames() {
    framesLayer.replaceChildren(...graph.frames.map(({ x, y, width, height }) => {
      const group = shape("g", { class: "frame" });
      group.append(shape("rect", { x, y, width, height, rx: 8 }));
      return group;
    }));
    labelsLayer.replaceChildren(...graph.frames.map(({ label }) => shape("text", { text: label })));
    rows = layerRows(graph);
  }
  // Collects the layers of each row, and where the text next to them starts: to the right of their block, if they are in one.
  let rows = [];
  function layerRows({ boxes, layers, frames }) {
    const rowsByY = new Map();
    boxes.forEach((box, index) => {
      if (layers[index] === null) return;
      const row = rowsByY.get(box.y) ?? { x: 0, y: box.y, names: [] };
      rowsByY.set(box.y, row);
      const around = frames.filter((frame) => within(box, { left: frame.x, right: frame.x + frame.width, top: frame.y, bottom: frame.y + frame.height }));
      row.x = Math.max(row.x, box.x + box.width / 2, ...around.map((frame) => frame.x + frame.width));
      row.names.push(box.name);
    });
    return [...rowsByY.values()].sort((a, b) => a.y - b.y).map(({ x, y, names }) => ({ x, y, text: joinNames(names) }));
  }
`;
