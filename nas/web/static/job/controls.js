// What a front is of: which target, or all robustly, and which objective quality is drawn over.

import { part } from "../api.js";
import { h } from "../dom.js";
import { percent, target as readable } from "../format.js";
import { setState, state } from "../main.js";
import { medianMiss, members } from "../points.js";
import { measuredIn } from "./axes.js";

export function tiles(front, { objective, ratio }) {
  const measured = [[measuredIn(front.points, objective).length, "measured"], [medianMiss(members(front), objective), "median miss of predictions"]];
  const facts = [
    [front.evaluated.toLocaleString(), "evaluated"], [members(front).length, "on the front"],
    ...(ratio ? [] : measured), [percent(front.hypervolume.value, 1), "hypervolume"],
  ];
  return h("dl", { class: "tiles" }, facts.map(([value, name]) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value))));
}

export function controls(job, axes, axis) {
  return h("div", { class: "controls" },
    job.targets.length > 1 ? targetChoice(job) : null, axes.length > 1 ? axisChoice(axes, axis) : null,
    h("span", { class: "spacer" }), h("span", { class: "muted" }, "All candidates: "),
    ["csv", "json"].map((kind) => h("a", { class: "button quiet", href: `/api/jobs/${part(job.id)}/front.${kind}`, download: `${job.id}.${kind}` }, kind.toUpperCase())));
}

function targetChoice(job) {
  const value = state().view === "robust" ? "robust" : state().target ?? "";
  const change = ({ target: { value: chosen } }) => {
    const robust = chosen === "robust";
    setState({ view: robust ? "robust" : null, target: robust ? null : chosen, budget: null, x: null });
  };
  return h("label", {}, "Front for", h("select", { id: "target", onchange: change },
    option("", "all targets together", value), job.targets.map((each) => option(each, readable(each).short, value)), option("robust", "robust: the worst of all targets", value)));
}

function axisChoice(axes, axis) {
  return h("label", {}, "Quality over", h("select", { id: "axis", onchange: (event) => setState({ x: event.target.value, budget: null }) },
    axes.map((each) => option(each.id, each.title, axis.id))));
}

const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);
