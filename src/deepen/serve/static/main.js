// The page: which run, its form, its answers, its card.

import { shown } from "./answers.js";
import { make, table } from "./elements.js";
import { sampleForm } from "./sample.js";
import { ask, findToken, keepToken, Trouble } from "./server.js";
import { number, preferred, speak, word } from "./words.js";

const at = (id) => document.getElementById(id);
const page = { about: null, form: null, isBusy: false };

function complain(error) {
  const trouble = error instanceof Trouble ? error : new Trouble(word("gone"));
  if (!(error instanceof Trouble)) console.error(error);
  at("message").textContent = trouble.message;
  at("message").hidden = false;
  at("token").hidden = trouble.status !== 401;
  at("status").textContent = "";
}

/** Does one thing at a time; whatever goes wrong is said, and the buttons come back. */
async function busily(text, work) {
  if (page.isBusy) return;
  page.isBusy = true;
  at("send").disabled = true;
  at("message").hidden = true;
  at("status").textContent = text;
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    page.isBusy = false;
    at("send").disabled = page.form === null;
  }
}

const query = () => `?run=${encodeURIComponent(page.about.run)}`;

async function begin() {
  const { runs } = await ask("/v1/runs");
  at("token").hidden = true;
  at("run").replaceChildren(...runs.map((each) => make("option", { value: each.run }, each.run)));
  await open(runs[0].run);
}

async function open(run) {
  page.about = await ask(`/v1/schema?run=${encodeURIComponent(run)}`);
  at("title").textContent = page.about.run;
  document.title = `${page.about.run} - deepen`;
  page.form = sampleForm(at("fields"), page.about.fields, page.about.limits);
  at("answers").replaceChildren();
  at("status").textContent = word("nothing");
  at("why").hidden = true;
  describe();
}

/** What the model is. */
function describe() {
  const { about } = page;
  const { card } = about;
  at("what").textContent = word("what", { task: about.task.replaceAll("-", " ") });
  const facts = [["task", about.task], ["model", about.model], ["parameters", number(card.parameters)], ["target", card.target],
    ["labels", card.labels.length ? `${card.labels.length}: ${card.labels.slice(0, 40).join(", ")}${card.labels.length > 40 ? " ..." : ""}` : ""],
    ["version", about.version]];
  at("card").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, word(name)), make("dd", {}, value)]));
  const figures = Object.entries(card.metrics).map(([name, value]) => [name.replaceAll("_", " "), value === null ? word("why_none") : number(value)]);
  at("figures").replaceChildren(...(figures.length ? [table(word("figuresOf", { split: card.split }), [word("figure"), word("value")], figures)] : []));
}

async function answer() {
  if (page.form.isEmpty()) throw new Trouble(word("noSample"));
  const samples = await page.form.samples();
  const { results } = await ask(`/v1/predict${query()}`, samples.all());
  const place = (index) => (results.length > 1 ? index : null);
  const why = page.about.explains ? (index) => () => busily(word("explaining"), () => explain(samples.one(index))) : () => null;
  at("answers").replaceChildren(...results.map((each, index) => shown(each, place(index), samples.names[index], why(index))));
  const bad = results.filter((each) => each.error !== undefined).length;
  at("status").textContent = bad ? word("some", { n: results.length - bad, m: bad }) : word("done", { n: results.length });
  at("why").hidden = true;
}

async function explain(body) {
  const found = await ask(`/v1/explain${query()}`, body);
  if (found.results) throw new Trouble(found.results[0].error);
  at("explanation").src = found.page;
  at("explanation").title = word("why");
  at("why").hidden = false;
  at("why").scrollIntoView();
  at("status").textContent = word("explained");
}

at("sample").addEventListener("submit", (event) => {
  event.preventDefault();
  busily(word("working"), answer);
});
at("clear").addEventListener("click", () => {
  page.form?.clear();
  at("answers").replaceChildren();
  at("message").hidden = true;
  at("why").hidden = true;
  at("status").textContent = word("nothing");
});
at("run").addEventListener("change", () => busily("", () => open(at("run").value)));
at("language").addEventListener("change", () => {
  speak(at("language").value);
  if (page.about) {
    describe();
    if (!at("answers").childElementCount) at("status").textContent = word("nothing");
  }
});
at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token-value").value.trim());
  busily("", begin);
});
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

findToken();
speak(preferred());
at("language").value = document.documentElement.lang.slice(0, 2);
busily("", begin);
