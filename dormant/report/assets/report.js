"use strict";
// Draws the curves of the page. What comes from runs is set as text, never as HTML.

const element = (id) => document.getElementById(id);
const MOST_LINES = 8; // of a chart with bands, and at first
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
const OPEN = "-open";
const QUANTITIES = { // of the charts that are no mean of a measure: [title, what they say]
  sweep: ["IQM over the settings", "IQM of normalized scores at the end, over all games. Bars"],
  "sample-efficiency": ["IQM over training", "IQM of normalized scores over all games. Bands"],
  profiles: ["performance profiles", "Share of runs above each normalized score. Bands"],
};
const INTERVALS = ": 95 % stratified bootstrap intervals";
let data;

// What an element holds as base64 of gzip.
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// Plotly reads a few tags and entities in names; these must show as they are.
const literal = (text) =>
  String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lookOf = ([colour, dash, symbol]) => ({ colour, dash, symbol });

function made(parent, kind, text, name = "") {
  const child = document.createElement(kind);
  if (text) child.textContent = text;
  if (name) child.className = name;
  parent.append(child);
  return child;
}

function option(select, value, text) {
  made(select, "option", text).value = value;
}

function shape(parent, kind, attributes) {
  const child = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) child.setAttribute(name, value);
  parent.append(child);
  return child;
}

// A short piece of the line as the charts draw it.
function swatch(parent, { colour, dash, symbol }) {
  const picture = shape(parent, "svg", { class: "swatch", viewBox: "0 0 56 14", role: "img" });
  picture.setAttribute("aria-label", `${dash} line, ${symbol}`);
  const line = { x1: 0, y1: 7, x2: 56, y2: 7, stroke: colour, "stroke-width": 2.5 };
  shape(picture, "line", DASHES[dash] ? { ...line, "stroke-dasharray": DASHES[dash] } : line);
  const isOpen = symbol.endsWith(OPEN);
  const path = { d: SHAPES[isOpen ? symbol.slice(0, -OPEN.length) : symbol], stroke: colour };
  shape(picture, "path", {
    ...path, fill: isOpen ? "var(--ground)" : colour, transform: "translate(28 7)",
  });
}

// A box for each choice; those without records cannot be chosen.
function choices(name, checked) {
  data[name].forEach((choice, number) => {
    const label = made(element(name), "label");
    const box = made(label, "input");
    box.type = "checkbox";
    box.checked = checked(number) && !choice.empty;
    box.disabled = choice.empty;
    if (choice.empty) {
      label.className = "empty";
      label.title = "no run of it has records";
    }
    box.dataset.number = number;
    box.addEventListener("change", draw);
    if (choice.look) swatch(label, lookOf(choice.look));
    label.append(" " + (choice.name || "-"));
  });
  element(name).parentElement.hidden = data[name].length < 2 && !(data[name][0] || {}).name;
}

const chosen = (name) =>
  new Set([...element(name).querySelectorAll("input:checked")].map((box) =>
    Number(box.dataset.number)));

// A centred moving mean over so many points; what is missing is passed over.
function smooth(values, width) {
  const half = Math.floor(width / 2);
  return values.map((value, at) => {
    if (value === null || half === 0) return value;
    const near = values.slice(Math.max(0, at - half), at + half + 1).filter((v) => v !== null);
    return near.reduce((sum, v) => sum + v, 0) / near.length;
  });
}

// --- traces and charts ----------------------------------------------------------------------

function lineTrace(x, y, look, name) {
  return {
    type: "scatter", mode: "lines+markers", x, y, name: literal(name), connectgaps: true,
    cliponaxis: false,
    line: { color: look.colour, dash: look.dash, width: 2 },
    marker: { symbol: look.symbol, maxdisplayed: 8, size: 7 },
    hoverlabel: { namelength: -1 },
  };
}

function bandTrace(x, low, high, look) {
  return {
    type: "scatter", mode: "none", x: [...x, ...[...x].reverse()],
    y: [...high, ...[...low].reverse()], fill: "toself", fillcolor: look.colour + "26",
    hoverinfo: "skip", showlegend: false,
  };
}

// One run beside the mean of few: thin and without a name.
function thinTrace(x, y, look) {
  return {
    type: "scatter", mode: "lines", x, y, line: { color: look.colour, dash: look.dash, width: 1 },
    opacity: 0.5, hoverinfo: "skip", showlegend: false,
  };
}

// Lines above all bands; so many lines that bands would hide them go without.
function legible(traces) {
  const isBand = (trace) => trace.mode === "none";
  const lines = traces.filter((trace) => !isBand(trace));
  const named = lines.filter((trace) => trace.name);
  return named.length > MOST_LINES ? named : [...traces.filter(isBand), ...lines];
}

// The line of a chart with its interval, over the steps that are chosen.
function curveTraces(curve, look, name, view, chart) {
  const overAgent = view.across === "agent" && curve.agent !== undefined;
  const x = data.steps[overAgent ? curve.agent : curve.x];
  const width = isOfSteps(chart) ? view.width : 1;
  const line = lineTrace(x, smooth(curve.y, width), look, name);
  if (chart.ticks.length && curve.low) {
    const away = (ends) => ends.map((end, at) => end === null ? 0 : Math.abs(end - curve.y[at]));
    const ends = { array: away(curve.high), arrayminus: away(curve.low) };
    return [{ ...line, error_y: { type: "data", symmetric: false, ...ends, thickness: 1.5 } }];
  }
  if (curve.each) {
    return [...curve.each.map((values) => thinTrace(x, smooth(values, width), look)), line];
  }
  if (!curve.low) return [line];
  const at = [...x.keys()].filter((place) => curve.low[place] !== null);
  const kept = (values) => at.map((place) => values[place]);
  const ends = [curve.low, curve.high].map((values) => kept(smooth(values, width)));
  return [bandTrace(kept(x), ...ends, look), line];
}

function plot(parent, title, traces, across, up, ticks = [], alone = false) {
  const place = made(parent, "figure", "", alone ? "chart alone" : "chart");
  place.dataset.title = title;
  made(place, "figcaption", title);
  const axis = { gridcolor: colour("--grid"), zerolinecolor: colour("--line"), automargin: true };
  const drawn = legible(traces);
  const ends = drawn.flatMap((trace) => trace.x);
  const range = ends.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)],
    [Infinity, -Infinity]);
  const xaxis = ticks.length
    ? { tickvals: [...ticks.keys()], ticktext: ticks.map(literal) }
    : { tickformat: /steps$/.test(across) ? "~s" : "", ...(range[0] < range[1] ? { range } : {}) };
  Plotly.newPlot(made(place, "div", "", "plot"), drawn, {
    xaxis: { ...axis, ...xaxis, title: { text: literal(across).replace("\n", "<br>") } },
    yaxis: { ...axis, title: { text: literal(up) } },
    margin: { l: 55, r: 12, t: 34, b: 45 }, // the toolbar's own line above the lines
    font: { color: colour("--text") },
    paper_bgcolor: colour("--ground"), plot_bgcolor: colour("--ground"),
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--text") },
    hovermode: "x", showlegend: parent.id === "run-charts" && traces.length > 1,
    legend: { orientation: "h", y: 1, yanchor: "bottom" },
  }, { displaylogo: false, responsive: true });
}

function clear(parent) {
  for (const place of parent.querySelectorAll(".plot")) Plotly.purge(place);
  parent.replaceChildren();
}

// --- the curves of all runs -----------------------------------------------------------------

const isOfSteps = (chart) => / steps$/.test(chart.across);
const seeds = (curve) => curve.runs < curve.planned
  ? `only ${curve.runs} of ${curve.planned} seeds` : `${curve.runs} seeds`;
const chartsOf = (quantity) => data.charts.filter((chart) => chart.quantity === quantity);
const recordsOf = (run, chart) => (run.curves[chart.quantity] || {})[chart.layer];
const numberIn = (name, value) => data[name].findIndex((choice) => choice.name === value);

function fillLayers() {
  const before = element("layer").value;
  const layers = chartsOf(element("quantity").value).map((chart) => chart.layer);
  element("layer").replaceChildren();
  layers.forEach((layer) => option(element("layer"), layer, layer || "-"));
  if (layers.includes(before)) element("layer").value = before;
  element("layer").disabled = layers.length < 2;
}

function meanTraces(panel, chart, view) {
  return panel.lines.flatMap((curve) => {
    const line = data.lines[curve.line];
    if (!view.methods.has(line.method)) return [];
    if (line.setting !== null && !view.settings.has(line.setting)) return [];
    const look = lookOf(chart.apart ? line.apart : line.look);
    const name = chart.mean ? `${line.label}, ${seeds(curve)}` : line.label;
    return curveTraces(curve, look, name, view, chart);
  });
}

function eachTraces(game, chart, view) {
  return data.runs.flatMap((run) => {
    const [method, setting] = [numberIn("methods", run.method), numberIn("settings", run.setting)];
    const found = recordsOf(run, chart);
    if (run.game !== game || !found) return [];
    if (!view.methods.has(method) || !view.settings.has(setting)) return [];
    const line = data.lines.find((one) => one.method === method && one.setting === setting);
    const [agent, gradient, values] = found;
    const x = data.steps[view.across === "agent" || gradient === null ? agent : gradient];
    const state = run.whole ? "" : ` (${run.status})`;
    const name = `${line.label}, seed ${run.seed}${state}`;
    return [lineTrace(x, smooth(values, view.width), lookOf(line.look), name)];
  });
}

function draw() {
  const [chart] = chartsOf(element("quantity").value)
    .filter((one) => one.layer === element("layer").value);
  const charts = element("charts");
  clear(charts);
  if (!chart) {
    charts.textContent = "There is no curve.";
    return;
  }
  const overGradient = chart.panels.some((panel) => panel.lines.some((curve) => "agent" in curve));
  const view = {
    methods: chosen("methods"), settings: chosen("settings"), games: chosen("games"),
    width: Number(element("smoothing").value),
    across: overGradient ? element("across").value : "agent",
    each: chart.mean && element("lines").value === "each",
  };
  element("across").disabled = !overGradient;
  element("lines").disabled = !chart.mean;
  element("smoothing").disabled = !isOfSteps(chart);
  element("window").textContent = view.width === 1 ? "off" : `${view.width} points`;
  element("meaning").textContent = meaning(chart, view);
  hold("games", !chart.mean, "it is of all games");
  hold("settings", chart.ticks.length > 0, "it is over all settings");
  const across = isOfSteps(chart) ? `${view.across} steps` : chart.across;
  const panels = view.each
    ? [...view.games].map((game) => ({ title: data.games[game].name, lines: [] })) : chart.panels;
  for (const panel of panels) {
    if (chart.mean && !view.games.has(numberIn("games", panel.title))) continue;
    const traces = view.each ? eachTraces(panel.title, chart, view) : meanTraces(panel, chart, view);
    const alone = panels.length === 1 || (chart.mean && view.games.size === 1);
    if (traces.length) plot(charts, panel.title || "-", traces, across, chart.up, chart.ticks, alone);
  }
  if (charts.children.length) return;
  const empty = ["methods", "settings", "games"].find((name) => !view[name].size);
  charts.textContent = empty ? `No ${empty.slice(0, -1)} is chosen.` : "No whole run has values of it.";
}

// Where a chart is of all games or settings there is nothing to choose.
function hold(name, held, reason) {
  for (const label of element(name).children) {
    if (label.className === "empty") continue;
    label.firstChild.disabled = held;
    label.title = held ? reason : "";
  }
}

function meaning(chart, view) {
  if (view.each) return "Each run, also those that are not whole.";
  const many = `With more than ${MOST_LINES} lines a chart has no bands.`;
  if (!chart.mean) return `${QUANTITIES[chart.quantity][1]}${INTERVALS}. ${chart.ticks.length ? "" : many}`;
  return `Means over whole runs. Bands${INTERVALS}; where there are fewer than three seeds, thin `
    + "lines are the seeds. Where a run has no value, means are of the others. Hover names how many "
    + `seeds a line has. ${many}`;
}

// --- one run --------------------------------------------------------------------------------

function fact(name, value) {
  if (value === null || value === undefined || value === "") return;
  made(element("facts"), "dt", name);
  made(element("facts"), "dd", typeof value === "object" ? JSON.stringify(value) : String(value));
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
  fact("dormant's commit", details.dormant_commit);
  fact("error", details.error);
  fact("versions", Object.entries(details.versions || {})
    .filter((entry) => entry[1]).map((entry) => entry.join(" ")).join(", "));
  element("details").textContent = data.texts[run.details];
  element("config").textContent = data.texts[run.config] || "unknown";
  for (const [quantity, title] of Object.entries(data.quantities)) {
    const layers = Object.entries(run.curves[quantity] || {});
    const overGradient = layers.some(([, curve]) => curve[1] !== null);
    const traces = layers.map(([layer, [agent, gradient, values]], number) =>
      lineTrace(data.steps[overGradient ? gradient : agent], values, layerLook(number),
        layer || quantity));
    const across = `${overGradient ? "gradient" : "agent"} steps`;
    if (traces.length) plot(element("run-charts"), title, traces, across, "");
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

function fillControls() {
  for (const quantity of new Set(data.charts.map((chart) => chart.quantity))) {
    const special = QUANTITIES[quantity];
    option(element("quantity"), quantity, special ? special[0] : data.quantities[quantity]);
  }
  if (chartsOf("return").length) element("quantity").value = "return";
  // As many settings, from the first to the last, as make at most eight lines with all methods.
  const methods = Math.min(MOST_LINES, data.methods.length);
  const settings = data.settings.length;
  const most = Math.max(1, Math.min(settings, Math.floor(MOST_LINES / methods)));
  const shown = [...Array(most).keys()].map((at) =>
    most === 1 ? 0 : Math.round((at * (settings - 1)) / (most - 1)));
  choices("methods", (number) => number < methods);
  choices("settings", (number) => shown.includes(number));
  choices("games", () => true);
}

function fillRuns() {
  const hasRecords = (run) => Object.keys(run.curves).length > 0;
  const groupOf = (run) =>
    run.whole ? "whole" : hasRecords(run) ? "not whole, with records" : "without records";
  for (const name of new Set(data.runs.map(groupOf))) {
    const group = made(element("chosen"), "optgroup");
    group.label = name;
    data.runs.forEach((run, at) => {
      if (groupOf(run) !== name) return;
      const labels = [run.method, run.setting, run.game, `seed ${run.seed}`].filter((text) => text);
      if (!run.whole) labels.push(run.status);
      option(group, at, labels.join(", "));
    });
  }
}

async function start() {
  data = JSON.parse(await unpacked("data"));
  made(document.body, "script", await unpacked("plotly")); // the policy knows its hash
  fillControls();
  fillRuns();
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
  document.documentElement.dataset.ready = "yes";
}

start();
