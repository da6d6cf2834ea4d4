// How the dominated share of the box grew with every candidate.

import { CONFIG, axis as axisOf, card, layout, loadPlotly, token } from "../chart.js";
import { hypervolumes, key, span } from "../cloud.js";
import { sign } from "../points.js";
import { axisName } from "./axes.js";

export class VolumeChart {
  constructor(job, front, axis) {
    Object.assign(this, { front, axis, grown: [] });
    Object.assign(this, card("Hypervolume over evaluations", {
      name: `${job}-hypervolume`, height: 260, note: `Share of the box that quality and ${axisName(front, axis)} dominate.`,
      rows: () => [["candidates", "hypervolume"], ...this.grown],
    }));
  }

  async draw(cloud) {
    const [x, y] = [cloud?.values.get(this.axis.column), cloud?.values.get(key("quality"))];
    const [xs, ys] = [x && span(x), y && span(y)];
    if (!xs || !ys) return;
    const better = sign(this.front);
    this.grown = hypervolumes(x, y, better, { x: xs, y: better > 0 ? ys : [-ys[1], -ys[0]] });
    const Plotly = await loadPlotly();
    if (!this.plot.isConnected) return;
    const trace = {
      x: this.grown.map(([n]) => n), y: this.grown.map(([, share]) => share), mode: "lines", hovertemplate: "after %{x} candidates: %{y:.1%}<extra></extra>",
      line: { shape: "hv", color: token("accent"), width: 2 }, fill: "tozeroy", fillcolor: token("tint"),
    };
    await Plotly.react(this.plot, [trace], layout({
      showlegend: false, margin: { l: 52, r: 12, t: 8, b: 44 },
      xaxis: axisOf("candidates evaluated", { rangemode: "tozero" }), yaxis: axisOf("", { tickformat: ".0%", rangemode: "tozero" }),
    }), CONFIG);
  }
}
