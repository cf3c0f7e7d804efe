// The two charts of a device's profile: what each mixer costs in short convs, and how fast known shapes run.
"use strict";

Loopfront.profilePlace = (cost, wide) => {
  const tokens = Loopfront.number(cost.tokens, 0);
  const [what, link] = cost.place.split(" ");
  return wide ? `${what} ${link} ${tokens}` : `${what}\n${tokens}`;
};

Loopfront.shortNumber = (value) => {
  const size = Math.abs(value);
  return Loopfront.number(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
};

// A label has little room: two digits say what is dear.
Loopfront.timesLabel = (value) => (value === 1 ? "1" : `×${Loopfront.number(value, value >= 9.95 ? 0 : 1)}`);

// Grouped bars have no place of their own on a category axis, so whiskers find theirs among the bars' siblings.
Loopfront.whiskers = (index, count, costs, colours) => ({
  type: "custom", silent: true, z: 5, tooltip: { show: false },
  data: costs.map((cost, place) => [place, cost.ratio?.low ?? NaN, cost.ratio?.high ?? NaN]),
  renderItem: (params, api) => {
    if (!Number.isFinite(api.value(1)) || api.value(2) / api.value(1) < 1.0001) return undefined;
    const layout = api.barLayout({ count, barGap: "12%", barCategoryGap: "22%" })[index];
    const [x, low] = api.coord([api.value(0), api.value(1)]);
    const [, high] = api.coord([api.value(0), api.value(2)]);
    const middle = x + layout.offsetCenter;
    const half = Math.min(5, layout.width / 4);
    const style = { stroke: colours.ink, lineWidth: 1.3 };
    const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style });
    return { type: "group", children: [line(middle, low, middle, high), line(middle - half, low, middle + half, low), line(middle - half, high, middle + half, high)] };
  },
});

Loopfront.mixerTooltip = (row, cost) => {
  const { node, shortNumber } = Loopfront;
  const box = node("div", "tooltip", node("strong", "", `${row.name}, ${Loopfront.profilePlace(cost, true)} tokens`));
  const line = (name, cell, unit) => {
    if (!cell) return;
    const range = cell.low !== null && cell.low !== cell.high ? `${shortNumber(cell.low)}–${shortNumber(cell.high)}` : "";
    box.append(node("tr", "", node("th", "", name), node("td", "number", node("strong", "", `${shortNumber(cell.value)}${unit}`)), node("td", "number soft", range)));
  };
  line("short convs", cost.ratio, "");
  line("per layer", cost.milliseconds, " ms");
  if (cost.bandwidth_share) line("of bandwidth", { value: 100 * cost.bandwidth_share.value, low: null }, " %");
  return box;
};

Loopfront.mixerCostOption = (report, width) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const wide = width > 620;
  const rows = report.mixers;
  const places = rows[0]?.costs ?? [];
  const known = rows.flatMap((row) => row.costs.flatMap((cost) => (cost.ratio ? [cost.ratio.value, cost.ratio.low, cost.ratio.high] : [])));
  const low = Math.min(0.5, ...known), high = Math.max(2, ...known);
  const bars = rows.map((row) => ({
    name: row.name, type: "bar", barGap: "12%", barCategoryGap: "22%", itemStyle: { color: Loopfront.mixerColour(row.code), borderRadius: [3, 3, 0, 0] },
    data: row.costs.map((cost) => ({ value: cost.ratio?.value ?? null, row, cost })),
    label: { show: wide, position: "top", distance: 9, color: colours.ink, fontSize: 11, fontWeight: 600, formatter: (p) => (p.data.cost.ratio ? Loopfront.timesLabel(p.value) : "") },
  }));
  if (bars.length) bars[0].markLine = { silent: true, symbol: "none", data: [{ yAxis: 1 }], label: { show: false }, lineStyle: { color: colours.soft, type: "dashed", width: 1 } };
  return {
    ...base,
    grid: { left: 6, right: 10, top: 34, bottom: 6, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    tooltip: { ...base.tooltip, trigger: "item", formatter: (p) => (p.data?.cost ? Loopfront.mixerTooltip(p.data.row, p.data.cost) : "") },
    xAxis: { type: "category", data: places.map((cost) => Loopfront.profilePlace(cost, wide)), ...Loopfront.axisLook(colours), axisTick: { show: false },
      axisLabel: { color: colours.ink, fontSize: wide ? 13 : 11, interval: 0, margin: 12, lineHeight: 15 } },
    yAxis: { type: "log", min: 2 ** Math.floor(Math.log2(low)), max: 2 ** Math.ceil(Math.log2(high * 1.25)), logBase: 2, name: "× short conv",
      ...Loopfront.axisLook(colours), nameTextStyle: { color: colours.soft, align: "left" }, axisLabel: { color: colours.soft, formatter: (v) => Loopfront.number(v, v < 1 ? 1 : 0) } },
    series: [...bars, ...rows.map((row, index) => Loopfront.whiskers(index, rows.length, row.costs, colours))],
  };
};

Loopfront.shapeTitle = (row) => (row.outcome && row.outcome !== "measured" ? `${row.name}\n${row.outcome.replaceAll("_", " ")}` : row.name);

// Three panels share the list of shapes: side by side, or one below the other where there is no room.
Loopfront.shapePanels = (report, colours) => [
  { title: "prefill, tokens/s", colour: colours.raw, of: (row) => row.prefill_per_second?.value ?? null, digits: 0 },
  { title: "decode, tokens/s", colour: colours.accent, of: (row) => row.decode_per_second?.value ?? null, digits: 1,
    ceiling: (row) => (row.bandwidth_share ? row.decode_per_second.value / row.bandwidth_share.value : null),
    words: (row) => (row.bandwidth_share ? `  ${Loopfront.number(100 * row.bandwidth_share.value, 0)} % of bandwidth` : "") },
  { title: "peak RSS, MB", colour: colours.mutedPoint, of: (row) => row.peak_rss_mb?.value ?? null, digits: 0 },
];

Loopfront.shapeGrids = (count, wide) => (wide
  ? [{ left: 118, width: "19%" }, { left: "33%", width: "42%" }, { left: "79%", width: "20%" }].map((each) => ({ ...each, top: 34, bottom: 8 }))
  : [0, 1, 2].map((index) => ({ left: 104, right: 8, top: `${5 + index * 33}%`, height: "25%" })));

Loopfront.shapeSpeedOption = (report, width) => {
  const colours = Loopfront.colours();
  const base = Loopfront.base(colours);
  const wide = width > 760;
  const rows = [...report.shapes].reverse();
  const panels = Loopfront.shapePanels(report, colours);
  const grids = Loopfront.shapeGrids(panels.length, wide);
  const bar = (panel, index) => {
    const common = { type: "bar", xAxisIndex: index, yAxisIndex: index, barWidth: wide ? 22 : 14 };
    const digits = (value) => (value >= 100 ? 0 : panel.digits);
    const solid = { ...common, z: 3, name: panel.title, itemStyle: { color: panel.colour, borderRadius: [0, 3, 3, 0] },
      data: rows.map((row) => ({ value: panel.of(row), row })) };
    const label = (row) => (panel.of(row) === null ? "" : `{b|${Loopfront.number(panel.of(row), digits(panel.of(row)))}}${wide && panel.words ? `{s|${panel.words(row)}}` : ""}`);
    const rich = { b: { color: colours.ink, fontWeight: 650, fontSize: 12.5 }, s: { color: colours.soft, fontSize: 11.5 } };
    const outer = panel.ceiling
      ? { ...common, z: 2, barGap: "-100%", silent: true, itemStyle: { color: echarts.color.modifyAlpha(panel.colour, 0.2), borderRadius: [0, 3, 3, 0] },
        data: rows.map((row) => Math.max(panel.ceiling(row) ?? 0, panel.of(row) ?? 0) || null) }
      : { ...common, z: 2, barGap: "-100%", silent: true, itemStyle: { color: "transparent" }, data: rows.map((row) => panel.of(row)) };
    outer.label = { show: true, position: "right", rich, formatter: (p) => label(rows[p.dataIndex]) };
    return [outer, solid];
  };
  // Behind the longest bar there is room for its words.
  const room = (panel) => (wide && panel.words ? 1.5 : 1.3);
  const most = (panel) => room(panel) * Math.max(1, ...rows.flatMap((row) => [panel.of(row) ?? 0, panel.ceiling?.(row) ?? 0]));
  return {
    ...base,
    title: panels.map((panel, index) => ({ text: panel.title, left: wide ? grids[index].left : 104, top: wide ? 4 : `${index * 33}%`, padding: 0,
      textStyle: { fontSize: 12.5, fontWeight: 600, color: colours.soft } })),
    grid: grids,
    tooltip: { ...base.tooltip, trigger: "item", formatter: (p) => (p.data?.row ? `${p.seriesName}: ${Loopfront.shortNumber(p.value)}` : "") },
    xAxis: panels.map((panel, index) => ({ type: "value", gridIndex: index, min: 0, max: most(panel), show: false })),
    yAxis: panels.map((_, index) => ({ type: "category", gridIndex: index, data: rows.map(Loopfront.shapeTitle), axisLine: { lineStyle: { color: colours.line } },
      axisTick: { show: false }, axisLabel: { show: index === 0 || !wide, color: colours.ink, fontSize: 12.5, lineHeight: 15 } })),
    series: panels.flatMap(bar),
  };
};

Loopfront.showProfile = () => {
  const report = Loopfront.readReport();
  Loopfront.page.report = report;
  if (report.mixers.length) Loopfront.draw("mixer-costs", (width) => Loopfront.mixerCostOption(report, width));
  if (report.shapes.length) Loopfront.draw("shape-speeds", (width) => Loopfront.shapeSpeedOption(report, width));
};
