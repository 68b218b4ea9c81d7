// Maps of the atoms, all of one selection. plotly keeps the axes; the atoms are drawn on a canvas above them, so that a
// pick answers at once however many they are, and rings on another, so that pointing does.
(() => {
  "use strict";
  const compared = platonic.data.comparison;
  if (!compared) return;
  const { touch, decode, number, escape, make, axis, layout, onScreen, isDrawn, atoms, bright, current } = platonic;
  const { rows, shown, ofGroup, groupOf, structureOf, element, neighboursOf, placeInMaps, modelName } = atoms;

  // The rarest groups last, so that they lie on top.
  const drawing = [...ofGroup.keys()].sort((a, b) => ofGroup.get(b).length - ofGroup.get(a).length);
  const hidden = new Set();

  const views = new Map(); // of a space of a model: its points, once decoded
  function pointsOf(node) {
    const view = compared.maps[node.dataset.model][node.dataset.space];
    if (!views.has(view)) {
      const sent = decode(view.points);
      const { scale, origin } = view.points;
      views.set(view, scale ? Float32Array.from(sent, (x, i) => origin[i % 2] + scale[i % 2] * x) : sent);
    }
    return views.get(view);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  const maps = [...document.querySelectorAll('[data-figure="map"]')];
  const layers = new Map(); // node → { dots, rings }, canvases
  const ranges = new Map(); // node → where a reader has moved it to
  const stamps = new Map();
  let hovered = null; // { place, model, ringed }
  const STEPS = 32;
  let colouring = null; // { name, values, low, high }, or null for chemical groups

  const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const mix = (a, b, share) => a.map((x, i) => Math.round(x + share * (b[i] - x)));
  const inks = compared.groups.map(({ colour }) => rgb(colour));
  // The colour of each atom by its value; without a value, that of what is dimmed.
  function valueColours(colour) {
    const stops = ["value-low", "value-middle", "value-high"].map((name) => rgb(colour(name)));
    const of = (share) => (share < 0.5 ? mix(stops[0], stops[1], 2 * share) : mix(stops[1], stops[2], 2 * share - 1));
    const palette = Array.from({ length: STEPS + 1 }, (_, i) => of(i / STEPS));
    const { values, low, high } = colouring;
    const grey = rgb(colour("dimmed"));
    return (place) =>
      Number.isNaN(values[place]) ? grey : palette[Math.round((STEPS * (values[place] - low)) / (high - low || 1))];
  }

  // A marker as the pixels around its middle and how far it covers each: the shape from the key, or else a disc.
  function stamp(shape, size) {
    const ratio = devicePixelRatio;
    const name = `${shape} ${size} ${ratio}`;
    if (!stamps.has(name)) {
      const half = Math.ceil((size * ratio) / 2);
      const side = 2 * half + 1;
      const context = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
      context.translate(side / 2, side / 2);
      context.scale((size * ratio) / 2, (size * ratio) / 2);
      if (shape) shape.split(" ").forEach((point) => context.lineTo(...point.split(",").map(Number)));
      else context.arc(0, 0, 0.85, 0, 2 * Math.PI);
      context.fill();
      const { data } = context.getImageData(0, 0, side, side);
      const pixels = Array.from({ length: side * side }, (_, i) => i).filter((i) => data[4 * i + 3]);
      stamps.set(name, {
        half,
        dx: Int16Array.from(pixels, (i) => (i % side) - half),
        dy: Int16Array.from(pixels, (i) => Math.floor(i / side) - half),
        cover: Float32Array.from(pixels, (i) => data[4 * i + 3] / 255),
      });
    }
    return stamps.get(name);
  }

  // Laid over what is there; by hand, since tens of thousands of `drawImage` take a second and this takes milliseconds.
  function press({ data, width, height }, { half, dx, dy, cover }, x, y, [red, green, blue], opacity) {
    if (!(x >= half && y >= half && x < width - half && y < height - half)) return;
    for (let k = 0; k < cover.length; k++) {
      const i = 4 * (x + dx[k] + width * (y + dy[k]));
      const a = opacity * cover[k];
      data[i] += a * (red - data[i]);
      data[i + 1] += a * (green - data[i + 1]);
      data[i + 2] += a * (blue - data[i + 2]);
    }
  }

  // An empty canvas over the axes of a map, and where on it an atom lies.
  function prepare(node, canvas) {
    const { xaxis, yaxis } = node._fullLayout;
    const [width, height, ratio] = [xaxis._length, yaxis._length, devicePixelRatio];
    canvas.style.cssText = `left:${xaxis._offset}px;top:${yaxis._offset}px;width:${width}px;height:${height}px`;
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const points = pointsOf(node);
    const [[left, right], [bottom, top]] = [xaxis.range, yaxis.range];
    const [across, up] = [canvas.width / (right - left), canvas.height / (top - bottom)];
    const x = (place) => (points[2 * place] - left) * across;
    const y = (place) => (top - points[2 * place + 1]) * up;
    return { context: canvas.getContext("2d"), ratio, x, y };
  }

  function paintDots(node) {
    const canvas = layers.get(node).dots;
    const { context, x, y } = prepare(node, canvas);
    const picked = current();
    const size = shown > 5000 ? 5 : 7;
    const [ground, grey] = [rgb(onScreen("surface")), rgb(onScreen("dimmed"))];
    const colourOf = colouring && valueColours(onScreen);
    const image = new ImageData(canvas.width, canvas.height);
    new Uint32Array(image.data.buffer).fill(new Uint32Array(Uint8Array.of(...ground, 255).buffer)[0]);
    const draw = (group, places, extent, opacity, dim) => {
      const shape = stamp(colouring ? "" : compared.groups[group].glyph, extent);
      for (const place of places) {
        const ink = dim ? grey : colouring ? colourOf(place) : inks[group];
        press(image, shape, Math.round(x(place)), Math.round(y(place)), ink, opacity);
      }
    };
    for (const group of drawing) if (!hidden.has(group)) draw(group, ofGroup.get(group), size, picked ? 0.5 : 0.8, picked);
    if (picked) for (const place of picked.places) draw(groupOf(rows[place]), [place], size + 2, 1, false);
    context.putImageData(image, 0, 0);
    node.dataset.picked = picked ? picked.places.length : 0;
  }

  // Around the atom that is pointed at, or picked, and its neighbours.
  function paintRings(node) {
    const { context, ratio, x, y } = prepare(node, layers.get(node).rings);
    context.strokeStyle = onScreen("ink");
    const ring = (place, radius, width) => {
      context.lineWidth = width * ratio;
      context.beginPath();
      context.arc(x(place), y(place), radius * ratio, 0, 2 * Math.PI);
      context.stroke();
    };
    const { place, ringed = [] } = hovered ?? current() ?? {};
    ringed.forEach((one) => ring(one, 6.5, 1.5));
    if (place !== undefined) ring(place, 8.5, 3);
  }

  function paint(node) {
    paintDots(node);
    paintRings(node);
  }

  // Maps on the screen at once, the others one after the other when there is time.
  const stale = new Set();
  let planned = null;
  const onScreenNow = (node) => {
    const box = node.getBoundingClientRect();
    return box.bottom > 0 && box.top < innerHeight;
  };
  function repaint() {
    for (const node of maps.filter(isDrawn)) {
      if (onScreenNow(node)) paint(node);
      else stale.add(node);
    }
    planned ??= setTimeout(catchUp, 20);
  }
  function catchUp() {
    const [node] = stale;
    planned = null;
    if (!node) return;
    stale.delete(node);
    paint(node);
    planned = setTimeout(catchUp, 20);
  }
  document.addEventListener("platonic:picked", repaint);
  const repaintRings = () => maps.filter((node) => isDrawn(node) && onScreenNow(node)).forEach(paintRings);

  const label = (view, k, colour) => ({
    text: `PC ${k + 1} · ${(100 * view.explained[k]).toFixed(0)} %`,
    font: { size: 11, color: colour("muted") },
    standoff: 4,
  });
  platonic.figures.map = (node, colour) => {
    const view = compared.maps[node.dataset.model][node.dataset.space];
    const range = (k) => ranges.get(node)?.[k] ?? view.window.map((corner) => corner[k]);
    const plain = { showticklabels: false, ticks: "", showgrid: false, showline: true, fixedrange: false };
    return {
      data: [],
      layout: layout(colour, {
        margin: { l: 24, r: 6, t: 6, b: 26 },
        hovermode: false,
        dragmode: touch && !ranges.has(node) ? false : "pan",
        xaxis: axis(colour, { ...plain, title: label(view, 0, colour), range: range(0) }),
        yaxis: axis(colour, { ...plain, title: label(view, 1, colour), range: range(1), scaleanchor: "x" }),
      }),
      config: { scrollZoom: false },
    };
  };

  // A file has no canvas: the same atoms as plotly's own markers.
  platonic.exported.map = (node, colour) => {
    const spec = platonic.figures.map(node, colour);
    const points = pointsOf(node);
    const trace = (places, marker) => ({
      type: "scatter",
      mode: "markers",
      x: places.map((place) => points[2 * place]),
      y: places.map((place) => points[2 * place + 1]),
      marker: { line: { width: 0 }, ...marker },
      hoverinfo: "skip",
    });
    const size = shown > 5000 ? 4 : 6;
    const picked = current();
    const colourOf = colouring && valueColours(colour);
    const coloursOf = (places, group) => (colouring ? places.map((place) => `rgb(${colourOf(place)})`) : compared.groups[group].colour);
    const symbol = (group) => (colouring ? "circle" : compared.groups[group].symbol);
    const traces = drawing.flatMap((group) => {
      const all = ofGroup.get(group);
      const others = hidden.has(group) ? [] : all.filter((place) => !bright[place]);
      const mine = all.filter((place) => bright[place]);
      return [
        trace(others, { symbol: symbol(group), size, color: picked ? colour("dimmed") : coloursOf(others, group), opacity: picked ? 0.5 : 0.8 }),
        trace(mine, { symbol: symbol(group), size: size + 2, color: coloursOf(mine, group) }),
      ];
    });
    const ringed = picked?.ringed ? [...picked.ringed, picked.place] : [];
    const ring = trace(ringed, { symbol: "circle-open", size: 13, color: colour("ink"), line: { width: 1.5 } });
    // What is dimmed lies below what is picked.
    const inOrder = [...traces.filter((_, i) => i % 2 === 0), ...traces.filter((_, i) => i % 2 === 1), ring];
    return { ...spec, data: inOrder.filter(({ x }) => x.length) };
  };

  platonic.afterwards.map = (node) => {
    if (layers.has(node)) return;
    const [dots, rings] = [0, 1].map(() => make("canvas", { "aria-hidden": "true" }));
    layers.set(node, { dots, rings });
    node.append(dots, rings);
    for (const event of ["plotly_relayouting", "plotly_afterplot"]) node.on(event, () => paint(node));
    node.on("plotly_doubleclick", () => moved(node, null));
    paint(node);
  };

  // ---- moving a map ----------------------------------------------------------------------------------------------------

  function moved(node, range) {
    if (range) ranges.set(node, range);
    else ranges.delete(node);
    const { layout: next } = platonic.figures.map(node, onScreen);
    return Plotly.relayout(node, { "xaxis.range": next.xaxis.range, "yaxis.range": next.yaxis.range, dragmode: next.dragmode });
  }
  // Nearer or farther, about the atom that is picked or else the middle.
  function zoom(node, factor) {
    const { xaxis, yaxis } = node._fullLayout;
    const points = pointsOf(node);
    const place = current()?.place;
    const about = (range, k) => (place === undefined ? (range[0] + range[1]) / 2 : points[2 * place + k]);
    const scaled = (range, k) => range.map((x) => about(range, k) + factor * (x - about(range, k)));
    moved(node, [scaled(xaxis.range, 0), scaled(yaxis.range, 1)]);
  }
  platonic.tools.map = (node, tools) => {
    const acts = [
      ["+", "Nearer", () => zoom(node, 0.6)],
      ["−", "Farther", () => zoom(node, 1 / 0.6)],
      ["⟲", "As it was", () => moved(node, null)],
    ];
    const buttons = acts.map(([text, title, act]) => {
      const button = make("button", { type: "button", title, "aria-label": title }, text);
      button.addEventListener("click", () => isDrawn(node) && act());
      return button;
    });
    tools.prepend(...buttons);
  };

  // ---- pointing: who the atom is, and where it and its neighbours lie in every map ----------------------------------------

  const card = make("div", { id: "card", hidden: "" });
  document.body.append(card);
  let pressed = null;

  function show(node, place, x, y) {
    const { model } = node.dataset;
    const row = rows[place];
    const neighbours = neighboursOf(model, place);
    const value = colouring ? `<p>${escape(colouring.name)}: ${number(colouring.values[place])}</p>` : "";
    card.innerHTML =
      `<p><b>${element(row)}</b> ${escape(compared.groups[groupOf(row)].name)}</p>` +
      `<p>${escape(atoms.structureName(structureOf(row)))} · atom ${atoms.place[row]}</p>${value}` +
      `<p class="muted">nearest in the shared space</p><ol>${neighbours.map((n) => `<li>${escape(atoms.nameOf(n))}</li>`).join("")}</ol>` +
      '<p class="muted">click or Enter: keep it</p>';
    card.hidden = false;
    const { clientWidth, clientHeight } = document.documentElement;
    const below = y + 16 + card.offsetHeight < clientHeight;
    card.style.left = `${Math.max(8, Math.min(x + 16, clientWidth - card.offsetWidth - 8))}px`;
    card.style.top = `${Math.max(8, below ? y + 16 : y - card.offsetHeight - 16)}px`;
    if (hovered?.place === place && hovered.model === model) return;
    hovered = { place, model, ringed: neighbours.map((n) => placeInMaps.get(n)).filter((n) => n !== undefined) };
    repaintRings();
  }

  function forget() {
    card.hidden = true;
    if (!hovered) return;
    hovered = null;
    repaintRings();
  }

  // Where an atom lies on the screen.
  function screen(node, place) {
    const { xaxis, yaxis } = node._fullLayout;
    const box = node.getBoundingClientRect();
    const points = pointsOf(node);
    return [box.left + xaxis._offset + xaxis.l2p(points[2 * place]), box.top + yaxis._offset + yaxis.l2p(points[2 * place + 1])];
  }

  function nearest(node, event, reach) {
    const { xaxis, yaxis } = node._fullLayout;
    const box = node.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - xaxis._offset, event.clientY - box.top - yaxis._offset];
    const points = pointsOf(node);
    let [found, least] = [null, reach ** 2];
    rows.forEach((row, place) => {
      if (hidden.has(groupOf(row)) && !bright[place]) return;
      const distance = (xaxis.l2p(points[2 * place]) - x) ** 2 + (yaxis.l2p(points[2 * place + 1]) - y) ** 2;
      // What is picked lies on top.
      if (distance < least || (distance === least && bright[place])) [found, least] = [place, distance];
    });
    return found;
  }

  // The nearest atom in the direction of an arrow key, within 45 degrees of it.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function step(node, [dx, dy]) {
    const { xaxis, yaxis } = node._fullLayout;
    const from = hovered?.place ?? current()?.place;
    const points = pointsOf(node);
    const at = (place) => [xaxis.l2p(points[2 * place]), yaxis.l2p(points[2 * place + 1])];
    const [x, y] = from === undefined ? [xaxis._length / 2, yaxis._length / 2] : at(from);
    let [found, least] = [null, Infinity];
    rows.forEach((row, place) => {
      if (hidden.has(groupOf(row)) || place === from) return;
      const [px, py] = at(place);
      if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return;
      const [along, across] = [(px - x) * dx + (py - y) * dy, Math.abs((px - x) * dy) + Math.abs((py - y) * dx)];
      if (from !== undefined && (along <= 0 || across > along)) return;
      const far = from === undefined ? Math.hypot(px - x, py - y) : along + across;
      if (far < least) [found, least] = [place, far];
    });
    if (found !== null) show(node, found, ...screen(node, found));
  }

  function keep(node, place) {
    forget();
    platonic.pickAtom(rows[place], node.dataset.model);
  }

  maps.forEach((node) => {
    const space = node.dataset.space === "raw" ? "its own space" : "the shared space";
    const told = `Atoms of ${modelName(node.dataset.model)} in ${space}: arrow keys go from atom to atom, Enter picks`;
    for (const [name, value] of Object.entries({ tabindex: 0, role: "application", "aria-label": told })) node.setAttribute(name, value);
    node.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse" || event.buttons || !isDrawn(node)) return;
      const place = nearest(node, event, 10);
      if (place === null) forget();
      else show(node, place, event.clientX, event.clientY);
    });
    node.addEventListener("pointerdown", (event) => {
      pressed = { node, x: event.clientX, y: event.clientY };
      forget();
    }, true);
    node.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && forget());
    node.addEventListener("blur", forget);
    node.addEventListener("keydown", (event) => {
      if (!isDrawn(node)) return;
      if (event.key in ARROWS) step(node, ARROWS[event.key]);
      else if (event.key === "Enter" && hovered) keep(node, hovered.place);
      else return;
      event.preventDefault();
    });
  });
  // plotly lays a sheet over the page while a button is down, so the end of a click is heard by the document.
  document.addEventListener("pointerup", (event) => {
    const { node, x, y } = pressed ?? {};
    pressed = null;
    if (!node || !isDrawn(node) || Math.hypot(event.clientX - x, event.clientY - y) > 4) return;
    const place = nearest(node, event, event.pointerType === "mouse" ? 10 : 24);
    if (place !== null) keep(node, place);
  }, true);
  document.addEventListener("keydown", (event) => event.key === "Escape" && forget());
  addEventListener("scroll", forget, { passive: true });

  // ---- controls --------------------------------------------------------------------------------------------------------

  document.querySelectorAll("[data-hide]").forEach((button) => {
    button.addEventListener("click", () => {
      const group = Number(button.dataset.hide);
      if (!hidden.delete(group)) hidden.add(group);
      button.setAttribute("aria-pressed", String(hidden.has(group)));
      button.closest("li").classList.toggle("off", hidden.has(group));
      repaint();
    });
  });

  const [colours, scale] = ["colour-by", "scale"].map((id) => document.getElementById(id));
  colours?.addEventListener("change", () => {
    const name = colours.value;
    const values = name ? decode(compared.atoms.values[name]) : null;
    const known = values?.filter((value) => !Number.isNaN(value)) ?? [];
    const [low, high] = [known.reduce((a, b) => Math.min(a, b), Infinity), known.reduce((a, b) => Math.max(a, b), -Infinity)];
    colouring = values ? { name, values, low, high } : null;
    scale.hidden = !values;
    scale.innerHTML = values ? `${number(low)} <i></i> ${number(high)}` : "";
    document.querySelector(".groups").classList.toggle("plain", Boolean(values));
    repaint();
  });
})();
