// Requests to the server, and what went wrong with them in words.

import { word } from "./words.js";

const SECONDS = 60;

/** What a person should read; `status` is 0 where there was no answer at all. */
export class Trouble extends Error {
  constructor(message, status = 0) { super(message); this.status = status; }
}

let token = "";

/** The token that stands behind # in the address, which then is taken out of it; else that of this tab. */
export function findToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    history.replaceState(null, "", location.pathname);
    keepToken(found);
  } else {
    try { token = sessionStorage.getItem("token") ?? ""; } catch { /* a browser that keeps nothing */ }
  }
}

/** Takes a token for this tab. */
export function keepToken(value) {
  token = value;
  try { sessionStorage.setItem("token", value); } catch { /* a browser that keeps nothing */ }
}

/** The JSON of an answer. Answers with "results" are given back whatever their status. */
export async function ask(path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { headers, signal: AbortSignal.timeout(SECONDS * 1000), cache: "no-store" };
  if (body !== undefined) Object.assign(options, { method: "POST", body });
  if (typeof body === "string") headers["Content-Type"] = "application/json";
  let response, said;
  try {
    response = await fetch(path, options);
    said = await response.json();
  } catch (error) {
    throw new Trouble(word(error.name === "TimeoutError" ? "late" : "gone"));
  }
  if (response.ok || said.results) return said;
  if (response.status === 401) throw new Trouble(word("needsToken"), 401);
  if (response.status === 429) throw new Trouble(word("busy", { n: response.headers.get("Retry-After") ?? 1 }), 429);
  throw new Trouble(said.error ?? word("gone"), response.status);
}
