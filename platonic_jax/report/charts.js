// Charts of any result, as `platonic_jax.charts` makes them: values with intervals, curves, points, matrices.
(() => {
  "use strict";
  const { data, narrow, number, escape, axis, layout, figures } = platonic;

  const interval = (low, high) => `95 % interval ${number(low)} to ${number(high)}`;
  const errors = (value, low, high, color) => ({
    type: "data",
    symmetric: false,
    array: value.map((x, i) => (x === null || high[i] === null ? 0 : high[i] - x)),
    arrayminus: value.map((x, i) => (x === null || low[i] === null ? 0 : x - low[i])),
    color,
    thickness: 2,
    width: 0,
  });
  // A row's name stands above its marks, so that long names leave these their width.
  const above = (text, y, colour) => ({
    xref: "paper",
    x: 0,
    xanchor: "left",
    y,
    yanchor: "top",
    text,
    showarrow: false,
    font: { size: 11.5, color: colour("ink") },
  });
  const LONG = 30; // Letters of such a name, as in `platonic_jax.charts`.
  // A long label is broken before its bracket.
  const label = (text) => escape(text).replace(" (", "<br>(");
  const more = (text) => (text ? `<br>${escape(text).replaceAll("\n", "<br>")}` : "");

  // ---- charts ------------------------------------------------------------------------------------------------------

  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star", "x"];
  const NUM_COLOURS = 7;

  // Models take the colours in turn; every series also has a shape or a dash of its own.
  function styles(series, colour) {
    let [models, nulls] = [0, 0];
    return series.map(({ style, dash }, i) => {
      if (style === "ring") return { color: colour("ink"), symbol: "circle-open", dash: "solid" };
      if (style === "null") return { color: colour("muted"), symbol: nulls++ ? "diamond-open" : "line-ns", dash: "dot" };
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
    const step = 0.6 / chart.lanes;
    const isAbove = narrow.matches || rows.some((row) => row.length > LONG);
    const down = isAbove ? 0.2 : 0; // Below the row's name.
    const traces = series.map((one, s) => ({
      type: "scatter",
      mode: "markers",
      name: escape(one.name),
      x: one.value,
      y: rows.map((_, row) => row + down + (one.lane - (chart.lanes - 1) / 2) * step),
      marker: { color: style[s].color, symbol: style[s].symbol, size: 9, line: { width: one.style === "model" ? 0 : 2, color: style[s].color } },
      error_x: errors(one.value, one.low, one.high, style[s].color),
      text: rows.map((row, i) => `<b>${escape(row)}</b><br>${escape(one.name)}: ${written(one, i)}${more(at(one.text, i))}`),
      hovertemplate: "%{text}<extra></extra>",
    }));
    const marks = chart.lines.map((mark) => straight(mark, colour, chart.log));
    return {
      data: traces,
      layout: layout(colour, {
        ...legend(colour, series),
        margin: { l: 6, r: 14, t: 10, b: 40 },
        shapes: [
          ...marks.map(({ shape }) => shape),
          ...rows.slice(1).map((_, i) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: i + 0.5, y1: i + 0.5, line: { color: colour("line"), width: 1 }, layer: "below" })),
        ],
        annotations: [...marks.map(({ name }) => name), ...(isAbove ? rows.map((row, i) => above(escape(row), i - 0.5, colour)) : [])],
        xaxis: axis(colour, { automargin: true, title: { text: escape(chart.axis) }, ...scale(chart.log, all(chart, "value", "low", "high")), nticks: 7 }),
        yaxis: axis(colour, {
          range: [rows.length - 0.5 + down / 2, -0.5 - (marks.length || isAbove ? 0.3 : 0)],
          tickvals: rows.map((_, row) => row),
          ticktext: rows.map((row) => `${escape(row)} `),
          tickfont: { color: colour("ink"), size: 11.5 },
          automargin: true,
          showticklabels: !isAbove,
          ticks: "",
          showgrid: false,
        }),
      }),
    };
  }

  const behind = (one) => ({ type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, legendgroup: one.name });
  // The band around a curve, in as many pieces as the curve has.
  function band(one, color) {
    const [x, y] = [[], []];
    let piece = [];
    const close = () => {
      x.push(...piece.map((i) => one.x[i]), ...piece.toReversed().map((i) => one.x[i]), null);
      y.push(...piece.map((i) => one.y[i] + one.spread[i]), ...piece.toReversed().map((i) => one.y[i] - one.spread[i]), null);
      piece = [];
    };
    one.x.forEach((_, i) => {
      if (one.y[i] === null || one.spread[i] === null) close();
      else piece.push(i);
    });
    close();
    return { ...behind(one), x, y, fill: "toself", fillcolor: color, opacity: 0.18, line: { width: 0 } };
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
    const bands = chart.series.flatMap((one, s) => (one.spread ? [band(one, style[s].color)] : []));
    const strands = chart.series.flatMap((one, s) =>
      one.strands.map((y) => ({ ...behind(one), x: one.x, y, opacity: 0.4, line: { color: style[s].color, width: 1 } })),
    );
    const curves = chart.series.map((one, s) => ({
      type: "scatter",
      mode: one.style === "ring" ? "markers" : one.markers ? "lines+markers" : "lines",
      name: escape(one.name),
      legendgroup: one.name,
      x: one.x,
      y: one.y,
      line: { color: style[s].color, dash: style[s].dash, width: 2 },
      marker: { symbol: style[s].symbol, size: one.style === "ring" ? 15 : 7, color: style[s].color },
      error_y: one.low ? errors(one.y, one.low, one.high, style[s].color) : undefined,
      text: hover(chart, one),
      hovertemplate: "%{text}<extra></extra>",
    }));
    const marks = chart.lines.map((mark) => straight(mark, colour, mark.x === undefined ? chart.log_y : chart.log_x));
    const ticks = chart.ticks ? { tickvals: chart.ticks[0], ticktext: chart.ticks[1].map(escape) } : {};
    return {
      data: [...bands, ...strands, ...curves],
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
      mode: "markers+text",
      name: escape(one.name),
      x: one.x,
      y: one.y,
      text: one.text.map((name) => (chart.named.includes(name) ? `<b>${escape(name)}</b>` : "")),
      textposition: "top right",
      textfont: { color: colour("ink") },
      marker: { color: style[s].color, symbol: style[s].symbol, size: one.x.length > 500 ? 5 : 7, opacity: 0.8 },
      error_x: errors(one.x, one.x_low, one.x_high, style[s].color),
      error_y: errors(one.y, one.y_low, one.y_high, style[s].color),
      hovertext: one.x.map((x, i) => `<b>${escape(one.text[i])}</b><br>${escape(one.name)}<br>${escape(chart.x)}: ${number(x)}<br>${escape(chart.y)}: ${number(one.y[i])}`),
      hovertemplate: "%{hovertext}<extra></extra>",
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

  function matrix(chart, colour) {
    const { order, tree, top } = chart;
    const [rows, columns] = [order, chart.columns ? chart.columns.map((_, j) => j) : order];
    const [down, across] = [rows, columns].map((places) => places.map((_, i) => 5 + 10 * i)); // As a dendrogram has its leaves.
    const cells = (of) => rows.map((i) => columns.map((j) => of(i, j)));
    const columnName = (j) => (chart.columns ?? chart.rows)[j];
    const digits = Math.max(top < 10 ? 2 : 1, 1 - Math.floor(Math.log10(top)));
    const hover = (i, j) => {
      const ends = chart.low && chart.low[i][j] !== null ? `<br>${interval(chart.low[i][j], chart.high[i][j])}` : "";
      return `<b>${label(chart.rows[i])}</b><br><b>${label(columnName(j))}</b><br>value ${number(chart.value[i][j])}${ends}${more(chart.text?.[i][j])}`;
    };
    const map = {
      type: "heatmap",
      x: across,
      y: down,
      z: cells((i, j) => chart.value[i][j]),
      text: cells(hover),
      zmin: 0,
      zmax: top,
      colorscale: [[0, colour("scale-low")], [0.5, colour("scale-middle")], [1, colour("scale-high")]],
      reversescale: !chart.larger_is_darker,
      showscale: false,
      xgap: 2,
      ygap: 2,
      hovertemplate: "%{text}<extra></extra>",
    };
    const small = narrow.matches && rows.length > 5;
    // Written over the map: the contrast follows the theme, and undefined values show as a dash.
    const isStrong = (x) => x !== null && (chart.larger_is_darker ? x / top : 1 - x / top) > 0.68;
    const write = (x) => {
      const written = x === null ? "–" : Number(x.toFixed(digits)) === 0 ? "0" : x.toFixed(digits);
      return small ? written.replace(/^0\./, ".").replace(/\.0+$/, "") : written;
    };
    const values = {
      type: "scatter",
      mode: "text",
      x: down.flatMap(() => across),
      y: down.flatMap((y) => across.map(() => y)),
      text: map.z.flat().map(write),
      textfont: { size: small ? 10 : 11.5, color: map.z.flat().map((x) => colour(isStrong(x) ? "on-scale" : "ink")) },
      hoverinfo: "skip",
    };
    const branches = tree && {
      type: "scatter",
      mode: "lines",
      x: tree.x.flatMap((x) => [...x, null]),
      y: tree.y.flatMap((y) => [...y, null]),
      yaxis: "y2",
      line: { color: colour("muted"), width: 1.2 },
      hoverinfo: "skip",
    };
    const plain = { showgrid: false, ticks: "" };
    const numbered = (i, place) => `${label(chart.rows[i])}${chart.columns ? "" : `  <b>${place + 1}</b>`} `;
    return {
      data: [...(tree ? [branches] : []), map, values],
      layout: layout(colour, {
        margin: { l: 4, r: 4, t: 4, b: 24 },
        xaxis: axis(colour, { ...plain, range: [0, 10 * columns.length], tickvals: across, ticktext: columns.map((j, place) => (chart.columns ? label(columnName(j)) : String(place + 1))) }),
        yaxis: axis(colour, {
          ...plain,
          range: [10 * rows.length, 0],
          domain: tree ? [0, 0.8] : [0, 1],
          tickvals: down,
          ticktext: rows.map(numbered),
          automargin: true,
          tickfont: { color: colour("ink"), size: small ? 10.5 : 11.5 },
        }),
        yaxis2: axis(colour, { ...plain, domain: [0.83, 1], rangemode: "tozero", showticklabels: false }),
      }),
    };
  }

  const KINDS = { dots, lines, points, matrix };
  figures.chart = (node, colour) => {
    const chart = data.charts[node.dataset.chart];
    if (chart.series.length) fit(node, chart.series);
    return KINDS[chart.kind](chart, colour);
  };
})();
