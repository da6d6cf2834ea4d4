// Why a front looks as it does. It takes seconds to compute: it is asked for once the reader comes near it.

import { get, part } from "../api.js";
import { h, show } from "../dom.js";
import { percent, words } from "../format.js";

const TITLE = "Why the front looks as it does";
const TOLD = 8;

export class Why {
  constructor() {
    this.element = h("section", { class: "card", hidden: true });
  }

  whenSeen(job) {
    if (this.observer || !["succeeded", "failed", "interrupted"].includes(job.status)) return;
    this.element.hidden = false;
    const say = (...told) => show(this.element, h("h2", {}, TITLE), told);
    say(h("p", { class: "muted" }, "Computed when you get here…"));
    this.observer = new IntersectionObserver(async ([seen]) => {
      if (!seen.isIntersecting) return;
      this.observer.disconnect();
      try {
        say(explained(await get(`/jobs/${part(job.id)}/explanation`)));
      } catch (error) {
        say(h("p", { class: "muted" }, error.message));
      }
    });
    this.observer.observe(this.element);
  }

  close() {
    this.observer?.disconnect();
  }
}

function explained({ importance, shared, members, evaluations }) {
  return [
    h("p", { class: "muted" }, `Follows from ${evaluations} evaluations: the share of each gene in how much an objective changes.`),
    importances(importance),
    h("ul", {}, shared.slice(0, TOLD).map((each) => h("li", {}, `${words(each.gene)}${each.layer === null ? "" : ` of layer ${each.layer}`} is ${each.option} in ${percent(each.on_front)} of the front (${percent(each.elsewhere)} elsewhere)`))),
    h("ul", {}, members.slice(0, TOLD).map((each) => h("li", {}, h("code", {}, each.digest.slice(0, 8)), each.best_in.length ? ` best in ${each.best_in.map(words).join(", ")};` : "", ` ${percent(each.contribution, 1)} of the hypervolume is its alone`))),
  ];
}

function importances(importance) {
  const objectives = Object.keys(importance);
  const genes = [...new Set(objectives.flatMap((name) => Object.keys(importance[name])))];
  const most = (gene) => Math.max(...objectives.map((name) => importance[name][gene] ?? 0));
  genes.sort((a, b) => most(b) - most(a));
  const share = (name, gene) => percent(importance[name][gene] ?? 0);
  return h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Importance of genes" }, h("table", {},
    h("thead", {}, h("tr", {}, ["gene", ...objectives.map(words)].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, genes.map((gene) => h("tr", {}, h("th", { scope: "row" }, words(gene)),
      objectives.map((name) => h("td", {}, h("span", { class: "meter" }, h("i", { style: { width: share(name, gene) } })), share(name, gene))))))));
}
