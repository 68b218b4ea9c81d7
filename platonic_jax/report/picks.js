// The atoms of a comparison, and what a reader picks among them: an element, a group, a structure, an atom with its
// neighbours. A pick is a word, which the address keeps: element:Fe, group:2 (its place in the key), structure:ID, or
// atom:PLACE:MODEL:ID, the atom at a place in a structure with its neighbours in a model. Any button with `data-pick`
// picks its word. Each pick of a structure or an atom is told to others as the event `platonic:pick`, with `structure`,
// its place in `data.comparison.atoms.ids`, and the `row` of the atom or null; whoever else tells such an event picks.
(() => {
  "use strict";
  const compared = platonic.data.comparison;
  if (!compared) return;
  const { decode, escape, make, address } = platonic;

  // ---- atoms -------------------------------------------------------------------------------------------------------

  const atoms = Object.fromEntries(
    ["species", "place", "first_row", "rows"].map((name) => [name, decode(compared.atoms[name])]),
  );
  const { ids, formulas } = compared.atoms;
  const groupOf = (row) => compared.group_of[atoms.species[row]];
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
  const element = (row) => compared.symbols[atoms.species[row]];
  const nameOf = (row) => `${element(row)} ${ids[structureOf(row)]} #${atoms.place[row]}`;
  const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

  const shown = atoms.rows.length;
  const placeInMaps = new Map(Array.from(atoms.rows, (row, place) => [row, place]));
  const collect = (key) => {
    const found = new Map();
    atoms.rows.forEach((row, place) => {
      const name = key(row);
      if (found.has(name)) found.get(name).push(place);
      else found.set(name, [place]);
    });
    return found;
  };
  const ofElement = collect(element);
  const ofGroup = collect(groupOf);
  const ofStructure = collect(structureOf);
  const structureOfId = new Map(ids.map((id, structure) => [id, structure]));
  // The rarest groups last, so that they lie on top.
  const drawing = [...ofGroup.keys()].sort((a, b) => ofGroup.get(b).length - ofGroup.get(a).length);
  const hidden = new Set();
  const mapped = Object.keys(compared.maps);
  // The names are written for plotly, which reads a little HTML.
  const modelName = (model) => make("i", {}, compared.models[model].replace("<br>", " ")).textContent;
  const neighboursOf = (model, place) => Array.from(decode(compared.maps[model].neighbours).subarray(5 * place, 5 * place + 5));

  // ---- what is picked --------------------------------------------------------------------------------------------------

  let picked = null; // { word, title, places, ringed, row, structure }
  const bright = new Uint8Array(shown);

  const RESOLVE = {
    element: (symbol) => {
      const places = ofElement.get(symbol);
      return places && { title: symbol, places, what: inStructures(places) };
    },
    group: (group) => {
      const places = ofGroup.get(Number(group));
      return places && { title: compared.groups[group].name, places, what: inStructures(places) };
    },
    structure: (...id) => {
      const structure = structureOfId.get(id.join(":"));
      const places = ofStructure.get(structure);
      return places && { title: structureName(structure), places, structure, row: null, what: count(places.length, "atom") };
    },
    atom: (position, model, ...id) => {
      const structure = structureOfId.get(id.join(":"));
      const place = ofStructure.get(structure)?.find((one) => atoms.place[atoms.rows[one]] === Number(position));
      if (place === undefined || !(model in compared.maps)) return null;
      const row = atoms.rows[place];
      const ringed = neighboursOf(model, place).map((n) => placeInMaps.get(n)).filter((n) => n !== undefined);
      const what = `with its nearest neighbours in ${modelName(model)}`;
      return { title: `${element(row)}, atom ${position} of ${structureName(structure)}`, places: [place, ...ringed], ringed, place, structure, row, model, what };
    },
  };
  const inStructures = (places) =>
    `${count(places.length, "atom")} in ${count(new Set(places.map((place) => structureOf(atoms.rows[place]))).size, "structure")}`;
  const structureName = (structure) => (formulas[structure] ? `${ids[structure]}, ${formulas[structure]}` : ids[structure]);
  const structureWord = (structure) => `structure:${ids[structure]}`;
  const atomWord = (row, model) => `atom:${atoms.place[row]}:${model}:${ids[structureOf(row)]}`;

  let telling = false;
  function pick(word) {
    const [kind, ...rest] = (word ?? "").split(":");
    const found = Object.hasOwn(RESOLVE, kind) ? RESOLVE[kind](...rest) : null;
    picked = found ? { word, kind, ...found } : null;
    bright.fill(0);
    picked?.places.forEach((place) => (bright[place] = 1));
    address.write("pick", picked ? word : null);
    document.dispatchEvent(new Event("platonic:picked"));
    tell();
    if (picked?.structure === undefined) return;
    const { structure, row } = picked;
    telling = true;
    document.dispatchEvent(new CustomEvent("platonic:pick", { detail: { structure, row } }));
    telling = false;
  }
  document.addEventListener("platonic:pick", ({ detail: { structure, row } }) => {
    if (telling || structure === null) return;
    pick(row === null ? structureWord(structure) : atomWord(row, picked?.model ?? mapped[0]));
  });

  // ---- telling: a panel that stays, with what lies near -------------------------------------------------------------

  const panel = make("aside", { id: "picked", hidden: "", "aria-label": "Picked" });
  const status = make("p", { class: "unseen", role: "status" });
  document.body.append(panel, status);

  const pickButton = (word, text) => `<button type="button" data-pick="${escape(word)}">${text}</button>`;
  const atomButton = (row, model, text) =>
    placeInMaps.has(row) ? pickButton(atomWord(row, model), text) : `<span class="muted" title="not among the atoms shown">${text}</span>`;

  // Where the page shows structures, viewer.js does.
  const inSpace = () => (document.getElementById("structures") ? '<p><a href="#viewer">in 3-D</a></p>' : "");

  function detail() {
    const { kind, structure, place, model } = picked;
    if (kind === "structure") {
      const buttons = picked.places.map((one) => atomButton(atoms.rows[one], mapped[0], `${element(atoms.rows[one])} ${atoms.place[atoms.rows[one]]}`));
      return `<p class="muted">its atoms</p><div class="row">${buttons.join("")}</div>${inSpace()}`;
    }
    if (kind !== "atom") return "";
    const options = mapped.map((m) => `<option value="${m}"${m === model ? " selected" : ""}>${escape(modelName(m))}</option>`);
    const list = neighboursOf(model, place).map((row) => `<li>${atomButton(row, model, escape(nameOf(row)))}</li>`);
    return (
      `<p><label class="muted">nearest in the shared space of <select data-model>${options.join("")}</select></label></p>` +
      `<ol>${list.join("")}</ol><p>${pickButton(structureWord(structure), `all of ${escape(ids[structure])}`)}</p>${inSpace()}`
    );
  }

  let opener = null;
  function tell() {
    // Where the panel held the focus, it keeps it; when it goes, whoever opened it has it back.
    const held = panel.contains(document.activeElement);
    if (!held) opener = document.activeElement;
    panel.hidden = !picked;
    document.body.classList.toggle("picking", Boolean(picked));
    if (picked) {
      const { kind } = picked;
      panel.innerHTML =
        `<div class="head"><p><b>${escape(picked.title)}</b>${kind === "atom" ? "" : `<br><span class="muted">${picked.what}</span>`}</p>` +
        `<button type="button" class="clear" title="Escape">Clear</button></div>${detail()}`;
    }
    if (held) (picked ? (panel.querySelector("select") ?? panel.querySelector("button")) : opener)?.focus();
    status.textContent = picked ? `Picked: ${picked.title}, ${picked.what}` : "Nothing is picked";
    document.querySelectorAll("[data-pick]").forEach((button) => {
      if (!panel.contains(button)) button.setAttribute("aria-pressed", String(button.dataset.pick === picked?.word));
    });
  }

  panel.addEventListener("change", (event) => {
    if (event.target.matches("[data-model]")) pick(atomWord(picked.row, event.target.value));
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pick], .clear");
    if (!button) return;
    const word = button.dataset.pick;
    pick(word && word !== picked?.word ? word : null);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && picked) pick(null);
  });

  // ---- finding: arrow keys go through what is found, Enter picks ---------------------------------------------------------

  const find = document.getElementById("find");
  const list = document.getElementById("found");
  const MOST = 8;
  const candidates = [
    ...[...ofElement].map(([symbol, places]) => ({ word: `element:${symbol}`, text: symbol, more: inStructures(places) })),
    ...[...ofGroup].map(([group, places]) => ({ word: `group:${group}`, text: compared.groups[group].name, more: inStructures(places) })),
    ...[...ofStructure.keys()].map((structure) => ({ word: structureWord(structure), text: ids[structure], more: formulas[structure] })),
  ];
  let active = -1;

  function matches(query) {
    const sought = query.trim().toLowerCase();
    if (!sought) return [];
    const rank = ({ word, text, more }) => {
      const names = word.startsWith("structure:") ? [text.toLowerCase(), more.toLowerCase()] : [text.toLowerCase()];
      if (names.includes(sought)) return 0;
      if (names.some((name) => name.startsWith(sought))) return 1;
      return names.some((name) => name.includes(sought)) ? 2 : 3;
    };
    const ranked = candidates.map((one) => ({ ...one, rank: rank(one) })).filter((one) => one.rank < 3);
    return ranked.sort((a, b) => a.rank - b.rank).slice(0, MOST);
  }
  function mark(next) {
    const options = [...list.children];
    active = options.length ? (next + options.length) % options.length : -1;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === active)));
    if (active < 0) find.removeAttribute("aria-activedescendant");
    else find.setAttribute("aria-activedescendant", options[active].id);
  }
  function offer() {
    const found = matches(find.value);
    list.innerHTML = found
      .map(({ word, text, more }, i) => `<li id="found-${i}" role="option" data-word="${escape(word)}"><b>${escape(text)}</b> <span class="muted">${escape(more)}</span></li>`)
      .join("");
    if (!found.length && find.value.trim()) list.innerHTML = '<li class="muted">nothing of this name in the maps</li>';
    open(Boolean(find.value.trim()));
    mark(found.length ? 0 : -1);
  }
  function open(yes) {
    list.hidden = !yes;
    find.setAttribute("aria-expanded", String(yes));
  }
  function choose(option) {
    if (!option?.dataset.word) return;
    open(false);
    find.value = "";
    pick(option.dataset.word);
  }
  find.addEventListener("input", offer);
  find.addEventListener("focus", () => find.value && offer());
  find.addEventListener("blur", () => open(false));
  find.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") mark(active + 1);
    else if (event.key === "ArrowUp") mark(active - 1);
    else if (event.key === "Enter") choose(list.children[active]);
    else if (event.key === "Escape" && !list.hidden) open(false);
    else return;
    event.preventDefault();
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // The box keeps the focus.
    choose(event.target.closest("li"));
  });

  // ---- the start -----------------------------------------------------------------------------------------------------

  const fromAddress = () => {
    const word = address.read("pick");
    if (word) pick(word);
    else if (picked) address.write("pick", picked.word); // A link to a section leaves what is picked.
  };
  document.addEventListener("DOMContentLoaded", fromAddress);
  addEventListener("hashchange", fromAddress);

  Object.assign(platonic, {
    atoms: { ...atoms, ofGroup, shown, groupOf, structureOf, element, nameOf, structureName, neighboursOf, placeInMaps, mapped, modelName },
    bright,
    current: () => picked,
    pick,
    pickAtom: (row, model) => pick(atomWord(row, model)),
    // For whoever drives the page from outside: what is picked, as its word and the rows that it holds.
    picked: () => picked && { word: picked.word, rows: picked.places.map((place) => atoms.rows[place]) },
  });
})();
