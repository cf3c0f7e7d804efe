// The page itself: what is chosen, what is drawn where, and how news of a running study come in without a flicker.
"use strict";

Loopfront.page = { report: null, chosen: null, choice: { x: null, y: null, colour: null }, brush: new Map(), charts: new Map() };

Loopfront.chartIn = (element) => {
  const known = Loopfront.page.charts.get(element);
  if (known) return known;
  const chart = echarts.init(element, null, { renderer: "svg" });
  Loopfront.page.charts.set(element, chart);
  new ResizeObserver(() => { chart.resize(); chart.redraw?.(); }).observe(element);
  return chart;
};

Loopfront.draw = (id, optionOf) => {
  const element = typeof id === "string" ? document.getElementById(id) : id;
  if (!element) return null;
  const chart = Loopfront.chartIn(element);
  chart.redraw = () => chart.setOption(optionOf(element.clientWidth), { replaceMerge: ["series"] });
  chart.redraw();
  return chart;
};

Loopfront.currentChoice = () => {
  const { choice, report } = Loopfront.page;
  const metrics = Loopfront.metrics(report);
  const named = (name) => metrics.find((metric) => metric.name === name) || metrics[0];
  const colour = choice.colour === Loopfront.COLOUR_BY_MIXER ? {} : named(choice.colour);
  return { x: named(choice.x), y: named(choice.y), colour };
};

// At first: speed across, the score that should be high upwards, the other score as colour.
Loopfront.firstChoice = (report) => {
  const objectives = report.columns.filter((column) => column.is_objective);
  const find = (test, ...not) => (objectives.find((c) => test(c) && !not.includes(c)) || objectives.find((c) => !not.includes(c)) || report.columns[0]);
  const y = find((column) => column.direction === "maximize");
  const x = find((column) => column.name.startsWith("tpot_ms"), y);
  const colour = find((column) => column.is_proxy, x, y);
  return { x: x?.name, y: y?.name, colour: colour?.name };
};

Loopfront.fillChoices = () => {
  const { report, choice } = Loopfront.page;
  for (const role of ["x", "y", "colour"]) {
    const select = document.getElementById(`axis-${role}`);
    const options = Loopfront.metrics(report).map((metric) => new Option(Loopfront.metricTitle(metric), metric.name));
    if (role === "colour") options.push(new Option("Most frequent mixer", Loopfront.COLOUR_BY_MIXER));
    select.replaceChildren(...options);
    select.value = choice[role];
  }
};

Loopfront.drawFront = () => {
  const { report, chosen } = Loopfront.page;
  Loopfront.draw("scatter", (width) => Loopfront.scatterOption(report, Loopfront.currentChoice(), chosen, width));
  Loopfront.draw("parallel", (width) => Loopfront.parallelOption(report, chosen, width));
};

Loopfront.drawTrust = () => {
  const { report } = Loopfront.page;
  Loopfront.draw("hypervolume", () => Loopfront.hypervolumeOption(report));
  Loopfront.draw("sentinel", () => Loopfront.sentinelOption(report));
  const box = document.getElementById("repeats");
  const metrics = [...new Set(report.repeatability.filter((row) => row.pairs.length).map((row) => row.metric))];
  for (const metric of box ? metrics : []) {
    let element = [...box.children].find((child) => child.dataset.metric === metric);
    if (!element) {
      element = Loopfront.node("div", "chart");
      element.dataset.metric = metric;
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", `First against second measurement of ${metric}, raw and paired`);
      box.append(element);
    }
    Loopfront.draw(element, () => Loopfront.repeatOption(report, metric));
  }
};

Loopfront.drawSamples = (box, number) => {
  for (const phase of Loopfront.page.report.details[number]?.samples ?? []) {
    for (const [className, option] of [["chart", Loopfront.samplesOption], ["chart ratio", Loopfront.ratioOption]]) {
      const element = Loopfront.node("div", className);
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", `${className === "chart" ? "Samples" : "Ratios"} of ${phase.phase}`);
      box.append(element);
      Loopfront.draw(element, () => option(phase));
    }
  }
};

Loopfront.factsTable = (facts, caption) => {
  const table = Loopfront.node("table", "facts-table", Loopfront.node("caption", "", caption));
  for (const [name, text] of Object.entries(facts)) {
    const heading = Loopfront.node("th", "", name);
    heading.scope = "row";
    table.append(Loopfront.node("tr", "", heading, Loopfront.node("td", "", text)));
  }
  return table;
};

// Samples and passport of the chosen trial, drawn when they are asked for: a chart in a closed box has no size.
Loopfront.evidence = (number) => {
  const detail = Loopfront.page.report.details[number];
  if (!detail) return [];
  const box = Loopfront.node("div", "samples");
  const parts = [box, Loopfront.factsTable(detail.passport, "Passport")];
  if (Object.keys(detail.memory).length) parts.push(Loopfront.factsTable(detail.memory, "Memory"));
  const details = Loopfront.node("details", "", Loopfront.node("summary", "", "Raw samples and passport"), ...parts);
  details.addEventListener("toggle", () => { if (details.open && !box.childElementCount) Loopfront.drawSamples(box, number); });
  return [details];
};

Loopfront.forgetChartsIn = (element) => {
  for (const [place, chart] of Loopfront.page.charts) {
    if (!element.contains(place)) continue;
    chart.dispose();
    Loopfront.page.charts.delete(place);
  }
};

Loopfront.fillCard = () => {
  const card = document.getElementById("card");
  const template = document.getElementById(`card-${Loopfront.page.chosen}`);
  if (!card || !template || card.dataset.filled === template.innerHTML) return;
  Loopfront.forgetChartsIn(card);
  card.dataset.filled = template.innerHTML;
  card.replaceChildren(template.content.cloneNode(true), ...Loopfront.evidence(Loopfront.page.chosen));
};

Loopfront.markRows = () => {
  for (const row of document.querySelectorAll("tr[data-trial]")) {
    const chosen = Number(row.dataset.trial) === Loopfront.page.chosen;
    row.classList.toggle("chosen", chosen);
    row.querySelector(".pick")?.setAttribute("aria-pressed", String(chosen));
  }
};

Loopfront.choose = (number) => {
  Loopfront.page.chosen = number;
  Loopfront.fillCard();
  Loopfront.markRows();
  Loopfront.drawFront();
};

// Which trials pass every brushed axis; null while nothing is brushed.
Loopfront.brushed = () => {
  const { brush, report } = Loopfront.page;
  const axes = report.columns.filter((column) => column.is_objective);
  const limits = [...brush].filter(([, intervals]) => intervals.length);
  if (!limits.length) return null;
  const passes = (trial) => limits.every(([index, intervals]) => {
    const value = trial.cells[axes[index].name]?.value;
    return intervals.some(([low, high]) => value >= Math.min(low, high) && value <= Math.max(low, high));
  });
  return new Set(report.trials.filter((trial) => trial.state === "measured" && passes(trial)).map((trial) => trial.number));
};

Loopfront.filter = () => {
  const brushed = Loopfront.brushed();
  document.getElementById("brush-clear").hidden = !brushed;
  Loopfront.applyFilter(brushed);
};

Loopfront.clearBrush = () => {
  Loopfront.page.brush.clear();
  const element = document.getElementById("parallel");
  Loopfront.forgetChartsIn(element);
  Loopfront.drawFront();
  Loopfront.listenToCharts();
  Loopfront.filter();
};

Loopfront.listenToCharts = () => {
  const onClick = (params) => { if (params.data?.trial) Loopfront.choose(params.data.trial.number); };
  const scatter = Loopfront.page.charts.get(document.getElementById("scatter"));
  const parallel = Loopfront.page.charts.get(document.getElementById("parallel"));
  for (const chart of [scatter, parallel]) chart?.off("click");
  for (const chart of [scatter, parallel]) chart?.on("click", onClick);
  parallel?.on("axisareaselected", () => {
    parallel.getOption().parallelAxis.forEach((axis, index) => Loopfront.page.brush.set(index, axis.activeIntervals ?? []));
    parallel.getModel().eachComponent("parallelAxis", (axis, index) => Loopfront.page.brush.set(index, axis.activeIntervals.slice()));
    Loopfront.filter();
  });
};

Loopfront.listenToPage = () => {
  document.addEventListener("click", (event) => {
    const sort = event.target.closest("[data-sort]");
    const download = event.target.closest("[data-download]");
    const place = event.target.closest(".pick[data-trial], tr[data-trial]");
    if (sort) Loopfront.toggleSort(sort);
    else if (download) Loopfront.download(Loopfront.page.report, download.dataset.download);
    else if (event.target.closest("#brush-clear")) Loopfront.clearBrush();
    else if (place && !event.target.closest("a, summary")) Loopfront.choose(Number(place.dataset.trial));
  });
  document.addEventListener("change", (event) => {
    const role = /^axis-(x|y|colour)$/.exec(event.target.id)?.[1];
    if (role) { Loopfront.page.choice[role] = event.target.value; Loopfront.drawFront(); }
    if (event.target.id === "show") Loopfront.filter();
  });
  document.addEventListener("input", (event) => { if (event.target.id === "find") Loopfront.filter(); });
};

Loopfront.redrawAll = () => { for (const chart of Loopfront.page.charts.values()) chart.redraw?.(); };

// Paper is light and narrower than the screen: the drawings are scaled to it as they are.
Loopfront.printing = (isPrinting) => {
  document.documentElement.classList.toggle("printing", isPrinting);
  Loopfront.redrawAll();
  for (const [place, chart] of Loopfront.page.charts) {
    const drawing = place.querySelector("svg");
    if (isPrinting) drawing?.setAttribute("viewBox", `0 0 ${chart.getWidth()} ${chart.getHeight()}`);
    else drawing?.removeAttribute("viewBox");
  }
};

Loopfront.listenToColours = () => {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", Loopfront.redrawAll);
  addEventListener("beforeprint", () => Loopfront.printing(true));
  addEventListener("afterprint", () => Loopfront.printing(false));
};

Loopfront.showNews = () => {
  const { page } = Loopfront;
  page.report = Loopfront.readReport();
  const first = Loopfront.firstChoice(page.report);
  for (const role of ["x", "y", "colour"]) page.choice[role] ??= first[role];
  if (page.chosen === null) page.chosen = (page.report.trials.find((t) => t.knee) || page.report.trials.find((t) => t.on_front))?.number ?? null;
  Loopfront.fillChoices();
  Loopfront.fillCard();
  Loopfront.drawFront();
  Loopfront.drawTrust();
  Loopfront.listenToCharts();
  document.querySelectorAll("table[data-sortable]").forEach(Loopfront.applySort);
  Loopfront.filter();
  Loopfront.markRows();
};

// htmx fetches the page again and morphs it; what the reader chose, sorted and typed is put back in the same moment.
Loopfront.listenToNews = (show) => {
  const main = () => document.getElementById("main");
  const banner = (hidden) => { document.getElementById("connection").hidden = hidden; };
  document.addEventListener("htmx:before:request", (event) => { if (main().dataset.running !== "yes") event.preventDefault(); });
  // A failed answer also ends in "after:swap", of nothing.
  document.addEventListener("htmx:after:swap", (event) => {
    const failed = event.detail.ctx?.response?.status >= 400;
    banner(!failed);
    if (!failed) show();
  });
  document.addEventListener("htmx:error", () => banner(false));
};

Loopfront.start = () => {
  const kind = document.body.dataset.page;
  Loopfront.listenToColours();
  if (kind === "trial") {
    Loopfront.page.report = Loopfront.readReport();
    document.querySelectorAll("[data-samples]").forEach((box) => Loopfront.drawSamples(box, box.dataset.samples));
    return;
  }
  if (kind === "profile") {
    Loopfront.showProfile();
    if (document.getElementById("connection")) Loopfront.listenToNews(Loopfront.showProfile);
    return;
  }
  Loopfront.showNews();
  Loopfront.listenToPage();
  if (kind === "study") Loopfront.listenToNews(Loopfront.showNews);
};

Loopfront.start();
