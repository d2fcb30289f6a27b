// What the page asks of the service it came from.

import { word } from "./words.js";

const $ = (id) => document.getElementById(id);

let key = "";
let asking = null;

// Answer of a request: { ok, status, body }; status 0 if the service cannot be reached.
async function ask(method, path, form) {
  const sent = key;
  const headers = sent ? { "X-API-Key": sent } : {};
  let response;
  try {
    response = await fetch(path, { method, headers, body: form });
  } catch (error) {
    return { ok: false, status: 0, body: { error: { code: "unreachable", message: error.message } } };
  }
  if (response.status === 401) {
    // One dialog for all requests that need it; none where another request has a new key already.
    asking ??= (key === sent ? askForKey() : Promise.resolve(true)).finally(() => (asking = null));
    if (await asking) return ask(method, path, form);
  }
  const body = await response.json().catch(() => ({}));
  return { ok: response.ok, status: response.status, body };
}

// Resolves to whether a key was typed in; it is kept until the page is left, and nowhere else.
function askForKey() {
  const dialog = $("key-dialog");
  $("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  $("key-fault").textContent = key ? word("keyWrong") : "";
  return new Promise((resolve) => {
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      const typed = $("key").value.trim();
      // No service has another key, and no header can hold one.
      if (!/^[\x20-\x7e]+$/.test(typed)) {
        $("key-fault").textContent = word("keyOdd");
        $("key").select();
        return;
      }
      key = typed;
      dialog.close("given");
    };
    $("key-cancel").onclick = () => dialog.close();
    dialog.onclose = () => resolve(dialog.returnValue === "given");
  });
}

function formOf(file, fields = {}) {
  const form = new FormData();
  form.append("image", file, file.name || "image");
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

export const readImage = (file) => ask("POST", "/api/ocr", formOf(file, { chars: "1" }));

export const readLimits = () => ask("GET", "/healthz");

// Keep a line's right text; a correction of the same line that was kept before goes. One after
// the other: a second one must know what the first was kept as.
let kept = Promise.resolve();

export function keepCorrection(file, line) {
  const form = formOf(file, { box: JSON.stringify(line.box), text: line.text });
  kept = kept.then(() => keep(line, form));
  return kept;
}

async function keep(line, form) {
  const answer = await ask("POST", "/api/feedback", form);
  if (!answer.ok) return answer;
  if (line.kept) await ask("DELETE", `/api/feedback/${line.kept}`);
  line.kept = answer.body.id;
  return answer;
}
