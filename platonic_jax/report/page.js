// Draws the figures of the report from the data in the page. Each figure is drawn when it comes near the screen.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const touch = matchMedia("(pointer: coarse)").matches;
  const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

  const decoded = new Map();
  const decode = (array) => {
    if (!decoded.has(array)) {
      const bytes = Uint8Array.from(atob(array.base64), (character) => character.charCodeAt(0));
      decoded.set(array, new ARRAYS[array.type](bytes.buffer));
    }
    return decoded.get(array);
  };
  const theme = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const number = (x) =>
    x === null ? "–" : Math.abs(x) >= 0.001 || x === 0 ? x.toFixed(3) : x.toExponential(0);

  // ---- atoms -------------------------------------------------------------------------------------------------------

  const atoms = Object.fromEntries(
    ["species", "group", "place", "first_row", "rows"].map((name) => [name, decode(data.atoms[name])]),
  );
  const structureOf = (row) => {
    let low = 0;
    let high = atoms.first_row.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (atoms.first_row[middle] <= row) low = middle;
      else high = middle;
    }
    return low;
  };
  const element = (row) => data.symbols[atoms.species[row]];
  const nameOf = (row) => `${element(row)} ${data.atoms.ids[structureOf(row)]} #${atoms.place[row]}`;
  const placeInMaps = new Map(Array.from(atoms.rows, (row, place) => [row, place]));
  const members = data.groups.map(() => []);
  atoms.rows.forEach((row, place) => members[atoms.group[row]].push(place));
  // The rarest groups last, so that they lie on top.
  const drawing = data.groups.map((_, i) => i).sort((a, b) => members[b].length - members[a].length);
  const hidden = new Set();

  // ---- figures -----------------------------------------------------------------------------------------------------

  const axis = (extra) => ({
    gridcolor: theme("line"),
    linecolor: theme("line"),
    zeroline: false,
    tickfont: { color: theme("muted"), size: 11 },
    fixedrange: true,
    ...extra,
  });
  const layout = (extra) => ({
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme("sans"), color: theme("ink"), size: 12 },
    hoverlabel: {
      bgcolor: theme("surface"),
      bordercolor: theme("line"),
      font: { family: theme("sans"), color: theme("ink"), size: 12 },
      align: "left",
    },
    showlegend: false,
    ...extra,
  });
  const oneLine = (model) => data.models[model].replace("<br>", " ");
  const config = { displaylogo: false, responsive: true, displayModeBar: false };

  function drawMap(node) {
    const view = data.maps[node.dataset.model][node.dataset.space];
    const points = decode(view.points);
    const size = members.reduce((sum, places) => sum + places.length, 0) > 5000 ? 4 : 6;
    const traces = drawing.map((i) => ({
      type: "scatter",
      mode: "markers",
      x: members[i].map((place) => points[2 * place]),
      y: members[i].map((place) => points[2 * place + 1]),
      marker: { color: data.groups[i].colour, symbol: data.groups[i].symbol, size, opacity: 0.78, line: { width: 0 } },
      hoverinfo: "skip",
      visible: !hidden.has(i),
    }));
    const label = (k) => ({
      text: `PC ${k + 1} · ${(100 * view.explained[k]).toFixed(0)} %`,
      font: { size: 11, color: theme("muted") },
      standoff: 4,
    });
    const plain = { showticklabels: false, ticks: "", showgrid: false, showline: true, fixedrange: false };
    return Plotly.react(
      node,
      traces,
      layout({
        margin: { l: 24, r: 6, t: 6, b: 26 },
        hovermode: false,
        dragmode: touch ? false : "pan",
        modebar: { bgcolor: "rgba(0,0,0,0)", color: theme("muted"), activecolor: theme("ink") },
        xaxis: axis({ ...plain, title: label(0), range: view.window.map((corner) => corner[0]) }),
        yaxis: axis({ ...plain, title: label(1), range: view.window.map((corner) => corner[1]), scaleanchor: "x" }),
      }),
      { ...config, scrollZoom: false, displayModeBar: touch ? false : "hover", modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "autoScale2d", "toImage"]] },
    );
  }

  function drawMatrix(node) {
    const measure = data.measures[node.dataset.measure];
    const order = measure.order;
    const centres = order.map((_, i) => 5 + 10 * i);
    const pick = (field) => order.map((i) => order.map((j) => measure[field][i][j]));
    const fields = Object.fromEntries(
      ["value", "low", "high", "null", "null_within_element", "p_value", "p_value_within_element"].map((f) => [f, pick(f)]),
    );
    const text = order.map((a, i) =>
      order.map((b, j) => {
        const of = (field) => number(fields[field][i][j]);
        const head = `<b>${oneLine(a)}</b><br><b>${oneLine(b)}</b><br>`;
        if (i === j) return `${head}a model with itself: ${of("value")}`;
        return (
          `${head}value ${of("value")}<br>95 % interval ${of("low")} to ${of("high")}<br>` +
          `shuffled ${of("null")} (p = ${of("p_value")})<br>` +
          `shuffled within element ${of("null_within_element")} (p = ${of("p_value_within_element")})`
        );
      }),
    );
    const finite = measure.value.flat().filter((x) => x !== null);
    const top = measure.similar ? 1 : Math.max(...finite, 1e-12);
    const digits = Math.max(2, 1 - Math.floor(Math.log10(top)));
    const scale = [[0, theme("scale-low")], [0.5, theme("scale-middle")], [1, theme("scale-high")]];
    const traces = measure.tree.x.map((x, i) => ({
      type: "scatter",
      mode: "lines",
      x,
      y: measure.tree.y[i],
      yaxis: "y2",
      line: { color: theme("muted"), width: 1.2 },
      hoverinfo: "skip",
    }));
    traces.push({
      type: "heatmap",
      x: centres,
      y: centres,
      z: fields.value,
      text,
      zmin: 0,
      zmax: top,
      colorscale: scale,
      reversescale: !measure.similar,
      showscale: false,
      xgap: 2,
      ygap: 2,
      hovertemplate: "%{text}<extra></extra>",
    });
    // Written as annotations: the contrast follows the theme, and undefined values show as a dash.
    const annotations = order.flatMap((_, i) =>
      order.map((_, j) => {
        const value = fields.value[i][j];
        const strong = value !== null && (measure.similar ? value / top : 1 - value / top) > 0.68;
        return {
          x: centres[j],
          y: centres[i],
          text: value === null ? "–" : Number(value.toFixed(digits)) === 0 ? "0" : value.toFixed(digits),
          showarrow: false,
          font: { size: 11.5, color: strong ? theme("on-scale") : theme("ink") },
        };
      }),
    );
    const end = 10 * order.length;
    return Plotly.react(
      node,
      traces,
      layout({
        margin: { l: 4, r: 4, t: 4, b: 24 },
        annotations,
        xaxis: axis({ range: [0, end], tickvals: centres, ticktext: order.map((_, i) => String(i + 1)), showgrid: false, ticks: "" }),
        yaxis: axis({
          range: [end, 0],
          domain: [0, 0.8],
          tickvals: centres,
          ticktext: order.map((i, place) => `${data.models[i]}  <b>${place + 1}</b> `),
          automargin: true,
          showgrid: false,
          ticks: "",
          tickfont: { color: theme("ink"), size: 11.5 },
        }),
        yaxis2: axis({ domain: [0.83, 1], rangemode: "tozero", showgrid: false, showticklabels: false, ticks: "" }),
      }),
      config,
    );
  }

  function drawNulls(node) {
    const measure = data.measures[node.dataset.measure];
    const rows = measure.pairs.map((_, row) => row);
    const of = (field) => measure.pairs.map(({ i, j }) => measure[field][i][j]);
    const [value, low, high, chance, within] = ["value", "low", "high", "null", "null_within_element"].map(of);
    const [p, pWithin] = ["p_value", "p_value_within_element"].map(of);
    const marker = (symbol) => ({ symbol, size: symbol === "line-ns" ? 6 : 8, color: theme("muted"), line: { width: 1.6, color: theme("muted") } });
    const mark = (x, symbol, what, q) => ({
      type: "scatter",
      mode: "markers",
      x,
      y: rows,
      marker: marker(symbol),
      customdata: q,
      hovertemplate: `${what}: %{x:.3~g}<br>p = %{customdata:.3~g}<extra></extra>`,
    });
    const dots = data.kinds.map(({ kind, colour }) => {
      const mine = rows.filter((row) => measure.pairs[row].kind === kind);
      return {
        type: "scatter",
        mode: "markers",
        x: mine.map((row) => value[row]),
        y: mine,
        marker: { color: colour, size: 9 },
        error_x: {
          type: "data",
          symmetric: false,
          array: mine.map((row) => high[row] - value[row]),
          arrayminus: mine.map((row) => value[row] - low[row]),
          color: colour,
          thickness: 2,
          width: 0,
        },
        text: mine.map((row) => `${number(value[row])}, 95 % interval ${number(low[row])} to ${number(high[row])}`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    const annotations = measure.pairs.map(({ i, j }, row) => ({
      xref: "paper",
      x: 0,
      xanchor: "left",
      y: row,
      yshift: 15,
      text: `${oneLine(i)} – ${oneLine(j)}`,
      showarrow: false,
      font: { size: 11.5, color: theme("ink") },
    }));
    return Plotly.react(
      node,
      [mark(chance, "line-ns", "shuffled", p), mark(within, "diamond-open", "shuffled within element", pWithin), ...dots],
      layout({
        margin: { l: 6, r: 12, t: 8, b: 28 },
        hovermode: "closest",
        annotations,
        xaxis: axis({ rangemode: "tozero", nticks: 6 }),
        yaxis: axis({ range: [rows.length - 0.6, -0.8], showticklabels: false, ticks: "", showgrid: false }),
      }),
      config,
    );
  }

  // ---- hover: who the atom is, and where it and its neighbours lie in every map ------------------------------------

  const card = document.getElementById("card");
  const escape = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

  function show(model, place, event) {
    const row = atoms.rows[place];
    const neighbours = Array.from(decode(data.maps[model].neighbours).subarray(5 * place, 5 * place + 5));
    const structure = structureOf(row);
    const formula = data.atoms.formulas[structure];
    card.innerHTML =
      `<p><b>${element(row)}</b> ${escape(data.groups[atoms.group[row]].name)}</p>` +
      `<p>${escape(data.atoms.ids[structure])}${formula ? ` · ${escape(formula)}` : ""} · atom ${atoms.place[row]}</p>` +
      `<p class="muted">nearest in the shared space</p><ol>${neighbours.map((n) => `<li>${escape(nameOf(n))}</li>`).join("")}</ol>`;
    card.hidden = false;
    const { clientWidth, clientHeight } = root;
    const left = Math.min(event.clientX + 16, clientWidth - card.offsetWidth - 8);
    const below = event.clientY + 16 + card.offsetHeight < clientHeight;
    card.style.left = `${Math.max(8, left)}px`;
    card.style.top = `${Math.max(8, below ? event.clientY + 16 : event.clientY - card.offsetHeight - 16)}px`;
    ring(place, neighbours.map((n) => placeInMaps.get(n)).filter((n) => n !== undefined));
  }

  function point(event) {
    const node = event.currentTarget;
    if (!node.classList.contains("drawn")) return;
    const { xaxis, yaxis } = node._fullLayout;
    const box = node.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - xaxis._offset, event.clientY - box.top - yaxis._offset];
    const points = decode(data.maps[node.dataset.model][node.dataset.space].points);
    let nearest = null;
    let reach = (event.pointerType === "mouse" ? 10 : 24) ** 2;
    atoms.rows.forEach((row, place) => {
      if (hidden.has(atoms.group[row])) return;
      const distance = (xaxis.l2p(points[2 * place]) - x) ** 2 + (yaxis.l2p(points[2 * place + 1]) - y) ** 2;
      if (distance < reach) [nearest, reach] = [place, distance];
    });
    if (nearest === null) forget();
    else show(node.dataset.model, nearest, event);
  }

  document.querySelectorAll('[data-figure="map"]').forEach((node) => {
    node.addEventListener("pointermove", (event) => event.pointerType === "mouse" && !event.buttons && point(event));
    node.addEventListener("pointerup", (event) => event.pointerType !== "mouse" && point(event));
    node.addEventListener("pointerdown", forget);
    node.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && forget());
    node.addEventListener("wheel", forget, { passive: true });
  });

  function forget() {
    card.hidden = true;
    document.querySelectorAll(".ring").forEach((dot) => dot.remove());
  }

  function ring(place, neighbours) {
    document.querySelectorAll(".ring").forEach((dot) => dot.remove());
    for (const node of document.querySelectorAll('[data-figure="map"].drawn')) {
      const { xaxis, yaxis } = node._fullLayout;
      const points = decode(data.maps[node.dataset.model][node.dataset.space].points);
      for (const other of [...neighbours, place]) {
        const x = xaxis.l2p(points[2 * other]);
        const y = yaxis.l2p(points[2 * other + 1]);
        if (x < 0 || y < 0 || x > xaxis._length || y > yaxis._length) continue;
        const dot = document.createElement("i");
        dot.className = other === place ? "ring self" : "ring";
        dot.style.left = `${xaxis._offset + x}px`;
        dot.style.top = `${yaxis._offset + y}px`;
        node.append(dot);
      }
    }
  }

  // ---- drawing when needed -----------------------------------------------------------------------------------------

  const DRAW = { map: drawMap, matrix: drawMatrix, null: drawNulls };
  const figures = [...document.querySelectorAll("[data-figure]")];
  const heavy = atoms.rows.length > 5000;
  const waiting = new Set();
  let busy = false;

  async function work() {
    if (busy) return;
    busy = true;
    for (const node of waiting) {
      waiting.delete(node);
      await new Promise((next) => setTimeout(next));
      await DRAW[node.dataset.figure](node);
      node.classList.add("drawn");
    }
    busy = false;
  }

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) {
          if (!target.classList.contains("drawn")) waiting.add(target);
        } else {
          waiting.delete(target);
          // Thousands of points in every map at once would weigh on the browser.
          if (heavy && target.dataset.figure === "map" && target.classList.contains("drawn")) {
            target.classList.remove("drawn");
            Plotly.purge(target);
          }
        }
      }
      work();
    },
    { rootMargin: heavy ? "200px 0px" : "800px 0px" },
  );
  figures.forEach((node) => watcher.observe(node));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    figures.filter((node) => node.classList.contains("drawn")).forEach((node) => waiting.add(node));
    work();
  });
  addEventListener("scroll", forget, { passive: true });

  document.querySelectorAll("[data-group]").forEach((button) => {
    button.addEventListener("click", () => {
      const group = Number(button.dataset.group);
      if (!hidden.delete(group)) hidden.add(group);
      button.setAttribute("aria-pressed", String(!hidden.has(group)));
      for (const node of document.querySelectorAll('[data-figure="map"].drawn')) {
        Plotly.restyle(node, { visible: !hidden.has(group) }, [drawing.indexOf(group)]);
      }
    });
  });
})();
