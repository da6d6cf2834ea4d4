// One job: where it stands, and what it found, as both change.

import { get, getBytes, part, query } from "../api.js";
import { loadPlotly } from "../chart.js";
import { parseCloud } from "../cloud.js";
import { announce, h, show } from "../dom.js";
import { Head } from "../job/head.js";
import { Log } from "../job/log.js";
import { Results } from "../job/results.js";
import { Why } from "../job/why.js";
import { follow } from "../live.js";
import { showFailure, state } from "../main.js";
import { profileCards } from "../profiles.js";
import { Progress } from "../progress.js";

const REFRESH_MS = 2500;
const LAST_EVENTS = 800;
const PAGE = 500; // events that one answer holds at most
const FOUND_IN = ["search", "verify", "finalists"]; // stages whose events change a front

export async function open(main, id) {
  loadPlotly(); // the largest of what a chart needs: while all else is asked for
  const view = new JobView(main, await get(`/jobs/${part(id)}`));
  await view.start();
  return { changed: () => view.draw(), close: () => view.close() };
}

class JobView {
  constructor(main, job) {
    Object.assign(this, { job, front: null, cloud: null, results: null, closed: false, timer: null });
    this.path = `/jobs/${part(job.id)}`;
    this.progress = new Progress(job.stages);
    this.head = new Head(this.progress, (changed, verb) => this.actedOn(changed, verb));
    this.body = h("div", { class: "job-body" });
    this.why = new Why();
    this.log = new Log();
    show(main, this.head.element, this.body, this.why.element, this.log.element);
  }

  async start() {
    this.head.draw(this.job);
    await Promise.all([this.loadEvents(), this.loadFound()]);
    this.follow();
    this.draw().then(() => this.loadCloud());
    this.ticking = setInterval(() => this.head.drawStages(), 1000);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.ticking);
    this.why.close();
  }

  // What there is
  async loadEvents() {
    let after = Math.max(0, this.job.last_event - LAST_EVENTS);
    for (;;) {
      const { events } = await get(`${this.path}/events?after=${after}`);
      for (const event of events) this.take(event);
      if (events.length < PAGE) break;
      after = events.at(-1).sequence;
    }
  }

  // A job that ends before its search has no front.
  loadFound() {
    return this.job.stages.includes("search") ? this.loadFront() : this.loadProfiles();
  }

  async loadProfiles() {
    this.profiles = await get(`${this.path}/profile`);
  }

  // Which front the address asks for.
  asked() {
    const { target, view } = state();
    if (this.job.targets.length === 1) return "";
    return view === "robust" ? query({ robust: 1 }) : query({ target });
  }

  async loadFront() {
    const asked = this.asked();
    this.front = await get(`${this.path}/front${asked}`);
    this.loaded = asked;
  }

  async loadCloud() {
    if (!this.front?.evaluated) return;
    try {
      this.cloud = parseCloud(await getBytes(`${this.path}/cloud`));
    } catch {
      return; // the front is there without it
    }
    if (!this.closed) await this.results?.drawCandidates(this.cloud);
  }

  // What happens
  take(event) {
    this.last = event.sequence;
    this.progress.take(event);
    this.log.take(event);
  }

  follow() {
    follow(query({ job: this.job.id, after: this.last ?? 0 }), {
      event: (event) => {
        this.take(event);
        this.head.drawStages();
        if (event.kind !== "progress") this.refreshJob();
        if (FOUND_IN.includes(event.stage)) this.refreshSoon();
      },
      over: () => { this.refreshJob(); this.refreshSoon(); },
    });
  }

  actedOn(job, verb) {
    this.job = job;
    if (verb === "resume") this.follow();
    this.head.draw(job);
  }

  async refreshJob() {
    const before = this.job.status;
    this.job = await get(this.path).catch(() => this.job);
    if (before !== this.job.status) announce(`${this.job.id} is ${this.job.status}`);
    if (!this.closed) this.head.draw(this.job);
  }

  refreshSoon() {
    if (this.timer || this.closed) return;
    this.timer = setTimeout(async () => {
      this.timer = null;
      try {
        await this.loadFound();
        if (!this.closed) await this.draw();
        await this.loadCloud();
      } catch {
        // The next event tries again.
      }
    }, REFRESH_MS);
  }

  // What it found
  async draw() {
    if (this.front && this.asked() !== this.loaded) {
      try {
        await this.loadFront();
      } catch (error) {
        return showFailure(error);
      }
    }
    this.results = null;
    if (!this.front) return show(this.body, profileCards(this.profiles));
    if (!this.front.points.length) return show(this.body, nothing(this.front.evaluated));
    this.results = new Results(this.job, this.front);
    show(this.body, this.results.elements);
    await this.results.draw(this.cloud);
    this.why.whenSeen(this.job);
  }
}

function nothing(evaluated) {
  const [title, text] = evaluated
    ? ["Nothing is within what was asked", `None of ${evaluated} candidates meets the bounds.`]
    : ["No architecture has been evaluated yet", "The front appears here as soon as the search begins."];
  return h("section", { class: "card empty" }, h("h2", {}, title), h("p", { class: "muted" }, text));
}
