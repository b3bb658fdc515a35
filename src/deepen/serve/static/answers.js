// An answer of any task, by the shape of its values: shares as bars, lists side by side as tables, the rest in words.

import { make, table } from "./elements.js";
import { number, word } from "./words.js";

const MOST_BARS = 30;
const MOST_ROWS = 200;

/** One result: its answer or its error, under the name of its sample; `why` is asked for an explanation. */
export function shown(result, place, name, why) {
  const title = name || (place === null ? "" : word("row", { n: place + 1 }));
  const element = make("article", { className: "one" }, title ? make("p", { className: "place" }, title) : null);
  if (result.error !== undefined) {
    element.append(make("p", { className: "message" }, result.error));
    return element;
  }
  element.append(...parts(result.answer));
  if (why) {
    const button = make("button", { type: "button", "data-word": "because" }, word("because"));
    button.addEventListener("click", () => why(button));
    element.append(make("p", { className: "buttons" }, button));
  }
  return element;
}

function parts(answer) {
  const { source: _, ...values } = answer;
  const found = [];
  const headline = ["label", "value", "text", "nearest", "cluster"].find((name) => ["string", "number"].includes(typeof values[name]));
  if (headline) {
    found.push(make("h3", {}, said(values[headline])));
    delete values[headline];
    if (Array.isArray(values.top)) delete values.probability;
  }
  found.push(...lists(values));
  const rest = Object.entries(values).filter(([, value]) => value === null || typeof value !== "object");
  if (rest.length) found.push(make("dl", {}, ...rest.flatMap(([name, value]) => [make("dt", {}, plain(name)), make("dd", {}, said(value))])));
  return found;
}

/** What is a list or a map in the values; lists of single values that are equally long stand in one table. */
function lists(values) {
  const found = [], aside = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === null || typeof value !== "object") continue;
    const pairs = shares(value);
    if (pairs) found.push(bars(name === "top" ? word("share") : plain(name), pairs));
    else if (Array.isArray(value) && value.length && value.every((each) => each !== null && typeof each === "object" && !Array.isArray(each))) {
      const names = Object.keys(value[0]);
      found.push(table(plain(name), names.map(plain), value.slice(0, MOST_ROWS).map((each) => names.map((key) => said(each[key])))));
    } else if (Array.isArray(value) && value.length) (aside[value.length] ??= []).push([name, value]);
  }
  for (const group of Object.values(aside)) found.push(beside(group));
  return found;
}

function beside(group) {
  if (group.length === 1 && group[0][1].every((each) => typeof each === "number")) return vector(...group[0]);
  const rows = group[0][1].slice(0, MOST_ROWS).map((_, index) => group.map(([, list]) => said(list[index])));
  return table("", group.map(([name]) => plain(name)), rows);
}

/** [[name, number], ...] where the value is a list of named numbers, a list of pairs or a map; else null. */
function shares(value) {
  if (!Array.isArray(value)) {
    const pairs = Object.entries(value);
    return pairs.length && pairs.every(([, each]) => typeof each === "number") ? pairs : null;
  }
  if (!value.length) return null;
  if (value.every((each) => each && typeof each.label === "string" && typeof each.probability === "number" && Object.keys(each).length === 2)) {
    return value.map((each) => [each.label, each.probability]);
  }
  const isPair = (each) => Array.isArray(each) && each.length === 2 && typeof each[0] === "string" && typeof each[1] === "number";
  return value.every(isPair) ? value : null;
}

function bars(caption, pairs) {
  const most = Math.max(1, ...pairs.map(([, value]) => Math.abs(value)));
  const areShares = pairs.every(([, value]) => value >= 0 && value <= 1);
  const rows = pairs.slice(0, MOST_BARS).map(([name, value]) => {
    const bar = make("span", { className: value < 0 ? "bar below" : "bar", "aria-hidden": "true" });
    bar.style.width = `${100 * Math.abs(value) / most}%`;
    const text = areShares ? `${(100 * value).toFixed(1)} %` : number(value);
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, bar), make("td", { className: "number" }, text));
  });
  return make("table", { className: "bars" }, make("caption", {}, caption), make("tbody", {}, ...rows));
}

/** Many numbers as a row of thin bars, with the numbers themselves for those who ask. */
function vector(name, values) {
  const most = Math.max(...values.map(Math.abs), 1e-12);
  const row = make("div", { className: "vector", role: "img", "aria-label": word("numbers", { n: values.length }) });
  for (const value of values.slice(0, 512)) {
    const bar = make("i");
    bar.style.height = `${50 * Math.abs(value) / most}%`;
    bar.style.transform = `translateY(${value > 0 ? -50 : 50}%)`;
    row.append(bar);
  }
  const numbers = make("p", {}, values.map(number).join(", "));
  return make("div", {}, make("p", { className: "quiet" }, plain(name)), row,
    make("details", {}, make("summary", {}, word("numbers", { n: values.length })), numbers));
}

const plain = (name) => name.replaceAll("_", " ");

function said(value) {
  if (value === null || value === undefined) return word("why_none");
  if (typeof value === "number") return number(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
