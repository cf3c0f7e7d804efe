// The charts that say how far to trust the rest: gain of the search, quiet of the machine, repeats, raw samples.
"use strict";

Loopfront.lineAxes = (colours, xName, yName, xType = "value") => ({
  grid: { left: 8, right: 18, top: 40, bottom: 30, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
  xAxis: { type: xType, name: xName, nameLocation: "middle", nameGap: 28, minInterval: 1, max: "dataMax", ...Loopfront.axisLook(colours) },
  yAxis: { type: "value", scale: true, name: yName, ...Loopfront.axisLook(colours), nameTextStyle: { color: colours.soft, align: "left" } },
});

Loopfront.hypervolumeOption = (report) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const steps = report.hypervolume.map((point, index) => [index + 1, point.value, point.trial]);
  return {
    ...base,
    ...Loopfront.lineAxes(colours, "trials told", "hypervolume"),
    tooltip: { ...base.tooltip, trigger: "axis", formatter: ([p]) => `after trial #${p.value[2]}: ${Loopfront.number(p.value[1], 4)}` },
    series: [{ type: "line", step: "end", data: steps, symbol: "circle", symbolSize: 5, lineStyle: { color: colours.accent, width: 2 },
      itemStyle: { color: colours.accent }, areaStyle: { color: colours.accent, opacity: 0.1 } }],
  };
};

Loopfront.median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

// Both phases on one axis: each as a percentage of its quiet calibration, or of the session's median without one.
Loopfront.sentinelSeries = (report, phase, device) => {
  const points = report.sentinel.filter((point) => Number.isFinite(point[`${phase}_ms`]) && (!point.target || !device || point.target === device.target));
  const reference = device?.[`sentinel_${phase}_ms`] ?? Loopfront.median(points.map((point) => point[`${phase}_ms`]));
  return points.map((point) => ({ value: [point.order, 100 * point[`${phase}_ms`] / reference], point }));
};

Loopfront.sentinelOption = (report) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const devices = report.devices.length ? report.devices : [undefined];
  const looks = { prefill: { symbol: "circle", color: colours.raw }, decode: { symbol: "diamond", color: colours.paired } };
  const series = devices.flatMap((device) => Object.entries(looks).map(([phase, look]) => ({
    name: devices.length > 1 ? `${phase} on ${device.target}` : phase, type: "line", data: Loopfront.sentinelSeries(report, phase, device),
    symbol: look.symbol, symbolSize: 7, itemStyle: { color: look.color }, lineStyle: { color: look.color, width: 1.4, opacity: 0.75 } })));
  if (series.length) series[0].markLine = { silent: true, symbol: "none", data: [{ yAxis: 100 }], label: { formatter: "quiet", position: "insideEndTop", color: colours.soft }, lineStyle: { color: colours.soft, type: "dashed" } };
  const warmth = report.sentinel.filter((point) => point.temperature_c !== null);
  const axes = Loopfront.lineAxes(colours, "measurements in the order of the session", "% of quiet");
  const tooltip = ({ data: { point } = {} }) => {
    if (!point) return "";
    const warm = point.temperature_c === null ? "" : `, ${Loopfront.number(point.temperature_c, 0)} °C`;
    return Loopfront.node("div", "tooltip", `${point.label}: prefill ${Loopfront.number(point.prefill_ms, 1)} ms, decode ${Loopfront.number(point.decode_ms, 2)} ms${warm}`);
  };
  if (warmth.length) {
    axes.yAxis = [axes.yAxis, { type: "value", scale: true, name: "°C", ...Loopfront.axisLook(colours), splitLine: { show: false } }];
    series.push({ name: "temperature", type: "line", yAxisIndex: 1, symbol: "none", data: warmth.map((point) => [point.order, point.temperature_c]), lineStyle: { color: colours.knee, type: "dotted" }, itemStyle: { color: colours.knee } });
  }
  return { ...base, ...axes, legend: { top: 0, right: 0, textStyle: { color: colours.soft } }, tooltip: { ...base.tooltip, trigger: "item", formatter: tooltip }, series };
};

Loopfront.repeatOption = (report, metric) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const column = report.columns.find((each) => each.name === metric) || { digits: 2, label: metric, unit: "" };
  const rows = report.repeatability.filter((row) => row.metric === metric && row.pairs.length);
  const values = rows.flatMap((row) => row.pairs.flat());
  const span = [Math.min(...values), Math.max(...values)];
  const pad = 0.06 * (span[1] - span[0] || 1);
  const axis = { type: "value", min: span[0] - pad, max: span[1] + pad, splitNumber: 3, ...Loopfront.axisLook(colours),
    axisLabel: { color: colours.soft, fontSize: 10, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: (v) => Loopfront.number(v, v >= 100 ? 0 : 1) } };
  const points = (kind) => rows.filter((row) => row.kind === kind).flatMap((row) => row.pairs);
  const series = (kind, symbol, style) => ({ name: kind, type: "scatter", data: points(kind), symbol, symbolSize: 8, itemStyle: style });
  return {
    ...base,
    title: { text: Loopfront.metricTitle(column), textStyle: { fontSize: 12, fontWeight: 600, color: colours.ink }, left: 0, top: 0 },
    legend: { top: 18, left: 0, itemHeight: 9, itemWidth: 12, textStyle: { color: colours.soft, fontSize: 11 }, data: ["raw", "paired"] },
    grid: { left: 4, right: 10, top: 44, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    tooltip: { ...base.tooltip, trigger: "item", formatter: (p) => Loopfront.node("div", "tooltip", `${p.seriesName}: first ${Loopfront.number(p.value[0], column.digits)}, second ${Loopfront.number(p.value[1], column.digits)} ${column.unit}`) },
    xAxis: axis,
    yAxis: axis,
    series: [
      { type: "line", silent: true, symbol: "none", data: [[axis.min, axis.min], [axis.max, axis.max]], lineStyle: { color: colours.line, width: 1.2 } },
      series("raw", "circle", { color: "transparent", borderColor: colours.raw, borderWidth: 1.6 }),
      series("paired", "circle", { color: colours.paired, opacity: 0.95 }),
    ],
  };
};

// One slot per block; the samples of a block stand side by side in it.
Loopfront.sampleDots = (phase, key, shift) => phase.blocks.flatMap((block, slot) =>
  block[key].map((milliseconds, index) => ({
    value: [slot + shift + 0.36 * ((index + 0.5) / block[key].length - 0.5), milliseconds], block })));

Loopfront.processLines = (phase, colours) => phase.blocks.flatMap((block, slot) =>
  (slot && block.process !== phase.blocks[slot - 1].process ? [{ xAxis: slot - 0.5, lineStyle: { color: colours.line } }] : []));

Loopfront.samplesOption = (phase) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const axes = Loopfront.lineAxes(colours, "", "ms");
  const dots = (name, key, shift, symbol, colour) => ({ name, type: "scatter", data: Loopfront.sampleDots(phase, key, shift), symbol, symbolSize: 5, itemStyle: { color: colour, opacity: 0.8 } });
  const tooltip = (p) => Loopfront.node("div", "tooltip", `${p.seriesName}: ${Loopfront.number(p.value[1], 3)} ms in process ${p.data.block.process + 1}, block ${p.data.block.block + 1}`);
  const candidate = dots("candidate", "candidate_ms", -0.2, "circle", colours.paired);
  candidate.markLine = { silent: true, symbol: "none", label: { show: false }, data: Loopfront.processLines(phase, colours) };
  return {
    ...base, ...axes,
    title: { text: `${phase.phase} on ${phase.target}`, left: 0, top: 0, textStyle: { fontSize: 13, color: colours.ink } },
    grid: { ...axes.grid, top: 54 },
    xAxis: { ...axes.xAxis, min: -0.6, max: phase.blocks.length - 0.4, axisLabel: { show: false }, splitLine: { show: false } },
    legend: { top: 20, right: 0, itemWidth: 12, textStyle: { color: colours.soft } },
    tooltip: { ...base.tooltip, trigger: "item", formatter: tooltip },
    series: [candidate, dots("sentinel", "sentinel_ms", 0.2, "diamond", colours.raw)],
  };
};

Loopfront.ratioOption = (phase) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const axes = Loopfront.lineAxes(colours, "blocks, in the order in which they were taken", "candidate / sentinel");
  const ratios = phase.blocks.map((block) => Loopfront.median(block.candidate_ms) / Loopfront.median(block.sentinel_ms));
  return {
    ...base, ...axes,
    xAxis: { ...axes.xAxis, nameGap: 12, min: -0.6, max: phase.blocks.length - 0.4, splitLine: { show: false }, axisLabel: { show: false } },
    yAxis: { ...axes.yAxis, splitNumber: 3 },
    tooltip: { ...base.tooltip, trigger: "item", formatter: (p) => `ratio ${Loopfront.number(p.value[1], 4)}` },
    series: [{ type: "scatter", data: ratios.map((ratio, slot) => [slot, ratio]), symbolSize: 7, itemStyle: { color: colours.ink },
      markLine: { silent: true, symbol: "none", data: [{ yAxis: Loopfront.median(ratios), lineStyle: { color: colours.accent } }, ...Loopfront.processLines(phase, colours)], label: { show: false } } }],
  };
};
