// The tables: sorting, finding, and the files that are made from the embedded rows on request.
"use strict";

Loopfront.sorts = new Map();

Loopfront.compareValues = (one, other) => {
  if (one === "" || other === "") return (one === "") - (other === "");
  const numeric = Number(one) - Number(other);
  return Number.isNaN(numeric) ? one.localeCompare(other) : numeric;
};

Loopfront.applySort = (table) => {
  const sort = Loopfront.sorts.get(table.id);
  if (!sort) return;
  const of = (row) => row.querySelector(`[data-column="${CSS.escape(sort.column)}"]`)?.dataset.value ?? "";
  const sign = sort.direction === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows];
  // A missing value stays last, whichever way the rest is turned.
  rows.sort((a, b) => (of(a) === "" || of(b) === "" ? 1 : sign) * Loopfront.compareValues(of(a), of(b)));
  table.tBodies[0].append(...rows);
  for (const button of table.querySelectorAll("[data-sort]")) {
    const heading = button.closest("th");
    if (button.dataset.sort === sort.column) heading.setAttribute("aria-sort", sort.direction);
    else heading.removeAttribute("aria-sort");
  }
};

Loopfront.toggleSort = (button) => {
  const table = button.closest("table");
  const before = Loopfront.sorts.get(table.id);
  const other = { ascending: "descending", descending: "ascending" };
  const again = before?.column === button.dataset.sort;
  const direction = again ? other[before.direction] : button.dataset.first;
  Loopfront.sorts.set(table.id, { column: button.dataset.sort, direction });
  Loopfront.applySort(table);
};

Loopfront.SHOWN = {
  all: () => true,
  front: (row) => row.dataset.front === "yes" && row.dataset.kind !== "reference",
  measured: (row) => row.dataset.state === "measured",
  reference: (row) => row.dataset.kind === "reference",
  failed: (row) => row.dataset.state === "failed",
};

Loopfront.applyFilter = (brushed) => {
  const table = document.getElementById("trials-table");
  if (!table) return;
  const words = document.getElementById("find").value.trim().toLowerCase();
  const shown = Loopfront.SHOWN[document.getElementById("show").value];
  let count = 0;
  for (const row of table.tBodies[0].rows) {
    const kept = shown(row) && row.dataset.words.toLowerCase().includes(words) && (!brushed || brushed.has(Number(row.dataset.trial)));
    row.hidden = !kept;
    count += kept;
  }
  document.getElementById("shown-count").textContent = `${count} of ${table.tBodies[0].rows.length} shown`;
};

// A text that a spreadsheet would run as a formula is kept as text.
Loopfront.csvField = (value) => {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

Loopfront.flatTrial = (trial, columns) => {
  const flat = { number: trial.number, kind: trial.kind, label: trial.label, layout: trial.layout, knee: trial.knee, on_front: trial.on_front,
    hidden_size: trial.hidden_size, ffn_widths: [...new Set(trial.blocks.map((block) => block.ffn_width))].join(" "),
    total_parameters: trial.total_parameters, effective_parameters: trial.effective_parameters, embedding_ratio: trial.embedding_ratio,
    recall_pattern: trial.recall_pattern, digest: trial.digest };
  for (const column of columns) {
    const cell = trial.cells[column.name] || {};
    Object.assign(flat, { [column.name]: cell.value, [`${column.name}.low`]: cell.low, [`${column.name}.high`]: cell.high, [`${column.name}.raw`]: cell.raw });
  }
  return flat;
};

Loopfront.csvText = (trials, columns) => {
  const rows = trials.map((trial) => Loopfront.flatTrial(trial, columns));
  const heads = Object.keys(rows[0] || {});
  return [heads, ...rows.map((row) => heads.map((head) => row[head]))].map((row) => row.map(Loopfront.csvField).join(",")).join("\r\n") + "\r\n";
};

Loopfront.DOWNLOADS = {
  "front-csv": (report) => ["front.csv", "text/csv", Loopfront.csvText(Loopfront.measured(report).filter((t) => t.on_front), report.columns)],
  "front-json": (report) => ["front.json", "application/json", JSON.stringify({
    study: report.name, columns: report.columns, reference_point: report.reference_point, front: Loopfront.measured(report).filter((t) => t.on_front) }, null, 1)],
  "trials-csv": (report) => ["trials.csv", "text/csv", Loopfront.csvText([...Loopfront.measured(report), ...Loopfront.references(report)], report.columns)],
};

Loopfront.download = (report, kind) => {
  const [name, type, text] = Loopfront.DOWNLOADS[kind](report);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${report.name.replace(/[^\w.-]+/g, "_")}-${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
