// The form for a sample, made from the fields of a run, and the request that it comes to.

import { drawingField } from "./drawing.js";
import { make } from "./elements.js";
import { Trouble } from "./server.js";
import { word } from "./words.js";

const MOST_SHOWN = 24;
let numControls = 0;

/** The form's controls under `parent`. `rows()` gives [{name, body}, ...], one per sample, and `request()` all as one. */
export function sampleForm(parent, fields, limits) {
  const controls = fields.map((field) => field.kind === "picture" ? pictureControl(field, limits) : cellControl(field));
  const cells = fields.length > 1 && fields.every((field) => field.kind !== "picture");
  parent.replaceChildren(cells ? make("div", { className: "cells" }, ...controls.map((each) => each.element))
    : make("div", {}, ...controls.map((each) => each.element)));
  const picture = controls.find((each) => each.files);

  return {
    clear: () => controls.forEach((each) => each.clear()),
    isEmpty: () => controls.every((each) => each.isEmpty()),
    /** The names of the samples, and what to send for all of them or for one. */
    async samples() {
      if (!picture) {
        const row = Object.fromEntries(controls.map((each) => each.cell()));
        const body = JSON.stringify({ rows: [row] });
        return { names: [""], all: () => body, one: () => body };
      }
      const files = await picture.files();
      const form = (some) => {
        const body = new FormData();
        for (const file of some) {
          body.append(picture.name, file, "picture");
          for (const each of controls) if (each !== picture) body.append(each.cell()[0], each.cell()[1]);
        }
        return body;
      };
      check(files, limits);
      return { names: files.map((file) => file.name), all: () => form(files), one: (index) => form([files[index]]) };
    },
  };
}

function check(files, limits) {
  if (files.length > limits.max_rows) throw new Trouble(word("tooMany", { n: files.length, most: limits.max_rows }));
  const bytes = files.reduce((sum, file) => sum + file.size + 300, 0);
  if (bytes > limits.max_body_bytes) {
    throw new Trouble(word("tooLarge", { name: files[0].name, size: Math.floor(limits.max_body_bytes / 2 ** 20) }));
  }
}

/** One cell: a text, words, a number, a category or a date. */
function cellControl(field) {
  const id = `field-${++numControls}`;
  let control;
  if (field.kind === "text" || field.kind === "words") control = make("textarea", { id, maxLength: 200000 });
  else if (field.choices.length && field.choices.length <= 60) {
    const options = [make("option", { value: "" }, word("empty")), ...field.choices.map((value) => make("option", { value }, value))];
    control = make("select", { id }, ...options);
  } else control = make("input", { id, type: "text", inputMode: field.kind === "number" ? "decimal" : "text" });
  const isCell = !["text", "line", "words"].includes(field.kind);
  const list = field.choices.length > 60 ? make("datalist", { id: `${id}-list` }, ...field.choices.map((value) => make("option", { value }))) : null;
  if (list) control.setAttribute("list", list.id);
  if (isCell) control.value = field.example;
  const element = make("div", { className: "cell" }, make("label", { for: id }, field.name), control, list);
  const wordsName = field.instead || field.name;
  return {
    element,
    isEmpty: () => !isCell && control.value.trim() === "",
    clear: () => { control.value = isCell ? field.example : ""; },
    cell: () => {
      if (field.kind === "words") return [wordsName, field.instead ? control.value : control.value.split(/\s+/).filter(Boolean)];
      return [field.name, isCell && control.value === "" ? null : control.value];
    },
  };
}

/** Pictures: dropped, chosen or drawn. */
function pictureControl(field, limits) {
  const id = `field-${++numControls}`;
  const input = make("input", { id, type: "file", accept: "image/*", multiple: true });
  const shown = make("ul", { className: "shown" });
  const zone = make("div", { className: "drop" }, make("label", { for: id, "data-word": "drop" }, word("drop")), make("br"), input, shown);
  const field_ = drawingField(() => { files = []; input.value = ""; show(); });
  const details = make("details", {}, make("summary", { "data-word": "draw" }, word("draw")), field_.element);
  const trouble = make("p", { role: "alert", className: "message", hidden: true });
  let files = [];

  function show() {
    for (const image of shown.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    shown.replaceChildren(...files.slice(0, MOST_SHOWN).map((file) => make("li", {},
      make("img", { src: URL.createObjectURL(file), alt: "" }), file.name)));
    if (files.length > MOST_SHOWN) shown.append(make("li", {}, `+ ${files.length - MOST_SHOWN}`));
  }
  function take(found) {
    const odd = found.find((file) => !file.type.startsWith("image/"));
    trouble.hidden = true;
    try {
      if (odd) throw new Trouble(word("notPicture", { name: odd.name }));
      check(found, limits);
    } catch (error) {
      trouble.textContent = error.message;
      trouble.hidden = false;
      return;
    }
    files = found;
    field_.clear();
    show();
  }
  input.addEventListener("change", () => take([...input.files]));
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  const drawn = async () => { const file = await field_.file(); return file ? [file] : []; };
  return {
    element: make("div", {}, zone, trouble, details),
    name: field.name,
    isEmpty: () => false,
    clear: () => { files = []; input.value = ""; field_.clear(); show(); trouble.hidden = true; },
    cell: () => [field.name, null],
    files: async () => {
      const found = files.length ? files : await drawn();
      if (!found.length) throw new Trouble(word("noSample"));
      return found;
    },
  };
}
