// The charts of the front: the scatter of any two metrics, and all objectives side by side.
"use strict";

Loopfront.COLOUR_BY_MIXER = "main_mixer";
Loopfront.OUTSIDE = "Outside the constraints";
Loopfront.REFERENCE_SYMBOLS = ["diamond", "triangle", "rect", "pin", "arrow"];

Loopfront.pointOf = (trial, choice) => {
  const cell = (metric) => trial.cells[metric.name] || {};
  const x = choice.x.of(trial);
  const y = choice.y.of(trial);
  return {
    value: [
      x, y, choice.colour.of ? choice.colour.of(trial) : null,
      cell(choice.x).low ?? x, cell(choice.x).high ?? x, cell(choice.y).low ?? y, cell(choice.y).high ?? y,
    ],
    trial,
  };
};

// The staircase of the two shown metrics alone: what could be had within the constraints if nothing else mattered.
Loopfront.staircase = (points, choice) => {
  if (!choice.x.direction || !choice.y.direction) return [];
  const sign = (metric) => (metric.direction === "minimize" ? 1 : -1);
  const sorted = [...points].sort((a, b) =>
    sign(choice.x) * (a.value[0] - b.value[0]) || sign(choice.y) * (a.value[1] - b.value[1]));
  const kept = [];
  for (const point of sorted) {
    const last = kept.at(-1);
    if (!last || sign(choice.y) * point.value[1] < sign(choice.y) * last[1]) kept.push(point.value.slice(0, 2));
  }
  return kept;
};

Loopfront.whiskers = (params, api) => {
  const at = (x, y) => api.coord([api.value(x), api.value(y)]);
  const [left, right, low, high] = [at(3, 1), at(4, 1), at(0, 5), at(0, 6)];
  const line = (from, to) => ({
    type: "line",
    shape: { x1: from[0], y1: from[1], x2: to[0], y2: to[1] },
    style: { stroke: api.visual("color"), lineWidth: 1.2, opacity: 0.55 },
  });
  return { type: "group", children: [line(left, right), line(low, high)] };
};

Loopfront.scatterAxis = (metric, colours, isX, narrow) => ({
  type: "value",
  scale: true,
  name: Loopfront.metricTitle(metric)
    + (isX ? Loopfront.betterArrow(metric, "\u2190 better", "better \u2192") : Loopfront.betterArrow(metric, "\u2193 better", "\u2191 better")),
  nameLocation: isX ? "middle" : "end",
  nameGap: isX ? 30 : 14,
  splitNumber: narrow ? 3 : 5,
  ...Loopfront.axisLook(colours),
  nameTextStyle: { color: colours.ink, fontSize: 12, align: isX ? "center" : "left", fontWeight: 600 },
});

Loopfront.colourScale = (points, choice, colours, narrow) => {
  const values = points.map((point) => point.value[2]).filter(Number.isFinite);
  if (!choice.colour.of || !values.length) return { show: false, seriesIndex: [], dimension: 2 };
  const ramp = choice.colour.direction === "minimize" ? [...colours.ramp].reverse() : colours.ramp;
  const span = [Math.min(...values), Math.max(...values)];
  const text = span.toReversed().map((value) => Loopfront.number(value, choice.colour.digits));
  return {
    show: true, type: "continuous", seriesIndex: [1], dimension: 2, min: span[0], max: span[1] === span[0] ? span[0] + 1 : span[1],
    inRange: { color: ramp }, calculable: false, orient: narrow ? "horizontal" : "vertical", itemHeight: narrow ? 110 : 150,
    itemWidth: 12, right: narrow ? "center" : 4, left: narrow ? "center" : "auto", top: narrow ? "auto" : "middle", bottom: narrow ? 0 : "auto",
    text, textStyle: { color: colours.soft, fontSize: 11 },
  };
};

Loopfront.scatterSeries = (report, choice, chosen, colours) => {
  const having = (trials) => trials.map((t) => Loopfront.pointOf(t, choice))
    .filter((p) => Number.isFinite(p.value[0]) && Number.isFinite(p.value[1]));
  const points = having(Loopfront.measured(report));
  const front = points.filter((point) => point.trial.on_front);
  const outside = points.filter((point) => point.trial.violations?.length);
  const allowed = points.filter((point) => !point.trial.violations?.length);
  const others = allowed.filter((point) => !point.trial.on_front);
  const references = having(Loopfront.references(report));
  const mixerColour = (params) => Loopfront.mixerColour(Loopfront.mainMixer(params.data.trial));
  const label = (text) => ({ show: true, formatter: text, position: "top", distance: 7, color: colours.ink, fontWeight: 600, fontSize: 11, textBorderColor: colours.card, textBorderWidth: 3 });
  const all = [...points, ...references];
  return { front, all, series: [
    { id: "beaten", name: "Beaten", type: "scatter", data: others, symbolSize: 9, z: 2,
      itemStyle: { color: colours.mutedPoint, opacity: 0.5 } },
    ...(outside.length ? [{ id: "outside", name: Loopfront.OUTSIDE, type: "scatter", data: outside, symbolSize: 9, z: 2,
      itemStyle: { color: "transparent", borderColor: colours.mutedPoint, borderWidth: 1.2, opacity: 0.8 } }] : []),
    { id: "front", name: "On the front", type: "scatter", symbolSize: 15, z: 4,
      data: front.map((point) => (point.trial.knee ? { ...point, label: label("knee") } : point)),
      itemStyle: { borderColor: colours.card, borderWidth: 1.5, color: choice.colour.of ? colours.ramp[2] : mixerColour } },
    ...references.map((point, index) => ({
      id: `reference-${point.trial.number}`, name: point.trial.label || `Reference #${point.trial.number}`, type: "scatter", z: 5,
      data: [point], symbol: Loopfront.REFERENCE_SYMBOLS[index % Loopfront.REFERENCE_SYMBOLS.length], symbolSize: 15,
      itemStyle: { color: colours.mark, borderColor: colours.card, borderWidth: 1.5 } })),
    { id: "whiskers", type: "custom", renderItem: Loopfront.whiskers, data: [...front, ...references].map((p) => p.value),
      encode: { x: [0, 3, 4], y: [1, 5, 6] }, silent: true, z: 3, itemStyle: { color: colours.soft }, clip: true },
    { id: "staircase", name: "Best of these two", type: "line", data: Loopfront.staircase(allowed, choice), silent: true, symbol: "none", z: 1,
      step: choice.x.direction === "maximize" ? "start" : "end", lineStyle: { color: colours.soft, type: [4, 4], width: 1.2 }, itemStyle: { color: colours.soft } },
    { id: "chosen", type: "scatter", data: all.filter((p) => p.trial.number === chosen).map((p) => p.value), silent: true, z: 6,
      symbolSize: 25, itemStyle: { color: "transparent", borderColor: colours.accent, borderWidth: 2.5 } },
  ] };
};

Loopfront.scatterOption = (report, choice, chosen, width) => {
  const colours = Loopfront.colours();
  const narrow = width < 560;
  const { front, series } = Loopfront.scatterSeries(report, choice, chosen, colours);
  const base = Loopfront.base(colours);
  return {
    ...base,
    grid: { left: 8, right: narrow || !choice.colour.of ? 14 : 76, top: 62, bottom: narrow ? 74 : 34, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    legend: {
      type: "scroll", top: 0, left: 0, right: 8, itemHeight: 11, itemWidth: 14, itemGap: 14, inactiveColor: colours.line,
      textStyle: { color: colours.soft, fontSize: 12 }, pageIconSize: 10, pageIconColor: colours.accent, pageIconInactiveColor: colours.line,
      pageTextStyle: { color: colours.soft }, data: series.filter((each) => each.name).map((each) => each.name) },
    tooltip: { ...base.tooltip, trigger: "item", formatter: (params) => (params.data?.trial ? Loopfront.trialTooltip(report, params.data.trial) : "") },
    xAxis: Loopfront.scatterAxis(choice.x, colours, true, narrow),
    yAxis: Loopfront.scatterAxis(choice.y, colours, false, narrow),
    visualMap: Loopfront.colourScale(front, choice, colours, narrow),
    series,
  };
};

// As few digits as tell an axis' labels apart, never more than its values have.
Loopfront.axisDigits = (axis, values) => {
  const known = values.filter(Number.isFinite);
  const step = known.length ? (Math.max(...known) - Math.min(...known)) / 5 : 0;
  return Math.min(axis.digits, step > 0 ? Math.max(0, Math.ceil(-Math.log10(step))) : 2);
};

Loopfront.parallelOption = (report, chosen, width) => {
  const colours = Loopfront.colours();
  const narrow = width < 620;
  const axes = report.columns.filter((column) => column.is_objective);
  const rows = (trials) => trials.map((trial) => ({ value: axes.map((axis) => trial.cells[axis.name]?.value ?? "-"), trial }));
  const measured = Loopfront.measured(report);
  const outside = measured.filter((trial) => trial.violations?.length);
  const digits = (axis) => Loopfront.axisDigits(axis, measured.map((trial) => trial.cells[axis.name]?.value));
  const line = (id, name, trials, style) => ({
    id, name, type: "parallel", data: rows(trials), lineStyle: { ...style }, inactiveOpacity: 0.04, activeOpacity: style.opacity, smooth: 0.04, z: style.z,
    emphasis: { lineStyle: { width: 4, opacity: 1 } } });
  const base = Loopfront.base(colours);
  return {
    ...base,
    tooltip: { ...base.tooltip, trigger: "item", formatter: (params) => (params.data?.trial ? Loopfront.trialTooltip(report, params.data.trial) : "") },
    legend: { bottom: 0, itemHeight: 3, itemWidth: 18, textStyle: { color: colours.soft }, inactiveColor: colours.line, data: ["On the front", "Beaten", ...(outside.length ? [Loopfront.OUTSIDE] : []), "References"] },
    parallel: narrow ? { layout: "vertical", left: 22, right: 30, top: 26, bottom: 50 } : { left: 60, right: 90, top: 46, bottom: 50 },
    parallelAxis: axes.map((axis, dim) => ({
      dim, type: "value", scale: true, inverse: axis.direction === "minimize", name: Loopfront.metricTitle(axis), nameGap: narrow ? 8 : 16,
      // The upper end of an axis that is turned upside down is its start.
      nameLocation: narrow === (axis.direction === "minimize") ? "end" : "start",
      ...Loopfront.axisLook(colours), splitNumber: narrow ? 3 : 4,
      nameTextStyle: { color: colours.ink, fontSize: 12, ...(narrow ? { align: "left", verticalAlign: "bottom", padding: [0, 0, 5, 0] } : { align: "center" }) },
      axisLabel: { color: colours.soft, fontSize: 11, textBorderColor: colours.card, textBorderWidth: 3, formatter: (value) => Loopfront.number(value, digits(axis)) },
      areaSelectStyle: { width: 18, color: colours.accent, borderColor: colours.accent, opacity: 0.2 } })),
    series: [
      line("parallel-beaten", "Beaten", measured.filter((t) => !t.on_front && !t.violations?.length && t.number !== chosen), { color: colours.mutedPoint, opacity: 0.35, width: 1 }),
      ...(outside.length ? [line("parallel-outside", Loopfront.OUTSIDE, outside.filter((t) => t.number !== chosen), { color: colours.mutedPoint, opacity: 0.35, width: 1, type: [2, 4] })] : []),
      line("parallel-front", "On the front", measured.filter((t) => t.on_front && t.number !== chosen), { color: colours.accent, opacity: 0.75, width: 1.8 }),
      line("parallel-references", "References", Loopfront.references(report).filter((t) => t.number !== chosen), { color: colours.mark, opacity: 0.85, width: 1.8, type: [6, 4] }),
      line("parallel-chosen", "Chosen", report.trials.filter((t) => t.number === chosen && t.state === "measured"), { color: colours.raw, opacity: 1, width: 3.5 }),
    ],
  };
};
