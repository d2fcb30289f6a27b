// Pictures in, one request each, lines of text and their places out.

import { errorWord, fillWords, toggleLanguage, word } from "./words.js";
import { copyText, saveFile, asText, asJson, asCsv } from "./keep.js";
import { create, lineBox, lineItem } from "./lines.js";
import { keepCorrection, readImage, readLimits } from "./service.js";

const $ = (id) => document.getElementById(id);

// picture: { file, url, state: "waiting" | "reading" | "read" | "failed", answer, fault, item }
// item: its place in the strip.
let pictures = [];
let shown = null;
let drawnLines = null;
let isBusy = false;
// Whether the picture that is being read is shown: until somebody looks at another, or at lines.
let isFollowed = true;
let limits = { model: "", max_upload_mb: Infinity, keeps_feedback: false };

// ---------- pictures in ----------

function addPictures(files) {
  const added = [...files].map((file) => ({
    file,
    url: URL.createObjectURL(file),
    state: "waiting",
    answer: null,
    fault: null,
    item: null,
  }));
  if (added.length === 0) return;
  pictures.push(...added);
  shown = added[0];
  isFollowed = false;
  $("status").textContent = "";
  draw();
}

function removePicture(picture) {
  const index = pictures.indexOf(picture);
  URL.revokeObjectURL(picture.url);
  picture.item.remove();
  pictures.splice(index, 1);
  if (shown === picture) shown = pictures[0] ?? null;
  draw();
  // The button that had the focus is gone; it goes to the next one's.
  const next = pictures[index] ?? pictures[index - 1];
  ($("strip").hidden ? $("start") : next.item.lastChild).focus();
}

function clearPictures() {
  for (const picture of pictures) URL.revokeObjectURL(picture.url);
  pictures = [];
  shown = null;
  $("strip").replaceChildren();
  $("status").textContent = "";
  draw();
  $("files").focus();
}

// ---------- reading ----------

// Pictures that were read stay as they are, with what was corrected; those that failed are tried
// again.
const unread = () => pictures.filter((picture) => picture.state !== "read");

async function readAll() {
  const todo = unread();
  if (isBusy || todo.length === 0) return;
  isBusy = true;
  isFollowed = true;
  for (const [index, picture] of todo.entries()) {
    picture.state = "reading";
    if (isFollowed) shown = picture;
    $("status").textContent = word("busy", index + 1, todo.length);
    draw();
    await readPicture(picture);
    if (picture.fault?.code === "no_key") break; // nobody gave one: the others wait
  }
  isBusy = false;
  $("status").textContent = word("done", count(todo, "read"), count(todo, "failed"), count(pictures, "waiting"));
  if (isFollowed) shown = todo[0];
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
  // Not `disabled`, which takes the focus away.
  $("start").setAttribute("aria-disabled", String(isBusy || unread().length === 0));
  $("clear").hidden = pictures.length === 0 || isBusy;
  $("intake").classList.toggle("compact", pictures.length > 0);
  $("work").hidden = shown === null;
  drawStrip();
  if (shown) {
    drawPicture();
    drawReading();
  }
}

// Its buttons stay the same ones: whoever pressed one keeps the focus.
function drawStrip() {
  $("strip").hidden = pictures.length < 2;
  for (const picture of pictures) {
    picture.item ??= $("strip").appendChild(stripItem(picture));
    const [button, remove] = picture.item.children;
    picture.item.className = picture.state;
    button.setAttribute("aria-label", word("thumb", picture.file.name, picture.state));
    button.setAttribute("aria-current", String(picture === shown));
    remove.hidden = isBusy;
    remove.setAttribute("aria-label", word("remove", picture.file.name));
  }
}

function stripItem(picture) {
  const item = create("li", "");
  const button = create("button", "thumb");
  button.type = "button";
  button.append(thumbnail(picture));
  button.addEventListener("click", () => {
    shown = picture;
    isFollowed = false;
    draw();
  });
  const remove = create("button", "remove", "×");
  remove.type = "button";
  remove.addEventListener("click", () => removePicture(picture));
  item.append(button, remove);
  return item;
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
  drawLines(lines);
  $("tools").hidden = !pictures.some((picture) => picture.answer);
  $("copy").disabled = lines.length === 0;
}

// A line that is being corrected stays open, and the focus on its line.
function drawLines(lines) {
  const list = $("lines");
  const field = list.querySelector("input");
  if (field && lines === drawnLines) return;
  field?.blur(); // keeps what was typed
  const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
  const picture = shown;
  list.replaceChildren(
    ...lines.map((line, index) => lineItem(line, index, (text) => correct(picture, line, text))),
  );
  list.children[focused]?.querySelector(".edit").focus();
  drawnLines = lines;
}

// The new text counts here at once; what was read first is kept beside it.
async function correct(picture, line, text) {
  if (text === line.text || text === "") return;
  line.read ??= line.text;
  line.text = text;
  if (picture === shown) drawBoxes();
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
  $("lines").addEventListener("focusin", () => (isFollowed = false));
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
