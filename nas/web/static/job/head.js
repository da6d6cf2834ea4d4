// A job's head: what it is, what can be done with it, and where its stages stand.

import { part, post } from "../api.js";
import { announce, h, show } from "../dom.js";
import { duration, moment, percent } from "../format.js";
import { chip, reason } from "../status.js";

const VERBS = { queued: ["cancel"], running: ["interrupt", "cancel"], interrupted: ["resume", "cancel"], failed: ["resume", "cancel"], succeeded: [], cancelled: [] };

export class Head {
  // changed: called with the job after a verb, and the verb.
  constructor(progress, changed) {
    Object.assign(this, { progress, changed, job: null });
    this.element = h("div");
    this.problem = h("p", { class: "problem", role: "alert" });
    this.stages = h("ol", { class: "stages", "aria-label": "Stages" });
  }

  draw(job) {
    this.job = job;
    const buttons = VERBS[job.status].map((verb) => h("button", { type: "button", class: verb === "resume" ? "primary" : null, onclick: () => this.act(verb) }, verb[0].toUpperCase() + verb.slice(1)));
    show(this.problem);
    show(this.element,
      h("div", { class: "view-head" },
        h("div", {}, h("h1", {}, job.id, " ", chip(job.status)),
          h("p", { class: "muted" }, `${job.space}${job.task ? ` on ${job.task}` : ""}${job.stages.at(-1) === "profile" ? ", profiling only" : ""} · submitted ${moment(job.created_at)}`)),
        h("div", { class: "actions" }, buttons)),
      this.problem, reason(job, this.progress), this.stages);
    this.drawStages();
  }

  async act(verb) {
    try {
      this.changed(await post(`/jobs/${part(this.job.id)}/${verb}`), verb);
    } catch (error) {
      announce(error.message);
      show(this.problem, error.message);
    }
  }

  drawStages() {
    show(this.stages, [...this.progress.stages.values()].map((stage) => this.stage(stage)));
  }

  stage(stage) {
    const done = this.job.status === "succeeded" || stage.ended;
    const live = stage.started && !stage.ended && this.job.status === "running";
    const share = done ? 1 : stage.total ? stage.done / stage.total : 0;
    const ended = stage.ended ?? (live ? this.progress.now() : this.progress.at);
    return h("li", { class: done ? "done" : live ? "live" : stage.started ? "stopped" : "waiting", "aria-current": live ? "step" : null },
      h("div", { class: "stage-name" }, h("b", {}, stage.name), h("span", { class: "muted" }, stage.started ? duration(Math.max(0, ended - stage.started)) : "")),
      h("progress", { max: 1, value: share, "aria-label": `${stage.name}: ${percent(share)}` }),
      h("div", { class: "stage-note" }, live ? this.pace(stage) : done ? "done" : stage.started ? "stopped" : "waits"));
  }

  pace(stage) {
    const left = this.progress.remaining(stage);
    return [stage.total ? `${Math.round(stage.done)}/${Math.round(stage.total)} ` : "", left === null ? "" : `· ${duration(left)} left`];
  }
}
