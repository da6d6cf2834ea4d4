// What the predictor said of each architecture before the device was asked, against what the device said.

import { CONFIG, card, layout, loadPlotly, logAxis, token } from "../chart.js";
import { hover, known, unit } from "../points.js";
import { measuredIn } from "./axes.js";

const BAND = 0.05;

export class AccuracyChart {
  // choose: called with the digest that is clicked.
  constructor(job, front, axis, choose) {
    const measured = measuredIn(front.points, axis.objective);
    Object.assign(this, { front, measured, choose, objective: axis.objective });
    Object.assign(this, card("Predicted against measured", {
      name: `${job}-predictions`, height: 260, rows: () => this.rows(),
      note: measured.length ? "What the predictor said before the device was asked; the band is ±5%." : "Nothing was measured of this yet.",
    }));
  }

  rows() {
    const values = this.measured.map((point) => [point.digest, known(point, this.objective)]);
    return [["digest", "predicted", "measured"], ...values.map(([digest, value]) => [digest, value.predicted, value.measured])];
  }

  async draw() {
    const { front, measured, objective, plot } = this;
    if (!measured.length) return;
    const Plotly = await loadPlotly();
    if (!plot.isConnected) return;
    const values = measured.map((point) => known(point, objective));
    const all = values.flatMap((value) => [value.predicted, value.measured]);
    const [low, high] = [Math.min(...all) * 0.9, Math.max(...all) * 1.1];
    const band = [low * (1 - BAND), high * (1 - BAND), high * (1 + BAND), low * (1 + BAND)];
    const marker = {
      size: 8, line: { color: token("surface"), width: 1 },
      color: measured.map((point) => token(point.preset ? "preset" : "accent")), symbol: measured.map((point) => (point.preset ? "star" : "circle")),
    };
    await Plotly.react(plot, [
      { x: [low, high, high, low], y: band, mode: "lines", fill: "toself", fillcolor: token("tint"), line: { width: 0 }, hoverinfo: "skip" },
      { x: [low, high], y: [low, high], mode: "lines", line: { color: token("muted"), width: 1, dash: "dot" }, hoverinfo: "skip" },
      { x: values.map((value) => value.predicted), y: values.map((value) => value.measured), mode: "markers", marker, customdata: measured.map((point) => point.digest),
        hoverinfo: "text", hovertext: measured.map((point) => hover(point, front, objective)) },
    ], layout({
      showlegend: false, margin: { l: 56, r: 12, t: 8, b: 44 },
      xaxis: logAxis(`predicted${unit(objective) ? `, ${unit(objective)}` : ""}`, all), yaxis: logAxis("measured", all),
    }), CONFIG);
    plot.on("plotly_click", ({ points: [hit] }) => this.choose(hit.customdata));
  }
}
