// What happened in a job, the newest first.

import { h } from "../dom.js";

const KEPT = 300;

export class Log {
  constructor() {
    this.list = h("ol", { class: "log" });
    this.element = h("details", { class: "card" }, h("summary", {}, "What happened"), this.list);
  }

  take(event) {
    if (event.kind === "progress") return;
    const text = event.kind === "status" ? `is ${event.message}` : event.message;
    this.list.prepend(h("li", {}, h("time", {}, new Date(event.time * 1000).toLocaleTimeString()), h("b", {}, event.stage ?? "job"), h("span", {}, text)));
    while (this.list.childElementCount > KEPT) this.list.lastChild.remove();
  }
}
