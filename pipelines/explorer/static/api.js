// Questions to the server, all below the address of this page, which holds the token.

export class Problem extends Error {}

/** Thresholds that were changed and not yet written down: "step.key" to its value. */
export const changes = new Map();

export const query = (parameters = {}) => {
  const asked = new URLSearchParams(parameters);
  for (const [key, value] of changes) asked.append("change", `${key}=${JSON.stringify(value)}`);
  return asked.toString();
};

export const address = (path, parameters) => `api/${path}?${query(parameters)}`;

/** Return an answer; throws a Problem whose message is for people. */
export async function ask(path, parameters = {}) {
  let answer;
  try {
    answer = await fetch(address(path, parameters));
  } catch {
    throw new Problem("the server does not answer; is 'infimm explore' still running?");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Problem(found.problem);
  return found;
}

const POLL_MS = 400;

/** Say how far the server is with reading the build, until it is done. */
export async function watch() {
  const [line, stage, bar] = ["loading", "stage", "read"].map((id) => document.getElementById(id));
  for (;;) {
    let found;
    try {
      found = await ask("progress");
    } catch {
      break; // what is asked for beside this says it
    }
    if (!found.stage) break;
    if (stage.textContent !== found.stage) stage.textContent = found.stage;
    if (found.of) [bar.max, bar.value] = [found.of, found.done];
    else bar.removeAttribute("value");
    line.hidden = false;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  line.hidden = true;
}
