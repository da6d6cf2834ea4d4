// What quality can be drawn over: a job's objectives as axes, or the worst ratio where a front is robust.
// An axis: {id, objective, title, of(point) → number or null, ratio, column of the cloud}.

import { key } from "../cloud.js";
import { target as readable } from "../format.js";
import { known, label, latencyOf } from "../points.js";

export function axesOf(front, asked) {
  if (front.robust) {
    return [{ id: "ratio", objective: { name: "latency_ms", unit: "", target: null }, title: "worst latency ÷ best on that target", of: (point) => front.robust.worst_ratio[point.digest] ?? null, ratio: true }];
  }
  const shown = front.targets.includes(asked) ? asked : front.targets[0];
  const others = front.objectives.filter((o) => o.name !== "quality" && !(o.name.startsWith("latency_ms") && o.target === shown));
  return [latencyOf(shown), ...others].map((objective) => ({
    id: `${objective.name}${objective.target ?? ""}`, objective, ratio: false,
    title: titleOf(front, objective, shown),
    of: (point) => known(point, objective)?.best ?? null,
    column: key(objective.name.split("@")[0], objective.target),
  }));
}

const UNITS = { ms: ", ms", bytes: ", bytes" };

function titleOf(front, objective, shown) {
  const on = objective.target && objective.target !== shown ? ` on ${readable(objective.target).device}` : "";
  return `${label(front, objective)}${UNITS[objective.unit] ?? ""}${on}`;
}

export const axisName = (front, axis) => (axis.ratio ? "the worst latency" : label(front, axis.objective));

// Points whose value in an axis was asked of a device, and what the predictor had said of it.
export const measuredIn = (points, objective) => points.filter((point) => {
  const value = known(point, objective);
  return value && !value.exact && value.measured !== null;
});
