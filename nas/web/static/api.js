// What the server is asked. An answer that is an error becomes a Failure, which views show.

export class Failure extends Error {
  constructor(status, kind, message, problems) {
    super(message);
    Object.assign(this, { status, kind, problems });
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`/api${path}`, { credentials: "same-origin", ...options });
  } catch {
    throw new Failure(0, "ServiceUnavailable", "The page's server cannot be reached; is it still running?", []);
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => null);
  const error = document?.error ?? { kind: "ServiceFault", message: `The server answered ${response.status}.`, problems: [] };
  throw new Failure(response.status, error.kind, error.message, error.problems);
}

const body = (document) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(document ?? {}),
});

export const get = async (path) => (await ask(path)).json();
export const getBytes = async (path) => (await ask(path)).arrayBuffer();
export const post = async (path, document) => (await ask(path, body(document))).json();
export const postForBlob = async (path, document) => (await ask(path, body(document))).blob();
export const part = encodeURIComponent;

export function query(entries) {
  const pairs = Object.entries(entries).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(pairs).toString();
  return text ? `?${text}` : "";
}
