// Everything the page says, in both languages.

const WORDS = {
  zh: {
    title: "高精度文字识别",
    other: "English",
    drop: "把图片拖到这里，或点击选择",
    dropMore: "也可以直接粘贴（Ctrl+V）· 支持一次多张 · JPG、PNG 等格式",
    start: "开始高精度识别",
    busy: (done, all) => `正在识别… ${done}/${all}`,
    clear: "清空",
    pictures: "图片列表",
    thumb: (name, state) =>
      `${name}，${{ waiting: "待识别", reading: "正在识别", read: "已识别", failed: "识别失败" }[state]}`,
    remove: (name) => `移除 ${name}`,
    result: "识别结果",
    hint: "点击「开始高精度识别」后，文字会出现在这里。",
    reading: "正在识别这张图片…",
    noLines: "这张图片里没有找到文字。",
    noPreview: "浏览器无法显示这张图片。",
    summary: (lines, seconds) => `${lines} 行 · ${seconds} 秒`,
    confidence: (percent) => `置信度 ${percent}%`,
    copy: "复制文字",
    copied: "已复制",
    saveTxt: "下载 TXT",
    saveJson: "下载 JSON",
    saveCsv: "下载 CSV",
    photograph: "拍照",
    edit: "修改这一行",
    correctedHere: "已修改（仅在本页有效）",
    correctionKept: "已修改，并已保存，可用于训练",
    key: "此服务需要访问密钥",
    keyGiven: "继续",
    keyWrong: "密钥不正确，请重新输入。",
    keyOdd: "密钥只能由英文字母、数字和英文符号组成。",
    cancel: "取消",
    model: (name) => `模型 ${name}`,
    done: (read, failed, waiting) =>
      (failed ? `完成：${read} 张成功，${failed} 张失败` : `完成：共 ${read} 张`) +
      (waiting ? `，${waiting} 张待识别` : ""),
    errors: {
      unreadable_image: "无法读取这张图片：请检查文件是否损坏、尺寸过大，或不是 JPG、PNG 等图片格式。",
      too_large: "文件太大，请缩小后再试。",
      unreachable: "连接不上服务器，请检查服务是否在运行，然后重试。",
      busy: "服务器正忙，请稍候再试。",
      no_key: "没有访问密钥，或密钥不正确。",
      bad_correction: "这一行无法保存，请检查修改后的文字。",
      other: "识别失败，请重试。",
    },
  },
  en: {
    title: "Text recognition",
    other: "中文",
    drop: "Drop pictures here, or click to choose",
    dropMore: "Pasting works too (Ctrl+V) · several at once · JPG, PNG and more",
    start: "Start recognition",
    busy: (done, all) => `Reading… ${done}/${all}`,
    clear: "Clear",
    pictures: "Pictures",
    thumb: (name, state) =>
      `${name}, ${{ waiting: "waiting", reading: "being read", read: "read", failed: "failed" }[state]}`,
    remove: (name) => `Remove ${name}`,
    result: "Text",
    hint: "Press “Start recognition” and the text appears here.",
    reading: "Reading this picture…",
    noLines: "No text was found in this picture.",
    noPreview: "The browser cannot show this picture.",
    summary: (lines, seconds) => `${lines} ${lines === 1 ? "line" : "lines"} · ${seconds} s`,
    confidence: (percent) => `confidence ${percent} %`,
    copy: "Copy text",
    copied: "Copied",
    saveTxt: "Download TXT",
    saveJson: "Download JSON",
    saveCsv: "Download CSV",
    photograph: "Take a photograph",
    edit: "Correct this line",
    correctedHere: "Corrected (on this page alone)",
    correctionKept: "Corrected, and kept for training",
    key: "This service asks for a key",
    keyGiven: "Go on",
    keyWrong: "This key is wrong. Type it again.",
    keyOdd: "A key has only unaccented Latin letters, digits and signs of an English keyboard.",
    cancel: "Cancel",
    model: (name) => `Model ${name}`,
    done: (read, failed, waiting) =>
      `Done: ${read} read` +
      (failed ? `, ${failed} failed` : "") +
      (waiting ? `, ${waiting} waiting` : ""),
    errors: {
      unreadable_image: "This picture cannot be read: see that it is whole, not too large, and a JPG, PNG or the like.",
      too_large: "The file is too large. Make it smaller and try again.",
      unreachable: "The server cannot be reached. See that it runs, then try again.",
      busy: "The server is busy. Try again in a moment.",
      no_key: "The key is missing or wrong.",
      bad_correction: "This line cannot be kept. Look at the corrected text.",
      other: "Reading failed. Try again.",
    },
  },
};

// The address keeps the choice (?lang=en), so that it can be bookmarked and nothing is stored.
function preferred() {
  const chosen = new URLSearchParams(location.search).get("lang") ?? navigator.language;
  return chosen.startsWith("zh") ? "zh" : "en";
}

let language = preferred();

export function word(name, ...values) {
  const found = WORDS[language][name];
  return typeof found === "function" ? found(...values) : found;
}

export function errorWord(code) {
  const { errors } = WORDS[language];
  return errors[code] ?? errors.other;
}

export function toggleLanguage() {
  language = language === "zh" ? "en" : "zh";
  history.replaceState(null, "", `?lang=${language}`);
}

// Fill every element that names its words in the page itself.
export function fillWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `${word("title")} · crnnkit`;
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = word(element.dataset.word);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
  }
}
