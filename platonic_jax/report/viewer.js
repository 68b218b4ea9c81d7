// The picked structure in 3-D, by chemiscope, which is unpacked when a reader asks for it and not before.
(() => {
  "use strict";
  const place = document.getElementById("viewer");
  if (!place) return;

  const element = (tag, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };
  const inflate = (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const pick = (structure, row) =>
    document.dispatchEvent(new CustomEvent("platonic:pick", { detail: { structure, row } }));

  let wanted = null; // What was picked last: `structure`, its place on the page, and `row`, an atom or null.
  let show = null; // Shows what is wanted, once chemiscope is there.
  const status = element("p", { className: "muted", role: "status" });
  const button = element("button", { type: "button", textContent: "Show structures in 3-D" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    status.textContent = "Opening chemiscope …";
    await new Promise((next) => setTimeout(next, 30)); // The sentence appears before the browser is busy.
    try {
      show = await open();
      show();
    } catch (error) {
      status.textContent = `Structures cannot be drawn here: ${error.message}. The file report.chemiscope.json.gz beside this one opens at chemiscope.org.`;
      place.replaceChildren(status);
    }
  });
  place.replaceChildren(element("p", { className: "choose" }, button), status);

  document.addEventListener("platonic:pick", ({ detail }) => {
    wanted = detail;
    button.textContent = "Show the picked structure in 3-D";
    if (show) setTimeout(() => wanted === detail && show()); // The maps answer first.
  });

  async function open() {
    const { dataset, places, rows, told } = JSON.parse(await inflate("structures"));
    const { structures, environments, properties } = dataset;
    const script = element("script", { textContent: await inflate("chemiscope") });
    // Chemiscope brings a plotly of its own, and takes this element of the page's for what that one left behind.
    const style = document.getElementById("plotly.js-style-global");
    style?.removeAttribute("id");
    document.head.append(script);
    if (style) style.id = "plotly.js-style-global";

    const names = element("datalist", { id: "structure-names" });
    names.append(...structures.map(({ id, formula }) => element("option", { value: id, label: formula })));
    const input = element("input", { type: "search", autocomplete: "off" });
    input.setAttribute("list", names.id);
    input.addEventListener("change", () => {
      const chosen = structures.findIndex(({ id }) => id === input.value.trim());
      if (chosen >= 0) pick(places[chosen], null);
      else if (input.value.trim()) status.textContent = `No structure in the maps is called ${input.value.trim()}.`;
    });

    const canvas = element("div");
    const stage = element("div", { className: "stage" }, canvas);
    // The wheel scrolls the page, as everywhere on it; with Ctrl it zooms.
    stage.addEventListener("wheel", (event) => event.ctrlKey || event.stopPropagation(), { capture: true });
    place.replaceChildren(
      element("p", { className: "choose" }, element("label", {}, "Structure ", input), names),
      stage,
      status,
      element("p", { className: "muted", textContent: told }),
    );
    const config = { structure: canvas, meta: element("div"), info: element("div") };
    const view = await Chemiscope.StructureVisualizer.load(config, dataset);
    view.structure.onselect = ({ environment }) => pick(places[environments[environment].structure], rows[environment]);
    // One viewer, and the page around it: chemiscope's buttons for more of them have nothing to do here.
    const plain = new CSSStyleSheet();
    plain.replaceSync(
      "div.chsp-viewer-action-button, button.chsp-viewer-action-button:nth-of-type(-n + 2) { display: none !important } " +
        ".chsp-structure-viewer-cell { width: 100%; height: 100%; left: 0; top: 0; border: 0 }",
    );
    canvas.firstElementChild.shadowRoot.adoptedStyleSheets.push(plain);

    return () => {
      const { structure, row } = wanted ?? { structure: places[0], row: null };
      const shown = places.indexOf(structure);
      if (shown < 0) {
        status.textContent = "The picked structure stands outside the maps, and is not shown.";
        return;
      }
      const own = environments.findIndex((environment) => environment.structure === shown);
      const environment = row === null ? own : rows.indexOf(row);
      const { center } = environments[environment];
      view.select({ structure: shown, atom: center, environment });
      const { id, formula, names: symbols } = structures[shown];
      const [colour] = Object.values(properties);
      const share = colour ? `, ${colour.values[environment].toFixed(2)} of its neighbours in common` : "";
      input.value = id;
      status.textContent = `${id} · ${formula}` + (row === null ? "" : ` · ${symbols[center]}, atom ${center}${share}`);
    };
  }
})();
