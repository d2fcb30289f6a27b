// What the page asks of the service it came from.

const $ = (id) => document.getElementById(id);

let key = "";

// Answer of a request: { ok, status, body }; status 0 if the service cannot be reached.
async function ask(method, path, form) {
  const headers = key ? { "X-API-Key": key } : {};
  let response;
  try {
    response = await fetch(path, { method, headers, body: form });
  } catch (error) {
    return { ok: false, status: 0, body: { error: { code: "unreachable", message: error.message } } };
  }
  if (response.status === 401 && (await askForKey())) return ask(method, path, form);
  const body = await response.json().catch(() => ({}));
  return { ok: response.ok, status: response.status, body };
}

// Resolves to whether a key was typed in; it is kept until the page is left, and nowhere else.
function askForKey() {
  const dialog = $("key-dialog");
  $("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      key = $("key").value.trim();
      dialog.close();
      resolve(key !== "");
    };
    dialog.oncancel = () => resolve(false);
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

// Keep a line's right text; a correction of the same line that was kept before goes.
export async function keepCorrection(file, line) {
  const fields = { box: JSON.stringify(line.box), text: line.text };
  const answer = await ask("POST", "/api/feedback", formOf(file, fields));
  if (!answer.ok) return answer;
  if (line.kept) await ask("DELETE", `/api/feedback/${line.kept}`);
  line.kept = answer.body.id;
  return answer;
}
