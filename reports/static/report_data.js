// What the page knows: the embedded rows, the metrics that can be drawn, the numbers and colours of one moment.
"use strict";
const Loopfront = {};

Loopfront.readReport = () => JSON.parse(document.getElementById("report-data").textContent);

// Values that every trial has beside its measured cells, so that they can be axes too.
Loopfront.SHAPE_METRICS = [
  { name: "embedding_ratio", label: "Embedding ratio", unit: "%", digits: 1, of: (trial) => 100 * trial.embedding_ratio },
  { name: "effective_parameters", label: "Effective parameters", unit: "M", digits: 2, of: (trial) => trial.effective_parameters / 1e6 },
  { name: "block_count", label: "Blocks", unit: "", digits: 0, of: (trial) => trial.blocks.length },
  { name: "hidden_size", label: "Width", unit: "", digits: 0, of: (trial) => trial.hidden_size },
];

Loopfront.metrics = (report) => [
  ...report.columns.map((column) => ({ ...column, of: (trial) => (trial.cells[column.name] || {}).value })),
  ...Loopfront.SHAPE_METRICS,
];

Loopfront.metricTitle = (metric) => (metric.unit ? `${metric.label}, ${metric.unit}` : metric.label);

Loopfront.betterArrow = (metric, lower, higher) =>
  metric.direction ? `  ${metric.direction === "minimize" ? lower : higher}` : "";

Loopfront.number = (value, digits) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replaceAll(",", "\u202f").replace("-", "\u2212");
};

Loopfront.measured = (report) => report.trials.filter((t) => t.state === "measured" && t.kind !== "reference");
Loopfront.references = (report) => report.trials.filter((t) => t.state === "measured" && t.kind === "reference");
Loopfront.trialName = (trial) => (trial.label ? `${trial.label} (#${trial.number})` : `Trial #${trial.number}`);

Loopfront.mainMixer = (trial) => {
  const counts = new Map();
  for (const letter of trial.layout) counts.set(letter, (counts.get(letter) || 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? "?";
};

// The mixers' colours stand in the page's own legend: one source for drawing and chart.
Loopfront.mixerColour = (letter) => {
  for (const sample of document.querySelectorAll(".legend svg")) {
    if (sample.textContent.trim() === letter) return sample.querySelector("rect").getAttribute("fill");
  }
  return "#8a8f98";
};

// The stylesheet decides on light or dark; charts take their colours from it.
Loopfront.colours = () => {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: of("ink"), soft: of("soft"), line: of("line"), hair: of("hair"), card: of("card"), accent: of("accent"),
    mark: of("mark"), mutedPoint: of("muted-point"), raw: of("raw"), paired: of("paired"), knee: of("knee"),
    ramp: [0, 1, 2, 3, 4].map((step) => of(`ramp-${step}`)),
  };
};

Loopfront.axisLook = (colours) => ({
  axisLine: { lineStyle: { color: colours.line } },
  axisTick: { lineStyle: { color: colours.line } },
  axisLabel: { color: colours.soft, hideOverlap: true },
  nameTextStyle: { color: colours.ink, fontSize: 12 },
  splitLine: { lineStyle: { color: colours.hair } },
});

Loopfront.base = (colours) => ({
  animation: false,
  textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colours.ink },
  tooltip: {
    confine: true, backgroundColor: colours.card, borderColor: colours.line,
    textStyle: { color: colours.ink, fontSize: 12 }, extraCssText: "box-shadow: 0 4px 18px rgb(0 0 0 / 18%);",
  },
});

// Everything that shows a name is built from nodes, never from markup.
Loopfront.node = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

Loopfront.trialTooltip = (report, trial) => {
  const { node, number } = Loopfront;
  const box = node("div", "tooltip", node("strong", "", Loopfront.trialName(trial)), node("div", "soft", trial.layout));
  const drawn = document.getElementById(`card-${trial.number}`)?.content.querySelector(".layout");
  if (drawn) box.append(drawn.cloneNode(true));
  const table = node("table", "");
  for (const column of report.columns) {
    const cell = trial.cells[column.name];
    if (!cell) continue;
    const known = cell.low !== null && cell.high !== null;
    const range = known ? `${number(cell.low, column.digits)}–${number(cell.high, column.digits)}` : "";
    table.append(node("tr", "", node("th", "", Loopfront.metricTitle(column)),
      node("td", "number", node("strong", "", number(cell.value, column.digits))), node("td", "number soft", range)));
  }
  box.append(table);
  return box;
};
