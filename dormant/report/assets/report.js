"use strict";
// Draws the curves of the page. What comes from runs is set as text, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const GRID_POINTS = 200;
const MOST_LINES = 8; // of a chart with bands
const SVG = "http://www.w3.org/2000/svg";
// Dashes and markers of plotly's lines, for the swatches.
const DASHES = { solid: "", dash: "9 5", dot: "2.5 2.5", dashdot: "9 3 2.5 3" };
const SHAPES = {
  circle: "M5,0A5,5 0 1,1 -5,0A5,5 0 1,1 5,0Z", square: "M-4.5,-4.5H4.5V4.5H-4.5Z",
  "triangle-up": "M0,-5.5L5.5,4.5H-5.5Z", diamond: "M0,-6L6,0L0,6L-6,0Z",
  "triangle-down": "M0,5.5L5.5,-4.5H-5.5Z",
  cross: "M-2,-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
  x: "M-5,-2.5L-2.5,-5L0,-2.5L2.5,-5L5,-2.5L2.5,0L5,2.5L2.5,5L0,2.5L-2.5,5L-5,2.5L-2.5,0Z",
};

// Plotly reads a few tags and entities in names; these must show as they are.
const literal = (text) =>
  String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lookOf = (run) =>
  data.looks.findIndex((look) => look.method === run.method && look.setting === run.setting);

function option(select, value, text) {
  const entry = document.createElement("option");
  entry.value = value;
  entry.textContent = text;
  select.append(entry);
}

function shape(parent, kind, attributes) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

// A short piece of the line as the charts draw it.
function swatch(parent, look) {
  const picture = shape(parent, "svg", { class: "swatch", viewBox: "0 0 56 14", role: "img" });
  picture.setAttribute("aria-label", `${look.dash} line, ${look.symbol}`);
  const dash = DASHES[look.dash];
  const line = { x1: 0, y1: 7, x2: 56, y2: 7, stroke: look.colour, "stroke-width": 2.5 };
  shape(picture, "line", dash ? { ...line, "stroke-dasharray": dash } : line);
  const marker = { d: SHAPES[look.symbol], fill: look.colour, transform: "translate(28 7)" };
  shape(picture, "path", marker);
}

function checkbox(parent, name, number, text, look, empty) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !empty;
  box.disabled = empty;
  if (empty) {
    label.className = "empty";
    label.title = "no run of it has records";
  }
  box.dataset[name] = number;
  box.addEventListener("change", draw);
  label.append(box);
  if (look) swatch(label, look);
  label.append(" " + text);
  parent.append(label);
}

const chosen = (parent) =>
  new Set([...element(parent).querySelectorAll("input:checked")].map((box) => {
    return Number(Object.values(box.dataset)[0]);
  }));

// A centred moving mean over so many points; what is missing is passed over.
function smooth(values, width) {
  const half = Math.floor(width / 2);
  return values.map((value, at) => {
    if (value === null || half === 0) return value;
    const near = values.slice(Math.max(0, at - half), at + half + 1).filter((v) => v !== null);
    return near.reduce((sum, v) => sum + v, 0) / near.length;
  });
}

// {x, y} of a run, y null where it has no value; null where it has none at all.
function measured(run, quantity, layer, across, width) {
  const values = (run.curves[quantity] || {})[layer];
  const steps = (run.steps[quantity === "return" ? "return" : "tracking"] || {})[across];
  if (!values || !steps || values.every((value) => value === null)) return null;
  return { x: steps, y: smooth(values, width) };
}

function withoutGaps(curve) {
  const kept = curve.x.map((x, at) => [x, curve.y[at]]).filter((pair) => pair[1] !== null);
  return { x: kept.map((p) => p[0]), y: kept.map((p) => p[1]) };
}

function curveOf(...what) {
  const curve = measured(...what);
  return curve && withoutGaps(curve);
}

// The value at a step by a straight line between the two nearest points.
function interpolated(curve, step) {
  const after = curve.x.findIndex((x) => x >= step);
  if (after <= 0) return curve.y[Math.max(0, after)];
  const share = (step - curve.x[after - 1]) / (curve.x[after] - curve.x[after - 1]);
  return curve.y[after - 1] + share * (curve.y[after] - curve.y[after - 1]);
}

// Mean, lowest and highest of several curves. Of the same steps: at each over those that have a
// value there; of different steps: between the points, where all of them are.
function meanOf(measurements) {
  if (measurements.every((curve) => curve.x.join() === measurements[0].x.join())) {
    const at = measurements[0].x.map((step, number) => ({
      step, values: measurements.map((curve) => curve.y[number]).filter((v) => v !== null),
    })).filter((point) => point.values.length);
    return spread(at.map((point) => point.step), at.map((point) => point.values));
  }
  const curves = measurements.map(withoutGaps);
  const first = Math.max(...curves.map((curve) => curve.x[0]));
  const last = Math.min(...curves.map((curve) => curve.x[curve.x.length - 1]));
  if (first > last) return null;
  const points = first === last ? 1 : GRID_POINTS;
  const x = [...Array(points).keys()].map((at) => {
    if (at === points - 1) return last; // not past it by rounding
    return first + (at * (last - first)) / (points - 1);
  });
  return spread(x, x.map((step) => curves.map((curve) => interpolated(curve, step))));
}

function spread(x, all) {
  return {
    x,
    y: all.map((values) => values.reduce((sum, v) => sum + v, 0) / values.length),
    low: all.map((values) => Math.min(...values)),
    high: all.map((values) => Math.max(...values)),
  };
}

function lineTrace(curve, look, name) {
  return {
    type: "scatter", mode: "lines+markers", x: curve.x, y: curve.y, name: literal(name),
    line: { color: look.colour, dash: look.dash, width: 2 },
    marker: { symbol: look.symbol, maxdisplayed: 8, size: 7 },
    hoverlabel: { namelength: -1 },
  };
}

function bandTrace(curve, look) {
  return {
    type: "scatter", mode: "none", x: [...curve.x, ...[...curve.x].reverse()],
    y: [...curve.high, ...[...curve.low].reverse()], fill: "toself", fillcolor: look.colour + "26",
    hoverinfo: "skip", showlegend: false,
  };
}

// Lines above all bands; so many lines that bands would hide them go without.
function legible(traces) {
  const isBand = (trace) => trace.mode === "none";
  const lines = traces.filter((trace) => !isBand(trace));
  return lines.length > MOST_LINES ? lines : [...traces.filter(isBand), ...lines];
}

function chart(parent, title, traces, across, up, alone = false) {
  const place = document.createElement("div");
  place.className = alone ? "chart alone" : "chart";
  place.dataset.title = title;
  parent.append(place);
  const axis = { gridcolor: colour("--grid"), zerolinecolor: colour("--line"), automargin: true };
  Plotly.newPlot(place, legible(traces), {
    title: { text: literal(title), font: { size: 15 }, x: 0.02, y: 0.96, yanchor: "top" },
    xaxis: { ...axis, title: { text: across + " steps" }, tickformat: "~s" },
    yaxis: { ...axis, title: { text: literal(up) } },
    margin: { l: 55, r: 10, t: 65, b: 45 },
    font: { color: colour("--text") },
    paper_bgcolor: colour("--ground"), plot_bgcolor: colour("--ground"),
    hovermode: "x", showlegend: parent.id === "run-charts" && traces.length > 1,
    legend: { orientation: "h", y: 1, yanchor: "bottom" },
  }, { displaylogo: false, responsive: true });
}

function clear(parent) {
  for (const place of parent.querySelectorAll(".chart")) Plotly.purge(place);
  parent.replaceChildren();
}

// --- the curves of all runs -----------------------------------------------------------------

const IQM = "iqm";

function iqmTraces(looks, width) {
  const curves = data.iqm.filter((curve) => looks.has(lookOf(curve)));
  return curves.flatMap((curve) => {
    const look = data.looks[lookOf(curve)];
    const line = { x: curve.steps, y: smooth(curve.values, width) };
    if (curve.low.some((end) => end === null)) return [lineTrace(line, look, look.label)];
    const band = { ...line, low: smooth(curve.low, width), high: smooth(curve.high, width) };
    return [bandTrace(band, look), lineTrace(line, look, look.label)];
  });
}

function gameTraces(game, looks, view) {
  const traces = [];
  for (const number of looks) {
    const look = data.looks[number];
    const runs = data.runs.filter((run) => run.game === game && lookOf(run) === number);
    const what = [view.quantity, view.layer, view.across, view.width];
    if (view.lines === "each") {
      for (const run of runs) {
        const curve = curveOf(run, ...what);
        const state = run.whole ? "" : ` (${run.status})`;
        if (curve) traces.push(lineTrace(curve, look, `${look.label}, seed ${run.seed}${state}`));
      }
      continue;
    }
    const curves = runs.filter((run) => run.whole).map((run) => measured(run, ...what))
      .filter((curve) => curve);
    const mean = curves.length ? meanOf(curves) : null;
    if (!mean) continue;
    if (curves.length > 1) traces.push(bandTrace(mean, look));
    traces.push(lineTrace(mean, look, `${look.label}, ${seeds(curves.length, look.planned[game])}`));
  }
  return traces;
}

const seeds = (found, planned) =>
  found < planned ? `only ${found} of ${planned} seeds` : `${found} seeds`;

function layersOf(quantity) {
  const layers = data.runs.flatMap((run) => Object.keys(run.curves[quantity] || {}));
  return [...new Set(layers)];
}

function fillLayers() {
  const before = element("layer").value;
  const layers = layersOf(element("quantity").value);
  element("layer").replaceChildren();
  layers.forEach((layer) => option(element("layer"), layer, layer || "-"));
  if (layers.includes(before)) element("layer").value = before;
  element("layer").disabled = layers.length < 2;
}

function draw() {
  const view = {
    quantity: element("quantity").value, layer: element("layer").value,
    lines: element("lines").value, width: Number(element("smoothing").value),
    across: element("across").value,
  };
  const ofSteps = view.quantity === IQM || view.quantity === "return";
  if (ofSteps) view.across = "agent";
  element("across").disabled = ofSteps;
  element("lines").disabled = view.quantity === IQM;
  element("window").textContent = view.width === 1 ? "off" : `${view.width} points`;
  element("meaning").textContent = meaning(view);
  const charts = element("charts");
  clear(charts);
  const looks = chosen("methods");
  holdGames(view.quantity === IQM);
  if (view.quantity === IQM) {
    const traces = iqmTraces(looks, view.width);
    if (traces.length) chart(charts, "all games", traces, view.across, "IQM", true);
    else charts.textContent = looks.size ? NO_IQM : NO_METHOD;
    return;
  }
  const games = chosen("games");
  for (const number of games) {
    const game = data.games[number];
    const traces = gameTraces(game, looks, view);
    const up = data.quantities[view.quantity];
    if (traces.length) chart(charts, game, traces, view.across, up, games.size === 1);
  }
  if (charts.children.length) return;
  if (!looks.size) charts.textContent = NO_METHOD;
  else charts.textContent = games.size ? "No whole run has values of it." : "No game is chosen.";
}

const NO_BANDS = `With more than ${MOST_LINES} lines a chart has no bands.`;
const NO_METHOD = "No method is chosen.";
const NO_IQM = "None of these has an IQM, which needs a whole run of each planned game.";

// An IQM is of all games, so there is nothing to choose.
function holdGames(held) {
  for (const label of element("games").children) {
    if (label.className === "empty") continue;
    label.firstChild.disabled = held;
    label.title = held ? "an IQM is of all games" : "";
  }
}

function meaning(view) {
  if (view.quantity === IQM) {
    return "IQM of normalized scores over all games; bands: 95 % stratified bootstrap intervals. "
      + NO_BANDS;
  }
  if (view.lines === "each") return "Each run, also those that are not whole.";
  return "Means over whole runs; bands: from the lowest to the highest seed, no interval. Where a "
    + "run has no value, they are of the others. Hover names how many seeds a line has. " + NO_BANDS;
}

// --- one run --------------------------------------------------------------------------------

function fact(name, value) {
  if (value === null || value === undefined || value === "") return;
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = typeof value === "object" ? JSON.stringify(value) : String(value);
  element("facts").append(term, text);
}

function drawRun() {
  clear(element("run-charts"));
  element("facts").replaceChildren();
  const run = data.runs[Number(element("chosen").value)];
  if (!run) {
    element("facts").textContent = "There is no run.";
    return;
  }
  const details = JSON.parse(data.texts[run.details]);
  const names = "method setting game seed status problem folder log command".split(" ");
  for (const name of names) fact(name, run[name]);
  fact("git commit", details.git_commit);
  fact("error", details.error);
  fact("versions", Object.entries(details.versions || {})
    .filter((entry) => entry[1]).map((entry) => entry.join(" ")).join(", "));
  element("details").textContent = data.texts[run.details];
  element("config").textContent = data.texts[run.config] || "unknown";
  for (const quantity of Object.keys(data.quantities)) {
    const across = quantity === "return" ? "agent" : "gradient";
    const traces = Object.keys(run.curves[quantity] || {}).flatMap((layer, number) => {
      const curve = curveOf(run, quantity, layer, across, 1);
      const look = { ...layerLook(number) };
      return curve ? [lineTrace(curve, look, layer || quantity)] : [];
    });
    if (traces.length) chart(element("run-charts"), data.quantities[quantity], traces, across, "");
  }
}

function layerLook(number) {
  const of = (list) => list[number % list.length];
  return { colour: of(data.colours), dash: of(data.dashes), symbol: of(data.symbols) };
}

// --- start ----------------------------------------------------------------------------------

function redraw() {
  draw();
  drawRun();
}

if (data.iqm.length) option(element("quantity"), IQM, "IQM of normalized scores");
for (const [name, title] of Object.entries(data.quantities)) {
  if (layersOf(name).length) option(element("quantity"), name, title);
}
element("quantity").value = layersOf("return").length ? "return" : element("quantity").value;
const hasRecords = (run) => Object.keys(run.curves).length > 0;
const recorded = data.runs.filter(hasRecords);
data.looks.forEach((look, at) => {
  const empty = !recorded.some((run) => lookOf(run) === at);
  checkbox(element("methods"), "look", at, look.label, look, empty);
});
data.games.forEach((game, at) => {
  checkbox(element("games"), "game", at, game, null, !recorded.some((run) => run.game === game));
});
const groupOf = (run) =>
  run.whole ? "whole" : hasRecords(run) ? "not whole, with records" : "without records";
for (const name of new Set(data.runs.map(groupOf))) {
  const group = document.createElement("optgroup");
  group.label = name;
  data.runs.forEach((run, at) => {
    if (groupOf(run) !== name) return;
    const labels = [run.method, run.setting, run.game, `seed ${run.seed}`].filter((text) => text);
    if (!run.whole) labels.push(run.status);
    option(group, at, labels.join(", "));
  });
  element("chosen").append(group);
}
element("quantity").addEventListener("change", () => {
  fillLayers();
  draw();
});
for (const id of ["layer", "across", "lines"]) element(id).addEventListener("change", draw);
element("smoothing").addEventListener("input", draw);
element("chosen").addEventListener("change", drawRun);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
fillLayers();
redraw();
