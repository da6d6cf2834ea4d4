// Model files by their SHA-256, which is checked here; those last used are kept.

const KEPT = 4;
const kept = new Map();

// signal: aborted where the model is wanted no more; what was on its way then is an error.
export async function fetchModel({ sha256, size_bytes: size }, signal) {
  const known = kept.get(sha256);
  const bytes = known ?? await fetched(sha256, size, signal);
  kept.delete(sha256);
  kept.set(sha256, bytes);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return bytes;
}

async function fetched(sha256, size, signal) {
  const response = await fetch(`/models/${sha256}`, { signal });
  if (!response.ok) throw new Error((await response.json().catch(() => null))?.error ?? `the gateway answered ${response.status}`);
  const bytes = await response.arrayBuffer();
  const found = await digest(bytes);
  if (bytes.byteLength !== size || found !== sha256) {
    throw new Error(`model ${sha256.slice(0, 12)} arrived damaged: ${bytes.byteLength} of ${size} bytes, SHA-256 ${found.slice(0, 12)}`);
  }
  return bytes;
}

async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
