// Where the stages of a job stand, from its events; the estimate is of the pace since a stage began to count.

export class Progress {
  constructor(stages) {
    this.stages = new Map(stages.map((name) => [name, { name, started: null, ended: null, done: 0, total: 0, message: "", first: null }]));
    this.note = "";
    this.at = 0;
    this.heard = performance.now();
  }

  take(event) {
    [this.at, this.heard] = [event.time, performance.now()];
    if (event.kind === "note") this.note = event.message;
    const stage = this.stages.get(event.stage);
    if (!stage) return;
    if (event.kind === "stage" && event.message === "ended") [stage.ended, stage.done] = [event.time, stage.total];
    else if (event.kind === "stage") [stage.started, stage.ended, stage.first] = [event.time, null, null];
    else if (event.kind === "progress") {
      if (!stage.first || event.total !== stage.total || event.done < stage.done) stage.first = [event.done, event.time];
      Object.assign(stage, { done: event.done, total: event.total, message: event.message });
      stage.started ??= event.time;
    }
  }

  // By the service's clock, which may differ from this machine's.
  now() {
    return this.at + (performance.now() - this.heard) / 1000;
  }

  remaining(stage, now = this.now()) {
    if (!stage.first || stage.ended || stage.done <= stage.first[0]) return null;
    const pace = Math.max(0, now - stage.first[1]) / (stage.done - stage.first[0]);
    return pace * Math.max(0, stage.total - stage.done);
  }

  running() {
    return [...this.stages.values()].find((stage) => stage.started && !stage.ended) ?? null;
  }
}
