// Cutting a model out of its supernet and taking it home.

import { part, postForBlob } from "./api.js";
import { announce, download, h, show } from "./dom.js";

export function extractButton(job, digest) {
  const problem = h("p", { class: "problem", role: "alert" });
  const element = h("button", { type: "button", class: "primary" }, "Extract and download");
  element.addEventListener("click", async () => {
    element.disabled = true;
    element.textContent = "Cutting it out, checking it…";
    show(problem);
    try {
      download(`${job}-${digest.slice(0, 8)}.zip`, await postForBlob(`/jobs/${part(job)}/points/${digest}/extract`));
      announce("The model is downloaded");
    } catch (error) {
      show(problem, error.message);
    }
    element.disabled = false;
    element.textContent = "Extract and download";
  });
  return { element, problem };
}
