/** The part of the plot's JavaScript that navigates between and within graphs, and prints. */
export const moveScript = `
  let scheduled = false;
  function move() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      // Printing shows the whole graph, so its change of the window size is ignored.
      if (printing) return;
      scene.setAttribute("transform", "translate(" + place.x + " " + place.y + ") scale(" + place.scale + ")");
      render();
    });
  }
  const minScale = () => Math.min(0.02, 0.9 * Math.min(view.clientWidth / graph.width, view.clientHeight / graph.height));
  function zoom(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
    const scale = Math.min(4, Math.max(minScale(), place.scale * factor));
    place.x = x - ((x - place.x) * scale) / place.scale;
    place.y = y - ((y - place.y) * scale) / place.scale;
    place.scale = scale;
    move();
  }
  function fit(all) {
    const wide = view.clientWidth / graph.width;
    place.scale = Math.min(1, Math.max(minScale(), all ? Math.min(wide, view.clientHeight / graph.height) : Math.max(wide, 0.6)));
    // A drawing wider than the window starts at its first input.
    const middle = graph.width * place.scale <= view.clientWidth ? graph.width / 2 : graph.boxes[0]?.x ?? 0;
    place.x = view.clientWidth / 2 - middle * place.scale;
    place.y = all ? Math.max(0, (view.clientHeight - graph.height * place.scale) / 2) : 0;
    move();
  }
  function show(index) {
    place.scale = Math.max(place.scale, 0.8);
    place.x = view.clientWidth / 2 - graph.boxes[index].x * place.scale;
    place.y = view.clientHeight / 2 - graph.boxes[index].y * place.scale;
    move();
  }
  function open(index) {
    current = index;
    graph = graphs[index];
    choose(undefined);
    forget();
    drawFrames();
    const line = [];
    for (let number = index; number !== undefined; number = graphs[number].parent?.[0]) line.unshift(number);
    const path = find("path");
    path.hidden = index === 0;
    path.replaceChildren(...line.flatMap((number) => {
      const step = element(number === index ? "b" : "button", number === 0 ? "whole model" : graphs[number].title);
      if (number === index) return [step];
      step.type = "button";
      step.addEventListener("click", () => { const from = line[line.indexOf(number) + 1]; open(number); choose(graphs[from].parent[1]); show(graphs[from].parent[1]); });
      return [step, " › "];
    }));
    fit(false);
  }
  const pointers = new Map();
  let travelled = 0;
  const pointOf = (event) => { const { left, top } = view.getBoundingClientRect(); return { x: event.clientX - left, y: event.clientY - top }; };
  function boxAt(event) {
    const point = pointOf(event);
    const [x, y] = [(point.x - place.x) / place.scale, (point.y - place.y) / place.scale];
    // Taps next to a box select it, because fingers are imprecise and boxes can be small.
    const slack = Math.min(12, 4 / place.scale);
    const index = graph.boxes.findIndex((box) => within(box, { left: x - slack, right: x + slack, top: y - slack, bottom: y + slack }));
    return index < 0 ? undefined : index;
  }
  view.addEventListener("pointerdown", (event) => {
    if (event.target.closest(".zoom")) return;
    if (pointers.size === 0) travelled = 0;
    pointers.set(event.pointerId, pointOf(event));
    view.setPointerCapture(event.pointerId);
  });
  view.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before === undefined) return;
    const now = pointOf(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other !== undefined) {
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      zoom(distance(now) / Math.max(1, distance(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
    }
    // With two fingers, the drawing follows the point between them, and zooms with their distance.
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
    if (event.type === "pointerup" && travelled <= 5) choose(boxAt(event));
  }
  view.addEventListener("pointerup", lift);
  view.addEventListener("pointercancel", lift);
  view.addEventListener("dblclick", (event) => {
    const inside = graph.boxes[boxAt(event)]?.graphs[0];
    if (inside !== undefined) open(inside[1]);
  });
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = pointOf(event);
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
    if (event.target.closest("input, button")) return;
    const step = { ArrowUp: [0, 80], ArrowDown: [0, -80], ArrowLeft: [80, 0], ArrowRight: [-80, 0] }[event.key];
    const inside = graph.boxes[chosen]?.graphs[0];
    if (step) { place.x += step[0]; place.y += step[1]; move(); event.preventDefault(); }
    else if (event.key === "+") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "Enter" && inside !== undefined) open(inside[1]);
    else if (event.key === "Escape" && chosen !== undefined) choose(undefined);
    else if (event.key === "Escape" && graph.parent) { const [above, box] = graph.parent; open(above); choose(box); show(box); }
  });
  addEventListener("resize", move);
  addEventListener("beforeprint", () => {
    printing = true;
    drawing.setAttribute("viewBox", "0 0 " + graph.width + " " + graph.height);
    drawing.style.maxWidth = graph.width + "px";
    scene.removeAttribute("transform");
    render();
  });
  addEventListener("afterprint", () => {
    printing = false;
    drawing.removeAttribute("viewBox");
    drawing.style.maxWidth = "";
    forget();
    move();
  });
`;
