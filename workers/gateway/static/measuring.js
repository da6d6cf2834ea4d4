// A lease measured in a fresh module worker. It ends with an answer for the service, or with none: cancelled.

const LONGEST_MS = 280_000; // the service takes a measurement away after 300 s

const usual = new Map(); // by what the reference does: what a call of it takes, milliseconds, see measureworker.js

export class Measuring {
  constructor(lease, files, settings) {
    this.lease = lease;
    this.worker = new Worker("/static/measureworker.js", { type: "module" });
    const unit = JSON.stringify([lease.runtime, lease.threads, lease.beside]);
    this.answer = new Promise((done) => { this.done = done; });
    this.worker.addEventListener("message", ({ data: { usual: now, ...answer } }) => {
      if (now) usual.set(unit, now);
      this.end(answer);
    });
    this.worker.addEventListener("error", (event) => this.fail(`the measuring worker failed: ${event.message ?? "it did not load"}`));
    this.timer = setTimeout(() => this.fail(`the measurement took longer than ${LONGEST_MS / 1000} s`), LONGEST_MS);
    this.worker.postMessage({ lease, ...files, usual: usual.get(unit), fallbackAdapters: settings.fallback_adapters });
  }

  // The device's fault, not the model's: another try may succeed.
  fail(reason) {
    this.end({ failure: { reason, retryable: true } });
  }

  cancel() {
    this.end(null);
  }

  end(answer) {
    clearTimeout(this.timer);
    this.worker.terminate();
    this.done(answer);
  }
}
