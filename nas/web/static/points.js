// What is known of points, and the traces that draw them.

import { bytes, count, percent, quality, quantity, words } from "./format.js";
import { colour, describeLayer, dominant, mark } from "./look.js";
import { token } from "./chart.js";

// What a point's document says in one objective: {best, predicted, predicted_std, measured, measured_std}.
export function known(point, objective) {
  if (objective.name === "quality") return single(point.quality?.validation);
  const raw = point[objective.name.split("@")[0]];
  const value = objective.target && raw && typeof raw === "object" ? raw[objective.target] : raw;
  if (value === null || value === undefined || (typeof value === "object" && value.predicted === undefined)) return null;
  return typeof value === "number" ? single(value) : { ...value, best: value.measured ?? value.predicted };
}

// On the validation split: of the files that targets run, the worst, where number formats change what is scored; else once
// trained alone, measured or predicted, where that is known.
export function scoreOf(point, front, split = "validation") {
  const known = Object.values(point.quality?.converted ?? {}).map((file) => file[split]).filter(Boolean);
  const scores = known.map((value) => value.measured ?? value.predicted);
  if (scores.length) return sign(front) > 0 ? Math.max(...scores) : Math.min(...scores);
  const delivered = split === "validation" ? point.quality?.delivered : null;
  if (delivered) return delivered.measured ?? delivered.predicted;
  return point.quality?.[split] ?? null;
}

// A score of weights of a point's own: measured, or ~predicted±deviation.
export function saidOf(value) {
  if (!value) return null;
  return value.measured === null ? `~${quality(value.predicted)}±${quality(value.predicted_std)}` : quality(value.measured);
}

const single = (value) => (value === null || value === undefined ? null : { best: value, predicted: value, measured: null, exact: true });

export function latencyOf(target) {
  return { name: "latency_ms", unit: "ms", direction: "min", target };
}

export const sign = (front) => (front.quality.direction === "min" ? 1 : -1);
export const members = (front) => front.points.filter((point) => point.on_front);

// Those that no other beats in the two things that are drawn, from the least value on.
export function staircase(points, of, front) {
  const steps = [];
  const drawn = points.map((point) => [of(point), scoreOf(point, front), point]).filter(([x, y]) => x > 0 && y !== null);
  drawn.sort((a, b) => a[0] - b[0] || sign(front) * (a[1] - b[1]));
  for (const step of drawn) if (!steps.length || sign(front) * step[1] < sign(front) * steps.at(-1)[1]) steps.push(step);
  return steps;
}

// The best point whose value is within the budget; null where none is.
export function within(points, of, front, budget) {
  const inside = points.filter((point) => of(point) !== null && of(point) <= budget && scoreOf(point, front) !== null);
  return inside.reduce((best, point) =>
    !best || sign(front) * scoreOf(point, front) < sign(front) * scoreOf(best, front) ? point : best, null);
}

export function hover(point, front, objective, job) {
  const value = known(point, objective);
  const lines = [
    point.preset ? `★ ${point.preset}` : point.digest,
    `${words(front.quality.metric)} ${quality(scoreOf(point, front))}` + (point.quality.test === null ? "" : ` (test ${quality(scoreOf(point, front, "test"))})`),
    value && `${label(front, objective)} ${quantity(value.best, objective.unit)} ${unit(objective)}${value.exact ? "" : value.measured === null ? " predicted" : ` measured, ${quantity(value.predicted, objective.unit)} predicted`}`,
    typeof point.parameters === "number" && `${count(point.parameters)} parameters, ${bytes(point.state_bytes)} of state`,
    job && `from ${job}`,
    "",
    ...point.architecture.layers.map((layer, at) => `${at + 1}  ${describeLayer(layer)}`),
  ];
  return lines.filter((line) => line !== false && line !== null && line !== undefined).map(escape).join("<br>");
}

// Plotly reads a few tags in its labels: names that look like one are shown as they are.
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const label = (front, objective) => front.labels?.[objective.name.split("@")[0]]?.label ?? words(objective.name.split("@")[0]);
export const unit = (objective) => (objective.unit === "ms" ? "ms" : "");

export function pointTraces(front, objective, { x, chosen, jobs, showPresets = true }) {
  const value = x ?? ((point) => known(point, objective)?.best ?? null);
  const drawable = front.points.filter((point) => value(point) > 0 && scoreOf(point, front) !== null);
  const onFront = drawable.filter((point) => point.on_front);
  const steps = staircase(onFront, value, front);
  const traces = [{
    x: steps.map(([at]) => at), y: steps.map(([, at]) => at), mode: "lines", hoverinfo: "skip", showlegend: false,
    line: { color: token("accent"), width: 2, shape: "hv" },
  }];
  const groups = Map.groupBy ? Map.groupBy(onFront, (point) => dominant(point.architecture)) : group(onFront);
  for (const [name, points] of [...groups].sort(([a], [b]) => a.localeCompare(b))) {
    traces.push(scatter(name === "none" ? "no mixer" : `mostly ${name}`, points, value, front, objective, jobs, {
      marker: { size: 11, color: name === "none" ? token("muted") : colour(name), symbol: mark(name), line: { color: token("surface"), width: 1.5 } },
      ...(x ? {} : { error_x: whiskers(points, objective) }),
    }));
  }
  const presets = showPresets ? drawable.filter((point) => point.preset) : [];
  if (presets.length) {
    traces.push(scatter("published design", presets, value, front, objective, jobs, {
      mode: "markers+text", ...placed(presets, value, (point) => scoreOf(point, front), onFront.filter((point) => !point.preset)),
      textfont: { size: 11, color: token("preset") }, cliponaxis: false,
      marker: { size: 13, symbol: "star", color: token("preset"), line: { color: token("surface"), width: 1 } },
    }));
  }
  if (chosen && value(chosen) > 0) {
    traces.push({
      x: [value(chosen)], y: [scoreOf(chosen, front)], mode: "markers", hoverinfo: "skip", showlegend: false,
      marker: { size: 24, symbol: "circle-open", color: token("ink"), line: { width: 2.5, color: token("ink") } },
    });
  }
  return traces;
}

function group(points) {
  const groups = new Map();
  for (const point of points) {
    const name = dominant(point.architecture);
    groups.set(name, [...(groups.get(name) ?? []), point]);
  }
  return groups;
}

// Names beside their marks, where they cover neither a mark nor another name; hovering tells the others.
function placed(points, value, score, others) {
  const [xs, ys] = [[...points, ...others].map((point) => Math.log(value(point))), [...points, ...others].map(score)];
  const scale = (values, size) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (at) => ((at - low) / (high - low || 1)) * size;
  };
  const width = Math.min(720, innerWidth * 0.72);
  const [across, up] = [scale(xs, width), scale(ys, 330)];
  const place = (point) => [across(Math.log(value(point))), -up(score(point))];
  const taken = [...points, ...others].map(place).map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]);
  const labels = points.map((point) => {
    const [x, y] = place(point);
    const wide = 6.2 * point.preset.length;
    const boxes = [["middle right", x + 9, y - 7], ["middle left", x - 9 - wide, y - 7], ["top center", x - wide / 2, y - 22], ["bottom center", x - wide / 2, y + 9]];
    for (const [side, left, top] of boxes) {
      const box = [left, top, left + wide, top + 14];
      if (box[0] < 0 || box[2] > width + 20) continue;
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      return [point.preset, side];
    }
    return ["", "middle right"];
  });
  return { text: labels.map(([name]) => name), textposition: labels.map(([, side]) => side) };
}

function scatter(name, points, value, front, objective, jobs, extra) {
  return {
    name, mode: "markers", x: points.map(value), y: points.map((point) => scoreOf(point, front)),
    customdata: points.map((point) => point.digest),
    hovertext: points.map((point) => hover(point, front, objective, jobs?.[point.digest])), hoverinfo: "text", ...extra,
  };
}

// From what was measured to what had been predicted.
function whiskers(points, objective) {
  const misses = points.map((point) => {
    const value = known(point, objective);
    return value && value.measured !== null ? value.predicted - value.best : 0;
  });
  return {
    symmetric: false, array: misses.map((miss) => Math.max(miss, 0)), arrayminus: misses.map((miss) => Math.max(-miss, 0)),
    color: token("muted"), thickness: 1.2, width: 4,
  };
}

export function medianMiss(points, objective) {
  const misses = points.map((point) => known(point, objective)).filter((value) => value && value.measured !== null && !value.exact)
    .map((value) => Math.abs(value.predicted - value.measured) / value.measured).sort((a, b) => a - b);
  return misses.length ? percent(misses[Math.floor(misses.length / 2)], 1) : "–";
}
