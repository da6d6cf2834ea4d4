// Keeps the screen on, and tells when the page is hidden: browsers slow down what nobody looks at.

export class Awake {
  // hidden, shown: called when nobody, or somebody, looks at the page; warn: with a text, or null where all is well.
  constructor({ hidden, shown, warn }) {
    Object.assign(this, { lock: null, warn });
    document.addEventListener("visibilitychange", async () => {
      if (document.visibilityState === "hidden") return hidden();
      await this.hold();
      shown();
    });
  }

  // Browsers let go of the lock when the page is hidden, and may refuse it on a low battery.
  async hold() {
    if (!navigator.wakeLock) return;
    try {
      this.lock = await navigator.wakeLock.request("screen");
      this.warn(null);
      this.lock.addEventListener("release", () => { if (document.visibilityState === "visible") this.warn("The screen may go dark: the browser let go of the wake lock."); });
    } catch (error) {
      this.warn(`The screen may go dark: the browser refused a wake lock (${error.message}).`);
    }
  }
}
