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
