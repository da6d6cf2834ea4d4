// A front, linked: chart, budget, table and details show the same chosen architecture.

import { get, part, query } from "../api.js";
import { h } from "../dom.js";
import { legend } from "../look.js";
import { setState, state } from "../main.js";
import { members, within } from "../points.js";
import { AccuracyChart } from "./accuracychart.js";
import { axesOf } from "./axes.js";
import { Budget } from "./budget.js";
import { controls, tiles } from "./controls.js";
import { Details } from "./details.js";
import { FrontChart } from "./frontchart.js";
import { Listing } from "./listing.js";
import { VolumeChart } from "./volumechart.js";

export class Results {
  constructor(job, front) {
    Object.assign(this, { job, front });
    const axes = axesOf(front, state().target);
    const axis = axes.find((each) => each.id === state().x) ?? axes[0];
    const drawn = members(front).filter((point) => axis.of(point) > 0);
    const ends = [Math.min(...drawn.map(axis.of)), Math.max(...drawn.map(axis.of))];
    const bound = front.objectives.find((o) => o.name === axis.objective.name && o.target === axis.objective.target)?.bound;
    this.budget = Number(state().budget) || bound || ends[1];
    this.chosen = this.point(state().point) ?? within(front.points, axis.of, front, this.budget) ?? drawn[0] ?? front.points[0];

    const url = (point) => `/jobs/${part(job.id)}/points/${point.digest}${query({ target: state().target })}`;
    const choose = (digest) => this.chooseDigest(digest);
    this.details = new Details(job.id, front, axes, url);
    this.listing = new Listing(front, axes, { choose: (point) => this.choose(point), url });
    this.chart = new FrontChart(job.id, front, axis, { choose, rows: () => this.listing.rows() });
    this.volume = axis.ratio ? null : new VolumeChart(job.id, front, axis);
    this.accuracy = axis.ratio ? null : new AccuracyChart(job.id, front, axis, choose);
    const slider = new Budget(front, axis, ends, this.budget, (budget, best) => {
      setState({ budget: Number(budget.toPrecision(5)), point: null }, { draw: false });
      this.budget = budget;
      this.mark(best);
    });
    this.elements = [
      tiles(front, axis), controls(job, axes, axis),
      h("div", { class: "split" }, h("div", {}, this.chart.element, slider.element), this.details.element),
      legend(front.points.map((point) => point.architecture)),
      axis.ratio ? null : h("div", { class: "pair" }, this.volume.element, this.accuracy.element), this.listing.element,
    ];
  }

  // Once the elements stand in the page: charts need to know their width.
  async draw(cloud) {
    this.listing.draw(this.chosen.digest);
    this.details.show(this.chosen);
    await this.drawCandidates(cloud);
    await this.accuracy?.draw();
  }

  // What comes later, every candidate, changes two of the charts.
  async drawCandidates(cloud) {
    await this.chart.draw(cloud, this.budget, this.chosen);
    await this.volume?.draw(cloud);
  }

  point(digest) {
    return this.front.points.find((point) => point.digest === digest);
  }

  async chooseDigest(digest) {
    if (!digest) return;
    const point = this.point(digest) ?? await get(`/jobs/${part(this.job.id)}/points/${digest}`).catch(() => null);
    if (point && this.chart.plot.isConnected) this.choose(point);
  }

  choose(point) {
    setState({ point: point.digest }, { draw: false });
    this.mark(point);
  }

  // The ring, the row and the details; nothing is ringed where nothing is within the budget.
  mark(point) {
    this.chosen = point ?? this.chosen;
    this.chart.mark(this.budget, point);
    if (point) this.details.show(point);
    this.listing.mark(point?.digest);
  }
}
