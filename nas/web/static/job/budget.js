// The slider that asks a front: what is the best within this budget?

import { h, show } from "../dom.js";
import { quality, quantity, words } from "../format.js";
import { scoreOf, unit, within } from "../points.js";
import { axisName } from "./axes.js";

const STEPS = 1000;

// Even steps of the logarithm between the least and the largest value of the front's members.
export class Budget {
  // moved: called with the budget and the best point within it, which may be none.
  constructor(front, axis, ends, at, moved) {
    Object.assign(this, { front, axis, ends });
    this.slider = h("input", { type: "range", id: "budget", min: 0, max: STEPS, step: 1, value: this.step(at) });
    this.says = h("output", { for: "budget", id: "budget-says" });
    this.element = h("div", { class: "card budget" }, h("label", { for: "budget" }, `Budget: ${axis.ratio ? "worst ratio" : axisName(front, axis)}`), this.slider, this.says);
    this.slider.addEventListener("input", () => {
      const budget = ends[0] * (ends[1] / ends[0]) ** (this.slider.value / STEPS) * (1 + 1e-9);
      moved(budget, this.say(budget));
    });
    this.say(at);
  }

  step(at) {
    const [low, high] = this.ends.map(Math.log);
    const inside = Math.min(Math.max(at, this.ends[0]), this.ends[1]);
    return high > low ? Math.round((STEPS * (Math.log(inside) - low)) / (high - low)) : STEPS;
  }

  say(budget) {
    const { front, axis } = this;
    const best = within(front.points, axis.of, front, budget);
    const reached = best ? `${words(front.quality.metric)} ${quality(scoreOf(best, front))}` : null;
    const asked = [quantity(budget, axis.objective.unit), unit(axis.objective)].filter(Boolean).join(" ");
    this.slider.setAttribute("aria-valuetext", `${asked}: ${reached ? `best ${reached}` : "nothing is within it"}`);
    show(this.says, h("b", {}, `≤ ${asked}`), ` → ${reached ?? "nothing is within it"}`);
    return best;
  }
}
