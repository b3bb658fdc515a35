// A field to draw on, by pointer or by keyboard.

import { make } from "./elements.js";
import { word } from "./words.js";

const SIDE = 280;
const PEN = 20;
const STEP = 10;

/** The field, and a function that gives what was drawn as a PNG file, or null where nothing was. */
export function drawingField(changed) {
  const canvas = make("canvas", { width: SIDE, height: SIDE, tabIndex: 0, role: "img", "aria-label": word("drawing") });
  const dark = make("input", { type: "checkbox", checked: true });
  const wipe = make("button", { type: "button", "data-word": "wipe" }, word("wipe"));
  const element = make("div", {}, canvas,
    make("p", { className: "buttons" }, wipe, make("label", {}, dark, " ", make("span", { "data-word": "dark" }, word("dark")))));
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  let strokes = [];
  let at = { x: SIDE / 2, y: SIDE / 2 };
  let isDown = false;

  function repaint() {
    pen.fillStyle = dark.checked ? "#000" : "#fff";
    pen.fillRect(0, 0, SIDE, SIDE);
    pen.strokeStyle = dark.checked ? "#fff" : "#000";
    Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    for (const points of strokes) {
      pen.beginPath();
      pen.moveTo(points[0].x, points[0].y);
      for (const point of points) pen.lineTo(point.x, point.y);
      pen.stroke();
    }
  }

  /** Where the pen is, seen only while the keyboard has it. */
  function showPen() {
    if (document.activeElement !== canvas) return;
    pen.strokeStyle = "#4a90e2";
    pen.lineWidth = 2;
    pen.strokeRect(at.x - PEN / 2, at.y - PEN / 2, PEN, PEN);
  }

  function draw(point, isNew) {
    if (isNew) strokes.push([point]);
    strokes.at(-1).push(point);
    at = point;
    repaint();
  }

  const placed = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * SIDE / box.width, y: (event.clientY - box.top) * SIDE / box.height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    draw(placed(event), true);
    isDown = true;
  });
  canvas.addEventListener("pointermove", (event) => { if (isDown && event.buttons) draw(placed(event), false); });
  canvas.addEventListener("pointerup", () => { isDown = false; changed(); });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (event.key === " ") {
      isDown = !isDown;
      if (isDown) draw(at, true);
      else changed();
    } else if (move) {
      const point = { x: Math.min(SIDE, Math.max(0, at.x + move[0])), y: Math.min(SIDE, Math.max(0, at.y + move[1])) };
      if (isDown) draw(point, false);
      at = point;
    } else return;
    event.preventDefault();
    repaint();
    showPen();
  });
  canvas.addEventListener("focus", showPen);
  canvas.addEventListener("blur", () => { isDown = false; repaint(); });
  dark.addEventListener("change", () => { repaint(); changed(); });
  const clear = () => { strokes = []; isDown = false; repaint(); };
  wipe.addEventListener("click", () => { clear(); changed(); });
  repaint();

  const file = () => new Promise((resolve) => {
    if (!strokes.length) return resolve(null);
    repaint();
    canvas.toBlob((blob) => resolve(new File([blob], "drawing.png", { type: "image/png" })), "image/png");
  });
  return { element, file, clear };
}
