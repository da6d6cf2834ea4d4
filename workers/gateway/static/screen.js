// What the page shows. Whatever is shown is text: nothing is parsed as HTML.

const at = (id) => document.getElementById(id);
const KEPT = 100;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function say(state, text) {
  at("state").textContent = text;
  at("state").dataset.state = state;
}

export const show = (...children) => at("shown").replaceChildren(...children);

const warnings = new Map();

// What holds of a thing now; null where nothing does any more.
export function warn(thing, text) {
  if (text) warnings.set(thing, text);
  else warnings.delete(thing);
  at("warnings").replaceChildren(...[...warnings.values()].map((each) => element("p", { class: "warning" }, each)));
}

export function note(text, failed = false) {
  at("log-box").hidden = false;
  at("log").prepend(element("li", { class: failed ? "failed" : "" }, text));
  while (at("log").childElementCount > KEPT) at("log").lastChild.remove();
}
