// The architectures of a front as rows: a table beside the chart, and what is saved of it.

import { h, show } from "../dom.js";
import { bytes, count, quality, quantity, words } from "../format.js";
import { describeLayer, strip } from "../look.js";
import { setState, state } from "../main.js";
import { known, saidOf, scoreOf } from "../points.js";
import { table } from "../table.js";

export class Listing {
  // choose: called with the point whose row is clicked; url: of a point's own page.
  constructor(front, axes, { choose, url }) {
    Object.assign(this, { front, axes, choose, columns: columnsOf(front, axes, url) });
    this.element = h("section", { class: "card" });
  }

  draw(selected) {
    show(this.element, h("div", { class: "card-head" }, h("h2", {}, "Architectures")), table({
      caption: "Architectures on the front, and published designs", columns: this.columns, rows: this.front.points, id: (point) => point.digest, selected,
      text: (point) => [point.digest, point.preset ?? "", point.on_front ? "front" : "off", ...point.architecture.layers.map(describeLayer)].join(" "),
      state: { sort: state().sort ?? this.axes[0].id, filter: state().filter },
      change: (changes, quiet) => { setState(changes, { draw: false }); if (!quiet) this.draw(state().point); },
      select: this.choose,
    }));
  }

  mark(digest) {
    for (const row of this.element.querySelectorAll("tr[data-id]")) row.classList.toggle("chosen", row.dataset.id === digest);
  }

  rows() {
    const columns = this.columns.filter((column) => column.key !== "layers");
    const names = [...columns.map((column) => column.label || column.key), "on_front", "architecture"];
    return [names, ...this.front.points.map((point) => [
      ...columns.map((column) => (column.key === "design" ? point.preset : column.value(point))), point.on_front, JSON.stringify(point.architecture),
    ])];
  }
}

function columnsOf(front, axes, url) {
  const number = (name, label, value, said) => ({ key: name, label, value, cell: (point) => said(value(point)), number: true });
  return [
    { key: "layers", label: "layers", value: (point) => point.architecture.layers.length, cell: (point) => strip(point.architecture) },
    { key: "digest", label: "digest", value: (point) => point.digest, cell: (point) => h("a", { href: url(point) }, h("code", {}, point.digest.slice(0, 8))) },
    { key: "design", label: "design", value: (point) => point.preset ?? "~", cell: (point) => [point.preset ? h("span", { class: "star" }, `★ ${point.preset}`) : null, point.on_front ? null : h("span", { class: "muted" }, " off the front")] },
    { ...number("quality", words(front.quality.metric), (point) => scoreOf(point, front), quality), cell: (point) => (Object.keys(point.quality.converted ?? {}).length ? null : saidOf(point.quality.delivered)) ?? quality(scoreOf(point, front)) },
    ...(front.points.some((point) => point.quality.delivered) ? [number("supernet", "supernet's weights", (point) => point.quality.validation, quality)] : []),
    ...(front.points.some((point) => point.quality.fine_tuned) ? [number("fine_tuned", "fine-tuned", (point) => point.quality.fine_tuned?.measured ?? null, quality)] : []),
    number("test", "test", (point) => scoreOf(point, front, "test"), quality),
    ...axes.map((axis) => ({ key: axis.id, label: axis.title, value: axis.of, number: true, cell: (point) => cellOf(axis, point) })),
    ...(front.points.some((point) => point.tuned) ? [number("tuned", "trained alone, test", (point) => point.tuned?.test, quality)] : []),
    number("parameters", "parameters", (point) => point.parameters, count),
    number("state", "state", (point) => point.state_bytes, bytes),
  ];
}

function cellOf(axis, point) {
  const value = known(point, axis.objective);
  const shown = quantity(axis.of(point), axis.objective.unit);
  return value && !value.exact && value.measured === null && !axis.ratio ? h("span", { title: "predicted" }, `~${shown}`) : shown;
}
