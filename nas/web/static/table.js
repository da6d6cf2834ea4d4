// A table that sorts and filters, in the URL's state; its rows are linked to a chart's points.

import { h, show } from "./dom.js";

// columns: {key, label, value(row), cell(row), number}; state: {sort, filter}, changed through `change`.
export function table({ caption, columns, rows, text, state, change, select, selected, id }) {
  const [key, down] = state.sort ? [state.sort.replace(/^-/, ""), state.sort.startsWith("-")] : [null, false];
  const body = h("tbody");
  const filter = h("input", {
    type: "search", value: state.filter ?? "", placeholder: "Filter: mixer, design, digest…", "aria-label": `Filter ${caption}`,
    oninput: () => { fillRows(filter.value); change({ filter: filter.value }, true); },
  });
  const counted = h("span", { class: "muted" });

  function fillRows(pattern) {
    const wanted = pattern.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter((row) => wanted.every((word) => text(row).toLowerCase().includes(word)));
    const column = columns.find((each) => each.key === key);
    if (column) {
      kept.sort((a, b) => {
        const [x, y] = [column.value(a), column.value(b)];
        if (x === null || x === undefined) return 1;
        if (y === null || y === undefined) return -1;
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
    }
    show(body, kept.map((row) => {
      const [first, ...rest] = columns;
      const chosen = selected !== undefined && id(row) === selected;
      return h("tr", { class: chosen ? "chosen" : null, "data-id": id(row), onclick: select ? () => select(row) : null },
        h("th", { scope: "row", class: first.number ? "number" : null }, first.cell(row)),
        rest.map((each) => h("td", { class: each.number ? "number" : null }, each.cell(row))));
    }));
    counted.textContent = kept.length === rows.length ? `${rows.length} rows` : `${kept.length} of ${rows.length} rows`;
  }

  const heads = columns.map((column) => h("th", {
    scope: "col", class: column.number ? "number" : null,
    "aria-sort": column.key === key ? (down ? "descending" : "ascending") : null,
  }, column.value
    ? h("button", { type: "button", class: "sort", onclick: () => change({ sort: column.key === key && !down ? `-${column.key}` : column.key }) },
      column.label, h("span", { class: "arrow", "aria-hidden": "true" }, column.key === key ? (down ? " ↓" : " ↑") : ""))
    : column.label));
  fillRows(state.filter ?? "");
  return h("div", { class: "table" },
    h("div", { class: "table-tools" }, filter, counted),
    h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": caption },
      h("table", {}, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, heads)), body)));
}
