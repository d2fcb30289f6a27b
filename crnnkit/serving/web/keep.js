// Take the readings along: clipboard, text file, JSON file, table.

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

// The lines of the REST interface's answers, each answer with its picture's name; `read` where it
// was corrected. Its characters stay out: they are those of what was read.
export function asJson(pictures) {
  const results = pictures.map(({ file, answer }) => ({
    image: file.name,
    text: answer.text.map(({ kept, chars, ...line }) => line),
    total_time: answer.total_time,
  }));
  return `${JSON.stringify({ results }, null, 2)}\n`;
}

// Spreadsheets run cells that begin so as formulas (full-width signs, too, in some languages), and
// a slip or a file's name may be a stranger's: an apostrophe before them makes them text. Numbers
// and bare signs can do nothing and stay as they are. Codes such as -QF1 get one as well: without
// it, a spreadsheet would show minus what stands in its cell QF1. TXT and JSON have them unaltered.
const FORMULA = /^[=+\-@＝＋－＠\t\r\n]/;
const NUMBER = /^[+-]?[\d.,]*%?$/;

const harmless = (text) => (FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text);

// One row per line; the mark at the start lets spreadsheets see that it is UTF-8.
export function asCsv(pictures) {
  const rows = [["image", "line", "text", "confidence", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"]];
  for (const { file, answer } of pictures) {
    for (const [index, line] of answer.text.entries()) {
      rows.push([harmless(file.name), index + 1, harmless(line.text), line.confidence, ...line.box.flat()]);
    }
  }
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  return `\ufeff${rows.map((row) => row.map(quoted).join(",")).join("\r\n")}\r\n`;
}
