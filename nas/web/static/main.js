// Which view stands at which URL; the URL holds all of a view's state.

import { Failure, get, post } from "./api.js";
import { h, show } from "./dom.js";
import { stop } from "./live.js";
import { setLooks } from "./look.js";

const VIEWS = [
  [/^\/$/, "jobs"],
  [/^\/new$/, "submit"],
  [/^\/across$/, "across"],
  [/^\/devices$/, "devices"],
  [/^\/jobs\/([^/]+)$/, "job"],
  [/^\/jobs\/([^/]+)\/points\/([^/]+)$/, "architecture"],
];
const main = document.getElementById("view");
let leave = null;
let session = null;

export const state = () => Object.fromEntries(new URLSearchParams(location.search));

// Change some of the URL's state; what is null or empty leaves it.
export function setState(changes, { draw = true } = {}) {
  const next = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "" || value === false) next.delete(name);
    else next.set(name, value === true ? "1" : String(value));
  }
  const text = next.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
  if (draw) leave?.changed?.();
}

export function go(path) {
  history.pushState(null, "", path);
  return open();
}

async function open() {
  leave?.close?.();
  leave = null;
  stop();
  const found = VIEWS.map(([pattern, name]) => [pattern.exec(location.pathname), name]).find(([match]) => match);
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.pathname === location.pathname || (link.pathname === "/" && /^\/(jobs|new)/.test(location.pathname));
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  // Its modules come while the session is asked for.
  const coming = found && import(`./views/${found[1]}.js`);
  coming?.catch(() => null); // told where it is awaited
  try {
    if (!session) {
      session = await get("/session");
      setLooks(session.look);
      bar();
    }
    if (!found) throw new Failure(404, "NoSuchPage", `There is no page at ${location.pathname}.`, []);
    const view = await coming;
    show(main, h("p", { class: "loading" }, "Loading…"));
    leave = await view.open(main, ...found[0].slice(1).map(decodeURIComponent));
  } catch (error) {
    showFailure(error);
  }
  const title = main.querySelector("h1")?.textContent;
  document.title = title ? `${title} · nas` : "nas";
  main.removeAttribute("data-busy");
}

export function showFailure(error) {
  if (error.kind === "Unauthenticated") return login();
  const missing = error.status === 404;
  show(main, h("section", { class: "empty" },
    h("h1", {}, missing ? "Not here" : "That did not work"),
    h("p", { class: "reason" }, error.message),
    h("p", {}, h("a", { href: "/" }, "All jobs"))));
  if (!(error instanceof Failure)) console.error(error);
}

function login() {
  const problem = h("p", { class: "problem", role: "alert" });
  const token = h("input", { type: "password", name: "token", id: "token", required: true, autocomplete: "current-password" });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await post("/login", { token: token.value });
      await open();
    } catch (error) {
      problem.textContent = error.message;
      token.setAttribute("aria-invalid", "true");
      token.focus();
    }
  };
  show(main, h("section", { class: "login card" }, h("h1", {}, "Log in"),
    h("p", { class: "muted" }, "This service is shared: it wants the token that ", h("code", {}, "nas token add"), " printed for you."),
    h("form", { onsubmit: enter }, h("label", { for: "token" }, "Token"), token, problem, h("button", { class: "primary" }, "Log in"))));
  document.title = "Log in · nas";
}

function bar() {
  const theme = h("button", { type: "button", class: "quiet", id: "theme", onclick: nextTheme });
  show(document.getElementById("bar-end"), theme,
    session.login ? h("button", { type: "button", class: "quiet", onclick: async () => { await post("/logout"); session = null; go("/"); } }, "Log out") : null);
  nameTheme();
}

const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const chosenTheme = () => localStorage.getItem("theme") ?? "auto";

function setTheme() {
  const chosen = chosenTheme();
  document.documentElement.dataset.theme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
}

function nameTheme() {
  const button = document.getElementById("theme");
  button.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosenTheme()];
  button.setAttribute("aria-label", `Theme: ${chosenTheme()}; change it`);
}

function nextTheme() {
  localStorage.setItem("theme", THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length]);
  setTheme();
  nameTheme();
  leave?.changed?.();
}

setTheme();
dark.addEventListener("change", () => { setTheme(); leave?.changed?.(); });
addEventListener("popstate", open);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.pathname.startsWith("/api") || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search).then(() => { scrollTo(0, 0); main.focus({ preventScroll: true }); });
});
open();
