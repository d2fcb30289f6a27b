// The lines of a picture: text, confidence, correction in place; linked with their boxes.

import { word } from "./words.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

export function create(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// Only a picture of where to look first; the number stands beside the bar.
function level(confidence) {
  return confidence >= 0.9 ? "sure" : confidence >= 0.7 ? "fair" : "poor";
}

const percentOf = (confidence) => (confidence * 100).toFixed(1);

// What was read, character by character; of a corrected line nothing of that holds any more.
const charsOf = (line) => (line.read === undefined ? line.chars ?? [] : []);

// A line and its box light up together, from either side.
function link(element, index) {
  const light = (isOn) => {
    $("lines").children[index]?.classList.toggle("lit", isOn);
    $("boxes").children[index]?.classList.toggle("lit", isOn);
  };
  for (const event of ["mouseenter", "focusin"]) element.addEventListener(event, () => light(true));
  for (const event of ["mouseleave", "focusout"]) element.addEventListener(event, () => light(false));
  if (element instanceof SVGElement) {
    element.addEventListener("click", () => $("lines").children[index].querySelector(".edit").focus());
  }
}

// The line's place on the picture; while it is lit, those of its characters, too.
export function lineBox(line, index) {
  const group = document.createElementNS(SVG, "g");
  group.append(polygonOf(line, "box"));
  for (const char of charsOf(line)) {
    const polygon = polygonOf(char, "char");
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${char.char}  ${percentOf(char.confidence)}%`;
    polygon.append(title);
    group.append(polygon);
  }
  link(group, index);
  return group;
}

function polygonOf({ box, confidence }, kind) {
  const polygon = document.createElementNS(SVG, "polygon");
  polygon.setAttribute("points", box.map((point) => point.join(",")).join(" "));
  polygon.setAttribute("class", `${kind} ${level(confidence)}`);
  return polygon;
}

// The text; characters that are not sure are marked in it, but for spaces.
function textOf(line) {
  const text = create("span", "text", charsOf(line).length ? "" : line.text);
  for (const { char, confidence } of charsOf(line)) {
    if (level(confidence) === "sure" || char.trim() === "") {
      text.append(char);
      continue;
    }
    const mark = create("span", level(confidence), char);
    mark.title = word("confidence", percentOf(confidence));
    text.append(mark);
  }
  text.normalize();
  return text;
}

// `correct(text)` is called when somebody wrote a text; whether it counts, the line says then.
export function lineItem(line, index, correct) {
  const percent = percentOf(line.confidence);
  const item = create("li", `line ${level(line.confidence)}`);
  const edit = create("button", "edit quiet", "✎");
  edit.type = "button";
  edit.title = word("edit");
  // The focus leaves an open line with the click, not before: what then closes moves the buttons.
  edit.addEventListener("mousedown", (event) => event.preventDefault());
  edit.addEventListener("click", () => {
    if (item.querySelector("input")) edit.focus();
    else startEditing(item, line, correct);
  });
  item.append(textOf(line), edit, meterOf(percent), create("span", "percent", `${percent}%`));
  nameLine(item, line);
  link(item, index);
  return item;
}

function nameLine(item, line) {
  item.classList.toggle("corrected", line.read !== undefined);
  item.querySelector(".edit").setAttribute("aria-label", `${word("edit")}: ${line.text}`);
}

function meterOf(percent) {
  const meter = create("div", "meter");
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-valuemin", "0");
  meter.setAttribute("aria-valuemax", "100");
  meter.setAttribute("aria-valuenow", percent);
  meter.setAttribute("aria-label", word("confidence", percent));
  const bar = create("span", "bar");
  bar.style.width = `${percent}%`;
  meter.append(bar);
  return meter;
}

// Enter or leaving the field keeps the text, Escape the old one.
function startEditing(item, line, correct) {
  const field = create("input", "text");
  field.value = line.text;
  field.maxLength = 1000;
  field.setAttribute("aria-label", word("edit"));
  let isOpen = true;
  const end = (isKept) => {
    if (!isOpen) return;
    isOpen = false;
    if (isKept) correct(field.value.trim());
    field.replaceWith(textOf(line));
    nameLine(item, line);
  };
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault(); // or the button that gets the focus back is pressed, too
    end(event.key === "Enter");
    item.querySelector(".edit").focus();
  });
  field.addEventListener("blur", () => end(true));
  item.querySelector(".text").replaceWith(field);
  field.focus();
  field.select();
}
