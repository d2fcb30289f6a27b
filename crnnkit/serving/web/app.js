// Pictures in, one request each, lines of text and their places out.

import { errorWord, fillWords, toggleLanguage, word } from "./words.js";
import { copyText, saveFile, asText, asJson, asCsv } from "./keep.js";
import { create, lineBox, lineItem } from "./lines.js";
import { keepCorrection, readImage, readLimits } from "./service.js";

const $ = (id) => document.getElementById(id);

// picture: { file, url, state: "waiting" | "reading" | "read" | "failed", answer, fault }
let pictures = [];
let shown = null;
let isBusy = false;
let limits = { model: "", max_upload_mb: Infinity, keeps_feedback: false };

// ---------- pictures in ----------

function addPictures(files) {
  const added = [...files].map((file) => ({
    file,
    url: URL.createObjectURL(file),
    state: "waiting",
    answer: null,
    fault: null,
  }));
  if (added.length === 0) return;
  pictures.push(...added);
  shown = added[0];
  $("status").textContent = "";
  draw();
}

function removePicture(picture) {
  URL.revokeObjectURL(picture.url);
  pictures = pictures.filter((other) => other !== picture);
  if (shown === picture) shown = pictures[0] ?? null;
  draw();
}

function clearPictures() {
  for (const picture of pictures) URL.revokeObjectURL(picture.url);
  pictures = [];
  shown = null;
  $("status").textContent = "";
  draw();
}

// ---------- reading ----------

async function readAll() {
  const waiting = pictures.filter((picture) => picture.state !== "read");
  const todo = waiting.length ? waiting : [...pictures];
  isBusy = true;
  for (const [index, picture] of todo.entries()) {
    picture.state = "reading";
    if (index === 0 || todo.length > 1) shown = picture;
    $("status").textContent = word("busy", index + 1, todo.length);
    draw();
    await readPicture(picture);
    if (picture.fault?.code === "no_key") break; // nobody gave one: the others wait
  }
  isBusy = false;
  $("status").textContent = word("done", count(todo, "read"), count(todo, "failed"), count(pictures, "waiting"));
  shown = todo[0];
  draw();
}

const count = (some, state) => some.filter((picture) => picture.state === state).length;

async function readPicture(picture) {
  picture.answer = null;
  picture.fault = null;
  if (picture.file.size > limits.max_upload_mb * 1024 * 1024) {
    fail(picture, "too_large", `> ${limits.max_upload_mb} MB`);
    return;
  }
  const { ok, status, body } = await readImage(picture.file);
  if (ok && Array.isArray(body.text)) {
    picture.answer = body;
    picture.state = "read";
  } else {
    const code = body.error?.code ?? (status === 413 ? "too_large" : "other");
    fail(picture, code, body.error?.message ?? `HTTP ${status}`);
  }
}

function fail(picture, code, detail) {
  picture.state = "failed";
  picture.fault = { code, detail };
}

// ---------- drawing ----------

function draw() {
  fillWords();
  $("language").textContent = word("other");
  $("model").textContent = limits.model && word("model", limits.model);
  $("start").textContent = word("start");
  $("start").disabled = isBusy || pictures.length === 0;
  $("clear").hidden = pictures.length === 0 || isBusy;
  $("intake").classList.toggle("compact", pictures.length > 0);
  $("work").hidden = shown === null;
  drawStrip();
  if (shown) {
    drawPicture();
    drawReading();
  }
}

function drawStrip() {
  const strip = $("strip");
  strip.hidden = pictures.length < 2;
  strip.replaceChildren(
    ...pictures.map((picture) => {
      const item = create("li", picture.state);
      const button = create("button", "thumb");
      button.type = "button";
      button.setAttribute("aria-label", picture.file.name);
      button.setAttribute("aria-current", String(picture === shown));
      button.append(thumbnail(picture));
      button.addEventListener("click", () => {
        shown = picture;
        draw();
      });
      const remove = create("button", "remove", "×");
      remove.type = "button";
      remove.hidden = isBusy;
      remove.setAttribute("aria-label", word("remove", picture.file.name));
      remove.addEventListener("click", () => removePicture(picture));
      item.append(button, remove);
      return item;
    }),
  );
}

function thumbnail(picture) {
  const image = create("img", "");
  image.src = picture.url;
  image.alt = "";
  image.addEventListener("error", () => image.replaceWith(create("span", "", picture.file.name)));
  return image;
}

function drawPicture() {
  const image = $("picture");
  if (image.getAttribute("src") !== shown.url) {
    $("sheet").hidden = false;
    $("no-preview").hidden = true;
    image.src = shown.url;
  }
  image.alt = shown.file.name;
  $("caption").textContent = shown.file.name;
  $("view").classList.toggle("reading-now", shown.state === "reading");
  drawBoxes();
}

function fitSheet() {
  const { naturalWidth, naturalHeight } = $("picture");
  $("sheet").style.setProperty("--aspect", naturalWidth / naturalHeight);
  $("sheet").style.setProperty("--widest", `${4 * naturalWidth}px`);
  drawBoxes();
}

function drawBoxes() {
  const image = $("picture");
  const boxes = $("boxes");
  boxes.replaceChildren();
  if (!image.naturalWidth || !shown?.answer) return;
  // naturalWidth and the server both follow the picture's EXIF rotation.
  boxes.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
  boxes.append(...shown.answer.text.map(lineBox));
}

function drawReading() {
  const { answer, fault, state } = shown;
  $("fault").hidden = !fault;
  $("fault").replaceChildren();
  if (fault) {
    $("fault").append(create("strong", "", errorWord(fault.code)), create("small", "", fault.detail));
  }
  const lines = answer?.text ?? [];
  $("summary").textContent = answer
    ? word("summary", lines.length, answer.total_time.toFixed(2))
    : "";
  $("hint").textContent =
    state === "waiting" ? word("hint")
    : state === "reading" ? word("reading")
    : answer && lines.length === 0 ? word("noLines")
    : "";
  $("lines").replaceChildren(...lines.map((line, index) => lineItem(line, index, correct)));
  $("tools").hidden = !pictures.some((picture) => picture.answer);
  $("copy").disabled = lines.length === 0;
}

// The new text counts here at once; what was read first is kept beside it.
async function correct(line, text) {
  const picture = shown;
  const isChanged = text !== line.text && text !== "";
  if (isChanged) {
    line.read ??= line.text;
    line.text = text;
  }
  const index = picture.answer.text.indexOf(line);
  drawReading();
  drawBoxes();
  $("lines").children[index].querySelector(".edit").focus();
  if (!isChanged) return;
  if (!limits.keeps_feedback) {
    $("status").textContent = word("correctedHere");
    return;
  }
  const { ok, body } = await keepCorrection(picture.file, line);
  $("status").textContent = ok ? word("correctionKept") : errorWord(body.error?.code);
}

// ---------- keeping the result ----------

const readPictures = () => pictures.filter((picture) => picture.answer);

async function copyShown() {
  await copyText(shown.answer.text.map((line) => line.text).join("\n"));
  $("copy").textContent = word("copied");
  setTimeout(() => ($("copy").textContent = word("copy")), 1500);
}

// ---------- wiring ----------

function listen() {
  for (const id of ["files", "camera"]) {
    $(id).addEventListener("change", (event) => {
      addPictures(event.target.files);
      event.target.value = "";
    });
  }
  $("start").addEventListener("click", readAll);
  $("clear").addEventListener("click", clearPictures);
  $("language").addEventListener("click", () => {
    toggleLanguage();
    $("status").textContent = "";
    draw();
  });
  $("copy").addEventListener("click", copyShown);
  $("save-txt").addEventListener("click", () =>
    saveFile("crnnkit.txt", "text/plain", asText(readPictures())));
  $("save-json").addEventListener("click", () =>
    saveFile("crnnkit.json", "application/json", asJson(readPictures())));
  $("save-csv").addEventListener("click", () =>
    saveFile("crnnkit.csv", "text/csv", asCsv(readPictures())));
  $("picture").addEventListener("load", fitSheet);
  $("picture").addEventListener("error", () => {
    $("sheet").hidden = true;
    $("no-preview").hidden = false;
  });
  document.addEventListener("paste", (event) => addPictures(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) $("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    addPictures(event.dataTransfer.files);
  });
}

async function loadLimits() {
  const { ok, body } = await readLimits();
  if (ok) limits = body;
  draw();
}

listen();
draw();
loadLimits();
