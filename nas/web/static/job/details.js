// The architecture that is chosen, beside the chart.

import { h, show } from "../dom.js";
import { extractButton } from "../extract.js";
import { bytes, count, quality, quantity, words } from "../format.js";
import { strip } from "../look.js";
import { known, saidOf, scoreOf } from "../points.js";

export class Details {
  // url: of a point's own page.
  constructor(job, front, axes, url) {
    Object.assign(this, { job, front, axes, url });
    this.element = h("aside", { class: "card details", "aria-label": "Chosen architecture" });
  }

  show(point) {
    const button = extractButton(this.job, point.digest);
    show(this.element, h("h2", {}, point.preset ? h("span", { class: "star" }, `★ ${point.preset}`) : h("code", {}, point.digest.slice(0, 8)),
      point.on_front ? h("span", { class: "chip succeeded" }, "on the front") : null),
      strip(point.architecture), h("p", { class: "muted" }, `width ${point.architecture.width}, ${point.architecture.layers.length} layers`),
      h("dl", { class: "facts-list" }, this.facts(point).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h("p", { class: "buttons" }, h("a", { class: "button", href: this.url(point) }, "Layers"), button.element), button.problem);
  }

  facts(point) {
    return [
      [words(this.front.quality.metric), `${quality(scoreOf(point, this.front))}${point.quality.test === null ? "" : `, test ${quality(scoreOf(point, this.front, "test"))}`}`],
      ...this.axes.map((axis) => [axis.title, `${quantity(axis.of(point), axis.objective.unit)}${howKnown(axis, point)}`]),
      ...[["supernet's weights", point.quality.delivered ? quality(point.quality.validation) : null], ["fine-tuned", saidOf(point.quality.fine_tuned)], ["delivered", saidOf(point.quality.delivered)]].filter(([, said]) => said),
      ["quality measured", (point.quality.fidelities ?? []).join(", ") || "–"],
      ...(point.tuned ? [["trained alone", `test ${quality(point.tuned.test)}`]] : []),
      ["parameters", count(point.parameters)], ["state", bytes(point.state_bytes)], ["MACs", count(point.macs)],
    ];
  }
}

function howKnown(axis, point) {
  const value = known(point, axis.objective);
  if (!value || value.exact || axis.ratio) return "";
  return value.measured === null ? " predicted" : ` measured, ${quantity(value.predicted, axis.objective.unit)} predicted`;
}
