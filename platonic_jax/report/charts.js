// Matrices of pairs, and charts of any result: values with intervals, curves, points.
(() => {
  "use strict";
  const { data, narrow, number, escape, axis, layout, figures } = platonic;
  const compared = data.comparison;

  // ---- matrices, and the same values beside their nulls ----------------------------------------------------------------

  const oneLine = (model) => compared.models[model].replace("<br>", " ");
  const p = (x) => (x === null ? "" : ` (p = ${number(x)})`);
  const interval = (low, high) => `95 % interval ${number(low)} to ${number(high)}`;
  const FIELDS = ["value", "low", "high", "null", "null_within_element", "p", "p_within_element", "effect_within_element"];

  function matrixText(measure, i, j) {
    const of = Object.fromEntries(FIELDS.map((field) => [field, measure[field][i][j]]));
    const head = `<b>${oneLine(i)}</b><br><b>${oneLine(j)}</b><br>`;
    if (i === j) return `${head}a model with itself: ${number(of.value)}`;
    return (
      `${head}value ${number(of.value)}<br>${interval(of.low, of.high)}<br>structures exchanged ${number(of.null)}${p(of.p)}<br>` +
      `exchanged within element ${number(of.null_within_element)}${p(of.p_within_element)}<br>` +
      `effect beyond the element ${number(of.effect_within_element)}`
    );
  }

  const tree = (measure, colour) => ({
    type: "scatter",
    mode: "lines",
    x: measure.tree.x.flatMap((x) => [...x, null]),
    y: measure.tree.y.flatMap((y) => [...y, null]),
    yaxis: "y2",
    line: { color: colour("muted"), width: 1.2 },
    hoverinfo: "skip",
  });

  figures.matrix = (node, colour) => {
    const measure = compared.measures[node.dataset.measure];
    const order = measure.order;
    const centres = order.map((_, i) => 5 + 10 * i);
    const cells = (of) => order.map((i) => order.map((j) => of(i, j)));
    const value = cells((i, j) => measure.value[i][j]);
    const finite = value.flat().filter((x) => x !== null);
    const top = measure.similar ? 1 : Math.max(...finite, 1e-12);
    const digits = Math.max(top < 10 ? 2 : 1, 1 - Math.floor(Math.log10(top)));
    const map = {
      type: "heatmap",
      x: centres,
      y: centres,
      z: value,
      text: cells((i, j) => matrixText(measure, i, j)),
      zmin: 0,
      zmax: top,
      colorscale: [[0, colour("scale-low")], [0.5, colour("scale-middle")], [1, colour("scale-high")]],
      reversescale: !measure.similar,
      showscale: false,
      xgap: 2,
      ygap: 2,
      hovertemplate: "%{text}<extra></extra>",
    };
    const small = narrow.matches && order.length > 5;
    // Written over the map: the contrast follows the theme, and undefined values show as a dash.
    const isStrong = (x) => x !== null && (measure.similar ? x / top : 1 - x / top) > 0.68;
    const write = (x) => {
      const written = x === null ? "–" : Number(x.toFixed(digits)) === 0 ? "0" : x.toFixed(digits);
      return small ? written.replace(/^0\./, ".").replace(/\.0+$/, "") : written;
    };
    const values = {
      type: "scatter",
      mode: "text",
      x: value.flatMap(() => centres),
      y: value.flatMap((row, i) => row.map(() => centres[i])),
      text: value.flat().map(write),
      textfont: { size: small ? 10 : 11.5, color: value.flat().map((x) => colour(isStrong(x) ? "on-scale" : "ink")) },
      hoverinfo: "skip",
    };
    const end = 10 * order.length;
    const plain = { showgrid: false, ticks: "" };
    return {
      data: [tree(measure, colour), map, values],
      layout: layout(colour, {
        margin: { l: 4, r: 4, t: 4, b: 24 },
        xaxis: axis(colour, { ...plain, range: [0, end], tickvals: centres, ticktext: order.map((_, i) => String(i + 1)) }),
        yaxis: axis(colour, {
          ...plain,
          range: [end, 0],
          domain: [0, 0.8],
          tickvals: centres,
          ticktext: order.map((i, place) => `${compared.models[i]}  <b>${place + 1}</b> `),
          automargin: true,
          tickfont: { color: colour("ink"), size: small ? 10.5 : 11.5 },
        }),
        yaxis2: axis(colour, { ...plain, domain: [0.83, 1], rangemode: "tozero", showticklabels: false }),
      }),
    };
  };

  // A row's name stands above its marks, so that long names leave these their width.
  const above = (text, y, colour) => ({
    xref: "paper",
    x: 0,
    xanchor: "left",
    y,
    yshift: 15,
    text,
    showarrow: false,
    font: { size: 11.5, color: colour("ink") },
  });
  const errors = (value, low, high, color) => ({
    type: "data",
    symmetric: false,
    array: value.map((x, i) => (x === null || high[i] === null ? 0 : high[i] - x)),
    arrayminus: value.map((x, i) => (x === null || low[i] === null ? 0 : x - low[i])),
    color,
    thickness: 2,
    width: 0,
  });

  figures.null = (node, colour) => {
    const measure = compared.measures[node.dataset.measure];
    const rows = measure.pairs.map((_, row) => row);
    const [value, low, high, chance, within] = FIELDS.map((field) => measure.pairs.map(({ i, j }) => measure[field][i][j]));
    const texts = measure.pairs.map(({ i, j }) => matrixText(measure, i, j));
    const mark = (x, symbol, size) => ({
      type: "scatter",
      mode: "markers",
      x,
      y: rows,
      marker: { symbol, size, color: colour("muted"), line: { width: 1.6, color: colour("muted") } },
      text: texts,
      hovertemplate: "%{text}<extra></extra>",
    });
    const dots = compared.kinds.map(({ kind, colour: color }) => {
      const mine = rows.filter((row) => measure.pairs[row].kind === kind);
      const of = (values) => mine.map((row) => values[row]);
      return {
        type: "scatter",
        mode: "markers",
        x: of(value),
        y: mine,
        marker: { color, size: 9 },
        error_x: errors(of(value), of(low), of(high), color),
        text: of(texts),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    return {
      data: [mark(chance, "line-ns", 6), mark(within, "diamond-open", 8), ...dots],
      layout: layout(colour, {
        margin: { l: 6, r: 12, t: 8, b: 28 },
        annotations: measure.pairs.map(({ i, j }, row) => above(`${oneLine(i)} – ${oneLine(j)}`, row, colour)),
        xaxis: axis(colour, { rangemode: "tozero", nticks: 6 }),
        yaxis: axis(colour, { range: [rows.length - 0.6, -0.8], showticklabels: false, ticks: "", showgrid: false }),
      }),
    };
  };

  // ---- charts ------------------------------------------------------------------------------------------------------

  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star", "x"];
  const NUM_COLOURS = 7;

  // Models take the colours in turn; every series also has a shape or a dash of its own.
  function styles(series, colour) {
    let models = 0;
    return series.map(({ style, dash }, i) => {
      if (style === "null") return { color: colour("muted"), symbol: "line-ns", dash: "dot" };
      if (style === "baseline") return { color: colour("baseline"), symbol: "square-open", dash: "dashdot" };
      if (style === "random") return { color: colour("random"), symbol: `${SYMBOLS[i % 8]}-open`, dash: "dash" };
      const turn = models++;
      const again = Math.floor(turn / NUM_COLOURS) % 2 === 1;
      return {
        color: colour(`series-${turn % NUM_COLOURS}`),
        symbol: SYMBOLS[turn % SYMBOLS.length],
        dash: dash ? "dash" : again ? "dot" : "solid",
      };
    });
  }

  const legend = (colour, series) => ({
    showlegend: series.length > 1,
    legend: {
      orientation: "h",
      x: 0,
      xanchor: "left",
      y: 1.01,
      yanchor: "bottom",
      font: { color: colour("ink"), size: 12 },
      itemsizing: "constant",
    },
  });
  // As high as the page says, and the rows of the legend.
  function fit(node, series) {
    node.dataset.height ??= parseFloat(node.style.height) || 400;
    const width = 45 + 7 * Math.max(...series.map(({ name }) => name.length));
    const rows = series.length > 1 ? Math.ceil((width * series.length) / node.clientWidth) : 0;
    node.style.height = `${Number(node.dataset.height) + 20 * rows}px`;
  }
  const at = (values, i) => (values ? values[i] : null);
  const written = (series, i, value = series.value ?? series.y) =>
    number(value[i]) + (at(series.low, i) === null ? "" : `, ${interval(series.low[i], at(series.high, i))}`);
  // A straight line across the whole chart, with its name at the upper or right end.
  function straight(mark, colour, isLog) {
    const upright = mark.x !== undefined;
    const place = upright ? mark.x : mark.y;
    const shown = isLog ? Math.log10(place) : place; // Plotly places texts, not lines, by the logarithm.
    const line = { color: colour("muted"), width: 1.2, dash: "dot" };
    const font = { size: 11, color: colour("muted") };
    const text = escape(mark.name ?? "");
    return upright
      ? {
          shape: { type: "line", x0: place, x1: place, yref: "paper", y0: 0, y1: 1, line, layer: "below" },
          name: { x: shown, yref: "paper", y: 1, xanchor: "left", yanchor: "top", xshift: 3, text, showarrow: false, font },
        }
      : {
          shape: { type: "line", y0: place, y1: place, xref: "paper", x0: 0, x1: 1, line, layer: "below" },
          name: { y: shown, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom", text, showarrow: false, font },
        };
  }
  // Powers of ten alone, where there are a few of them.
  function scale(log, values) {
    if (!log) return {};
    const known = values.filter((x) => x > 0);
    const decades = Math.log10(known.reduce((a, b) => Math.max(a, b), 0) / known.reduce((a, b) => Math.min(a, b), Infinity));
    return { type: "log", exponentformat: "power", dtick: decades > 4 ? 2 : decades > 1.5 ? 1 : "D2" };
  }
  const all = (chart, ...fields) => chart.series.flatMap((one) => fields.flatMap((field) => one[field] ?? []));

  function dots(chart, colour) {
    const { rows, series } = chart;
    const style = styles(series, colour);
    const step = 0.6 / Math.max(1, series.length);
    const down = narrow.matches ? 0.2 : 0; // Below the row's name.
    const traces = series.map((one, s) => ({
      type: "scatter",
      mode: "markers",
      name: escape(one.name),
      x: one.value,
      y: rows.map((_, row) => row + down + (s - (series.length - 1) / 2) * step),
      marker: { color: style[s].color, symbol: style[s].symbol, size: 9, line: { width: one.style === "model" ? 0 : 2, color: style[s].color } },
      error_x: one.low ? errors(one.value, one.low, one.high, style[s].color) : undefined,
      text: rows.map((row, i) => `<b>${escape(row)}</b><br>${escape(one.name)}: ${written(one, i)}${one.text ? `<br>${escape(one.text[i])}` : ""}`),
      hovertemplate: "%{text}<extra></extra>",
    }));
    const marks = (chart.lines ?? []).map(({ value, name }) => straight({ x: value, name }, colour, chart.log));
    const labels = narrow.matches
      ? { annotations: rows.map((row, i) => ({ ...above(escape(row), i - 0.5, colour), yanchor: "top", yshift: 0 })), showticklabels: false }
      : { annotations: [], showticklabels: true };
    const given = chart.range ? { range: chart.log ? chart.range.map(Math.log10) : chart.range } : {};
    return {
      data: traces,
      layout: layout(colour, {
        ...legend(colour, series),
        margin: { l: 6, r: 14, t: 10, b: 40 },
        shapes: [
          ...marks.map(({ shape }) => shape),
          ...rows.slice(1).map((_, i) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: i + 0.5, y1: i + 0.5, line: { color: colour("line"), width: 1 }, layer: "below" })),
        ],
        annotations: [...marks.map(({ name }) => name), ...labels.annotations],
        xaxis: axis(colour, { automargin: true, title: { text: escape(chart.axis) }, ...scale(chart.log, all(chart, "value", "low", "high")), ...given, nticks: 7 }),
        yaxis: axis(colour, {
          range: [rows.length - 0.5 + down / 2, -0.5 - (marks.length || narrow.matches ? 0.3 : 0)],
          tickvals: rows.map((_, row) => row),
          ticktext: rows.map((row) => `${escape(row)} `),
          tickfont: { color: colour("ink"), size: 11.5 },
          automargin: true,
          showticklabels: labels.showticklabels,
          ticks: "",
          showgrid: false,
        }),
      }),
    };
  }

  // The band between low and high, in as many pieces as the curve has.
  function band(one, color) {
    const [x, y] = [[], []];
    let piece = [];
    const close = () => {
      x.push(...piece.map((i) => one.x[i]), ...piece.toReversed().map((i) => one.x[i]), null);
      y.push(...piece.map((i) => one.high[i]), ...piece.toReversed().map((i) => one.low[i]), null);
      piece = [];
    };
    one.x.forEach((_, i) => {
      if (one.low[i] === null || one.high[i] === null) close();
      else piece.push(i);
    });
    close();
    const none = { hoverinfo: "skip", showlegend: false, legendgroup: one.name };
    return { type: "scatter", mode: "lines", x, y, fill: "toself", fillcolor: color, opacity: 0.18, line: { width: 0 }, ...none };
  }

  function hover(chart, one) {
    const [places, names] = chart.ticks ?? [[], []];
    const where = (x) => (chart.ticks ? names[places.indexOf(x)] : number(x));
    return one.x.map((x, i) => {
      const place = where(x) === undefined ? "" : `${escape(chart.x)}: ${escape(where(x))}<br>`;
      return `<b>${escape(one.name)}</b><br>${place}${escape(chart.y)}: ${written(one, i)}`;
    });
  }

  function lines(chart, colour) {
    const style = styles(chart.series, colour);
    const bands = chart.series.flatMap((one, s) => (one.low && one.high ? [band(one, style[s].color)] : []));
    const curves = chart.series.map((one, s) => ({
      type: "scatter",
      mode: one.markers ? "lines+markers" : "lines",
      name: escape(one.name),
      legendgroup: one.name,
      x: one.x,
      y: one.y,
      line: { color: style[s].color, dash: style[s].dash, width: 2 },
      marker: { symbol: style[s].symbol, size: 7, color: style[s].color },
      text: hover(chart, one),
      hovertemplate: "%{text}<extra></extra>",
    }));
    const marks = (chart.lines ?? []).map((mark) => straight(mark, colour, mark.x === undefined ? chart.log_y : chart.log_x));
    const ticks = chart.ticks ? { tickvals: chart.ticks[0], ticktext: chart.ticks[1].map(escape) } : {};
    return {
      data: [...bands, ...curves],
      layout: layout(colour, {
        ...legend(colour, chart.series),
        margin: { l: 48, r: 14, t: 10, b: 44 },
        shapes: marks.map(({ shape }) => shape),
        annotations: marks.map(({ name }) => name),
        xaxis: axis(colour, { automargin: true, title: { text: escape(chart.x) }, ...scale(chart.log_x, all(chart, "x")), ...ticks }),
        yaxis: axis(colour, { automargin: true, title: { text: escape(chart.y) }, ...scale(chart.log_y, all(chart, "y", "low", "high")) }),
      }),
    };
  }

  function points(chart, colour) {
    const style = styles(chart.series, colour);
    const clouds = chart.series.map((one, s) => ({
      type: "scatter",
      mode: "markers",
      name: escape(one.name),
      x: one.x,
      y: one.y,
      marker: { color: style[s].color, symbol: style[s].symbol, size: one.x.length > 500 ? 5 : 7, opacity: 0.8 },
      text: one.x.map((x, i) => `<b>${escape(at(one.text, i) ?? one.name)}</b><br>${one.text ? `${escape(one.name)}<br>` : ""}${escape(chart.x)}: ${number(x)}<br>${escape(chart.y)}: ${number(one.y[i])}`),
      hovertemplate: "%{text}<extra></extra>",
    }));
    const known = all(chart, "x", "y").filter((x) => x !== null && (x > 0 || !(chart.log_x || chart.log_y)));
    const ends = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [0, 1];
    const diagonal = { type: "scatter", mode: "lines", x: ends, y: ends, line: { color: colour("muted"), width: 1.2, dash: "dot" }, hoverinfo: "skip", showlegend: false };
    return {
      data: chart.diagonal ? [diagonal, ...clouds] : clouds,
      layout: layout(colour, {
        ...legend(colour, chart.series),
        margin: { l: 48, r: 14, t: 10, b: 44 },
        xaxis: axis(colour, { automargin: true, title: { text: escape(chart.x) }, ...scale(chart.log_x, all(chart, "x")) }),
        yaxis: axis(colour, { automargin: true, title: { text: escape(chart.y) }, ...scale(chart.log_y, all(chart, "y", "low", "high")) }),
      }),
    };
  }

  const KINDS = { dots, lines, points };
  figures.chart = (node, colour) => {
    const chart = data.charts[node.dataset.chart];
    fit(node, chart.series);
    return KINDS[chart.kind](chart, colour);
  };
})();
