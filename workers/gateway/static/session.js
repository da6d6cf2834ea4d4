// One session with the service, through the gateway: joined with a link once, and by the browser's cookie again.

const ALIVE_MS = 3000;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function post(path, document) {
  const response = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(document ?? {}) });
  if (!response.ok) throw new Refused(response.status, (await response.json().catch(() => null))?.error ?? `the gateway answered ${response.status}`);
}

export const getSettings = async () => (await fetch("/settings")).json();

export class Session {
  // heard: {welcome, lease, cancel, drain, over}, each called with what the service said.
  static async join(capabilities, link, heard) {
    await post("/join", { ...capabilities, link });
    return new Session(heard);
  }

  constructor(heard) {
    this.heard = heard;
    this.stream = new EventSource("/leases");
    for (const name of ["welcome", "lease", "cancel", "drain"]) this.stream.addEventListener(name, ({ data }) => heard[name]?.(JSON.parse(data)));
    this.stream.addEventListener("over", ({ data }) => this.end(JSON.parse(data)));
    this.stream.addEventListener("error", () => this.end({ reason: "the gateway cannot be reached", again: true }));
    this.beat = setInterval(() => post("/alive").catch((error) => {
      if (error instanceof Refused) this.end({ reason: error.message, again: true });
    }), ALIVE_MS);
  }

  answer(lease, told) {
    return post("/answer", { lease_id: lease.lease_id, ...told }).catch((error) => {
      if (!(error instanceof Refused)) this.end({ reason: "the gateway cannot be reached", again: true });
      else throw error;
    });
  }

  // Gone for now, or for good: even a page that is being closed gets this out.
  leave(reason) {
    navigator.sendBeacon("/leave");
    this.end({ reason, again: false });
  }

  end(over) {
    if (this.over) return;
    this.over = over;
    clearInterval(this.beat);
    this.stream.close();
    this.heard.over(over);
  }
}
