// What every page has: colours, figures drawn as they come near the screen and saved, tables sorted and saved, links.
// `platonic.figures[kind](node, colour)` gives what plotly draws into <div data-figure="kind">; charts.js and maps.js
// fill it in.
window.platonic = (() => {
  "use strict";
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const touch = matchMedia("(pointer: coarse)").matches;
  const narrow = matchMedia("(max-width: 46rem)");
  const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

  const decoded = new Map();
  const decode = (array) => {
    if (!decoded.has(array)) {
      const bytes = Uint8Array.from(atob(array.base64), (character) => character.charCodeAt(0));
      decoded.set(array, new ARRAYS[array.type](bytes.buffer));
    }
    return decoded.get(array);
  };
  const number = (x) =>
    x === null || x === undefined || Number.isNaN(x)
      ? "–"
      : Math.abs(x) >= 0.001 || x === 0
        ? Math.abs(x) >= 1000 ? x.toLocaleString("en", { maximumFractionDigits: 1 }) : x.toFixed(3)
        : x.toExponential(0);
  const escape = (text) => String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  const make = (tag, attributes = {}, content = "") => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.innerHTML = content;
    return node;
  };

  // ---- colours: those of the screen, and those of paper --------------------------------------------------------------

  const paper = make("div", { "data-theme": "light", hidden: "" });
  document.body.append(paper);
  const [rootStyle, paperStyle] = [root, paper].map((node) => getComputedStyle(node));
  let printing = false;
  const onPaper = (name) => paperStyle.getPropertyValue(`--${name}`).trim();
  const onScreen = (name) => (printing ? paperStyle : rootStyle).getPropertyValue(`--${name}`).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = document.getElementById("theme");
  const remember = {
    // A file may have no storage of its own.
    read: () => { try { return localStorage.getItem("theme") || ""; } catch { return ""; } },
    write: (value) => { try { localStorage.setItem("theme", value); } catch { /* then for this visit alone */ } },
  };

  function applyTheme() {
    root.dataset.theme = themes.value || (dark.matches ? "dark" : "light");
    redraw();
  }

  // ---- figures -----------------------------------------------------------------------------------------------------

  const axis = (colour, extra) => ({
    gridcolor: colour("line"),
    linecolor: colour("line"),
    zeroline: false,
    tickfont: { color: colour("muted"), size: 11 },
    fixedrange: true,
    ...extra,
    title: { font: { color: colour("muted"), size: 12 }, standoff: 8, ...extra.title },
  });
  const layout = (colour, extra) => ({
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colour("sans"), color: colour("ink"), size: 12 },
    hoverlabel: {
      bgcolor: colour("surface"),
      bordercolor: colour("line"),
      font: { family: colour("sans"), color: colour("ink"), size: 12 },
      align: "left",
    },
    hovermode: "closest",
    showlegend: false,
    ...extra,
  });

  const figures = {}; // kind → (node, colour) → { data, layout, config }
  const exported = {}; // kind → the same for a file, where the screen shows less
  const afterwards = {}; // kind → (node) → what else to do when drawn
  const nodes = [...document.querySelectorAll("[data-figure]")];
  const waiting = new Set();
  const isDrawn = (node) => node.classList.contains("drawn");
  let busy = false;

  function draw(node) {
    const kind = node.dataset.figure;
    const spec = figures[kind](node, onScreen);
    const config = { displaylogo: false, responsive: true, displayModeBar: false, ...spec.config };
    return Plotly.react(node, spec.data, spec.layout, config).then(() => {
      afterwards[kind]?.(node);
      if (!document.querySelector(".drawn")) performance.mark("platonic:first-figure");
      node.classList.add("drawn");
    });
  }

  async function work() {
    if (busy) return;
    busy = true;
    for (const node of waiting) {
      waiting.delete(node);
      await new Promise((next) => setTimeout(next));
      await draw(node);
    }
    busy = false;
  }

  function redraw() {
    nodes.filter(isDrawn).forEach((node) => waiting.add(node));
    work();
  }

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) waiting.delete(target);
        else if (!isDrawn(target)) waiting.add(target);
      }
      work();
    },
    { rootMargin: "600px 0px" },
  );

  // ---- files -------------------------------------------------------------------------------------------------------

  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  // The nearest heading before a node, among those of its section.
  const heading = (node) => {
    const titles = [...(node.closest("section") ?? document.body).querySelectorAll("h1, h2, h3, summary")];
    const before = titles.filter((title) => title.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING);
    return before.at(-1)?.textContent ?? document.title;
  };
  const fileName = (node, detail = "") =>
    [...new Set([slug(node.closest("section")?.id ?? ""), slug(heading(node)), slug(detail)])].filter(Boolean).join("-");

  function save(name, blob) {
    const link = make("a", { download: name, href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  async function image(node, format) {
    const kind = node.dataset.figure;
    const spec = (exported[kind] ?? figures[kind])(node, onPaper);
    const white = { paper_bgcolor: "#ffffff", width: node.clientWidth, height: node.clientHeight };
    const figure = { data: spec.data, layout: { ...spec.layout, ...white } };
    const url = await Plotly.toImage(figure, { format, scale: format === "png" ? 3 : 1, ...white });
    const [head, body] = [url.slice(0, url.indexOf(",")), url.slice(url.indexOf(",") + 1)];
    if (!head.endsWith("base64")) return new Blob([decodeURIComponent(body)], { type: "image/svg+xml" });
    return new Blob([Uint8Array.from(atob(body), (character) => character.charCodeAt(0))], { type: "image/png" });
  }

  function addTools(node) {
    const tools = make("div", { class: "tools" });
    const name = fileName(node, node.dataset.name ?? "");
    for (const format of ["svg", "png"]) {
      const button = make("button", { type: "button", "aria-label": `Save this figure as ${format.toUpperCase()}` }, format.toUpperCase());
      button.addEventListener("click", async () => save(`${name}.${format}`, await image(node, format)));
      tools.append(button);
    }
    node.after(tools);
    return tools;
  }

  // ---- tables ------------------------------------------------------------------------------------------------------

  const NUMBER = /^[<>≤≥≈]?\s*([-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)(?=$|\s|%|±|\[|\()/i;
  const bare = (text) => text.replaceAll(",", "").replace("−", "-");
  const valueOf = (text) => {
    const found = NUMBER.exec(text.trim());
    return found ? Number(bare(found[1])) : null;
  };
  const isEmpty = (text) => /^[–—-]?$/.test(text.trim());
  const cells = (row) => [...row.cells].map((cell) => cell.textContent.trim());

  function sortTable(table, column) {
    const head = table.tHead.rows[0].cells[column];
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.cells[column].textContent.trim() }));
    const full = rows.filter(({ text }) => !isEmpty(text));
    const numeric = full.every(({ text }) => valueOf(text) !== null);
    const compare = numeric
      ? (a, b) => valueOf(a.text) - valueOf(b.text)
      : (a, b) => a.text.localeCompare(b.text, "en", { numeric: true });
    full.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
    const empty = rows.filter(({ text }) => isEmpty(text));
    table.tBodies[0].append(...[...full, ...empty].map(({ row }) => row));
  }

  function csv(table) {
    const field = (text) => {
      const plain = isEmpty(text) ? "" : /^[-−+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?$/i.test(text) ? bare(text) : text;
      return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
    };
    return [...table.rows].map((row) => `${cells(row).map(field).join(",")}\r\n`).join("");
  }

  function equip(table) {
    if (!table.tHead || !table.tBodies.length) return;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = make("button", { type: "button", class: "sort", title: "Sort by this column" }, head.innerHTML);
      head.replaceChildren(button);
      button.addEventListener("click", () => sortTable(table, column));
    });
    const name = `${fileName(table)}.csv`;
    const tools = make("div", { class: "tools" });
    const button = make("button", { type: "button", "aria-label": "Save this table as CSV" }, "CSV");
    button.addEventListener("click", () => save(name, new Blob([csv(table)], { type: "text/csv" })));
    tools.append(button);
    (table.closest(".scroll") ?? table).after(tools);
  }

  // ---- the address: a section and, by name, what else the page should keep -------------------------------------------

  const address = {
    parts: () => location.hash.slice(1).split("&").filter(Boolean),
    section: () => address.parts().find((part) => !part.includes("=")) ?? "",
    read: (name) => new URLSearchParams(address.parts().find((part) => part.startsWith(`${name}=`))).get(name),
    write: (name, value) => {
      const others = address.parts().filter((part) => !part.startsWith(`${name}=`));
      const all = value === null ? others : [...others, `${name}=${encodeURIComponent(value)}`];
      history.replaceState(null, "", all.length ? `#${all.join("&")}` : location.pathname + location.search);
    },
  };

  function arrive() {
    const target = document.getElementById(address.section());
    if (!target) return;
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    target.scrollIntoView();
  }

  // ---- the start -----------------------------------------------------------------------------------------------------

  document.addEventListener("DOMContentLoaded", () => {
    themes.value = remember.read();
    themes.addEventListener("change", () => {
      remember.write(themes.value);
      applyTheme();
    });
    dark.addEventListener("change", applyTheme);
    narrow.addEventListener("change", redraw);
    addEventListener("hashchange", arrive);
    applyTheme();
    nodes.forEach((node) => {
      const tools = addTools(node);
      platonic.tools[node.dataset.figure]?.(node, tools);
      watcher.observe(node);
    });
    if (nodes.length) waiting.add(nodes[0]); // One figure is ready before a reader comes to it.
    work();
    document.querySelectorAll("table").forEach(equip);
    if (location.hash) arrive();
    const print = (yes) => () => {
      printing = yes;
      nodes.forEach(draw);
    };
    addEventListener("beforeprint", print(true));
    addEventListener("afterprint", print(false));
  });

  return {
    data, touch, narrow, decode, number, escape, make, axis, layout, address, onScreen,
    figures, exported, afterwards, tools: {}, isDrawn, image, csv,
  };
})();
