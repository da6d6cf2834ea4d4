// How good predictors are, on architectures that they never saw.

import { h } from "./dom.js";
import { percent, target as readable } from "./format.js";

const NAMES = ["target", "space", "predictor", "measured", "held out", "mean error", "±10%", "±5%", "Spearman", "90% interval"];

export function profileCards(profiles) {
  if (!profiles.length) return h("section", { class: "card empty" }, h("h2", {}, "Nothing was profiled yet"));
  return h("section", { class: "card" }, h("h2", {}, "Predictors, on architectures that they never saw"),
    h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Predictors" }, h("table", {},
      h("thead", {}, h("tr", {}, NAMES.map((name, at) => h("th", { scope: "col", class: at > 2 ? "number" : null }, name)))),
      h("tbody", {}, profiles.map(row)))));
}

function row(each) {
  const numbers = [each.measured, each.held_out, percent(each.mape, 1), percent(each.within_10), percent(each.within_5), each.spearman.toFixed(3), percent(each.coverage_90)];
  return h("tr", {}, h("th", { scope: "row" }, readable(each.target).short), h("td", {}, each.space ?? ""), h("td", {}, each.predictor),
    numbers.map((value) => h("td", { class: "number" }, value)));
}
