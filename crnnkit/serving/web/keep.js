// Take the readings along: clipboard, text file, JSON file.

export async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Browsers hide the clipboard on plain http from another machine.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function saveFile(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Lines as read; with several pictures each block begins with its picture's name.
export function asText(pictures) {
  const blocks = pictures.map(({ file, answer }) => {
    const lines = answer.text.map((line) => line.text);
    return (pictures.length > 1 ? [`# ${file.name}`, ...lines] : lines).join("\n");
  });
  return `${blocks.join("\n\n")}\n`;
}

// The answers of the REST interface, each with its picture's name.
export function asJson(pictures) {
  const results = pictures.map(({ file, answer }) => ({ image: file.name, ...answer }));
  return `${JSON.stringify({ results }, null, 2)}\n`;
}
