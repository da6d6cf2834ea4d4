// Numbers, sizes and times as people read them; the same forms as in the terminal.

const DASH = "–";

export function bytes(size) {
  if (size === null || size === undefined) return DASH;
  for (const unit of ["B", "KiB", "MiB"]) {
    if (size < 1024) return unit === "B" || size >= 100 ? `${size.toFixed(0)} ${unit}` : `${size.toFixed(1)} ${unit}`;
    size /= 1024;
  }
  return `${size.toFixed(1)} GiB`;
}

export function count(value) {
  if (value === null || value === undefined) return DASH;
  for (const [suffix, scale] of [[" G", 1e9], [" M", 1e6], [" k", 1e3]]) {
    if (value >= scale) return `${Number((value / scale).toPrecision(3))}${suffix}`;
  }
  return `${Number(value.toPrecision(3))}`;
}

export function quantity(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  if (unit === "bytes") return bytes(value);
  if (unit === "ms") return value >= 100 ? value.toFixed(0) : value.toFixed(2);
  return value >= 1000 || Number.isInteger(value) ? count(value) : `${Number(value.toPrecision(3))}`;
}

export const quality = (value) => (value === null || value === undefined ? DASH : value.toFixed(3));
export const percent = (share, digits = 0) =>
  share === null || share === undefined || Number.isNaN(share) ? DASH : `${(100 * share).toFixed(digits)}%`;
export const words = (name) => name.replaceAll("_", " ");

export function duration(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function ago(epoch) {
  const seconds = Date.now() / 1000 - epoch;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(epoch * 1000).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export const moment = (epoch) => new Date(epoch * 1000).toLocaleString();

export function target(text) {
  const [device, runtime, dtype, threads, phase, , length] = text.split("/");
  const tokens = (length ?? "").slice(1); // "n1024"
  return { device, threads, tokens, short: `${device} · ${runtime} ${dtype}, ${phase} of ${tokens}` };
}
