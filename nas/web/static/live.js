// The one stream of events that a tab has open: browsers allow six connections to a host, all tabs together.

let source = null;

export function follow(path, handlers) {
  stop();
  source = new EventSource(`/api/stream${path}`);
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (message) => handle(JSON.parse(message.data)));
  }
  return source;
}

export function stop() {
  source?.close();
  source = null;
}
