/** The part of the plot's JavaScript that handles the pruning amount, the search, and the details of the selected box. */
export const detailsScript = `
  function shade() {
    let [count, size, layerCount] = [0, 0, 0];
    for (const { layers } of graphs) for (const layer of layers) {
      if (layer === null || !layer.first) continue;
      const pruned = amountOf(layer, mode, amount);
      if (pruned !== undefined) { count += pruned.count; size += pruned.size; layerCount++; }
    }
    for (const [index, group] of drawnBoxes) if (graph.layers[index] !== null) shadeBox(group, graph.layers[index]);
    find("share").textContent = percent(amount);
    find("total").textContent = layerCount === 0 ? "no layer to prune" : "at " + percent(amount) + ": " + removedText({ count, size }, mode === "channels" ? " channels" : " weights") + " in " + formatInteger(layerCount) + (layerCount === 1 ? " layer" : " layers");
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

  // Searches all graphs.
  let matches = [];
  let match = -1;
  const texts = graphs.flatMap(({ boxes }, number) => boxes.map((box, index) => ({ number, index, box, names: [box.title, box.name, box.weight].join("\\n").toLowerCase(), text: [...box.inputs, ...box.outputs].join("\\n").toLowerCase() })));
  find("search").addEventListener("input", () => {
    const words = find("search").value.trim().toLowerCase();
    matches = words === "" ? [] : search(texts, words);
    match = -1;
    matchedBoxes = new Set(matches.map(({ box }) => box));
    scene.classList.toggle("searching", matches.length > 0);
    for (const [index, group] of drawnBoxes) group.classList.toggle("found", matchedBoxes.has(graph.boxes[index]));
    find("found").textContent = words === "" ? "" : matches.length === 0 ? "none" : formatInteger(matches.length) + " found, Enter for the next";
    move();
  });
  find("search").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
    if (event.key !== "Enter" || matches.length === 0) return;
    match = (match + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
    const { number, index } = matches[match];
    if (number !== current) open(number);
    choose(index);
    show(index);
    find("found").textContent = formatInteger(match + 1) + " of " + formatInteger(matches.length);
  });

  function choose(index) {
    drawnBoxes.get(chosen)?.classList.remove("chosen");
    chosen = index;
    drawnBoxes.get(chosen)?.classList.add("chosen");
    for (const [[from, to], path] of drawnLines) path.classList.toggle("near", from === index || to === index);
    panel.hidden = index === undefined;
    if (index !== undefined) details();
    // The details may cover the selected box.
    if (index !== undefined && !within(graph.boxes[index], seen(0))) show(index);
    move();
  }
  function list(title, lines) {
    if (lines.length === 0) return [];
    const all = element("ul");
    for (const line of lines) all.append(element("li", line));
    return [element("h3", title), all];
  }
  function details() {
    const box = graph.boxes[chosen];
    const layer = graph.layers[chosen];
    const close = element("button", "×", "close");
    close.setAttribute("aria-label", "close");
    close.addEventListener("click", () => choose(undefined));
    const head = box.name === "" || box.name === box.title ? [element("h2", box.title)] : [element("h2", box.name), element("p", box.title)];
    const facts = [];
    if (box.miss) facts.push(element("p", "not understood: " + box.miss, "bad"));
    if (box.macs) facts.push(element("p", box.macs + " multiply-accumulates"));
    if (box.bits) facts.push(element("p", "quantized values of " + box.bits + " bits"));
    panel.replaceChildren(close, ...head, ...facts, ...subgraphButtons(box), ...(layer === null ? [] : weightDetails(box, layer)), ...offerList(box),
      ...list("inputs", box.inputs), ...list("outputs", box.outputs), ...list("attributes", box.attributes.map(([key, value]) => key + " = " + value)));
  }
  function subgraphButtons({ graphs: subgraphs }) {
    return subgraphs.map(([attribute, index]) => {
      const enter = element("button", "open " + attribute + ": " + formatInteger(graphs[index].boxes.length) + " boxes", "enter");
      enter.type = "button";
      enter.addEventListener("click", () => open(index));
      return enter;
    });
  }
  function offerList(box) {
    if (!box.offers || box.offers.length === 0) return [];
    const all = element("dl");
    for (const [technique, text, refused] of box.offers) all.append(element("dt", technique), element("dd", refused ? "no: " + text : text, refused ? "refused" : ""));
    return [element("h3", "what techniques could do"), all];
  }
  function weightDetails(box, layer) {
    const shown = [element("h3", "weight"), element("p", box.weight + " " + layer.facts + ", " + layer.bytes)];
    if (layer.original) shown.push(element("p", layer.original.full));
    if (!layer.first) shown.push(element("p", "shared with an earlier layer"));
    const refused = amountOf(layer, mode, amount) === undefined;
    shown.push(element("p", (refused ? (mode === "channels" ? "not cut: " : "not pruned: ") : "") + prunedText(layer, mode, amount)));
    if (layer.entries !== undefined) shown.push(element("h3", "magnitudes of the entries, in ascending order"), magnitudes(layer));
    if (layer.cells > 1) shown.push(element("h3", "norms of the output channels, and the part that would be removed"), norms(layer));
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
    svg.append(shape("text", { x: 0, y: chartHeight + 13, style: "text-anchor:start", text: mode === "entries" ? "below " + threshold.toPrecision(3) + " would be removed" : "" }), shape("text", { x: chartWidth, y: 10, style: "text-anchor:end", text: "largest " + quantiles[100].toPrecision(3) }));
    return svg;
  }
  function norms(layer) {
    const width = chartWidth / layer.cells;
    const svg = shape("svg", { viewBox: "0 0 " + chartWidth + " " + chartHeight });
    const removedShares = shares(layer, mode, amount);
    layer.heat.forEach((share, cell) => {
      const height = share * (chartHeight - 6);
      const part = height * removedShares[cell];
      const common = { x: (cell * width).toFixed(1), width: Math.max(0.8, width - 1).toFixed(1) };
      svg.append(shape("rect", { ...common, class: "bar", y: (chartHeight - height).toFixed(1), height: (height - part).toFixed(1) }), shape("rect", { ...common, class: "bar removed", y: (chartHeight - part).toFixed(1), height: part.toFixed(1) }));
    });
    return svg;
  }
`;
