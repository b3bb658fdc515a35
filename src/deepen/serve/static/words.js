// Every word of the page, in English and Chinese, and which of the two is chosen.

const WORDS = {
  en: {
    skip: "To the answers", run: "Run", language: "Language", docs: "For programs", token: "Token", enter: "Enter",
    input: "What to answer for", answer: "Answer", clear: "Clear", answers: "Answers",
    why: "What the answer comes from", card: "About this model", because: "Why this answer?",
    drop: "Drop pictures here, or choose files", draw: "Draw one", drawing: "Drawing field: with the keyboard, the arrow keys move the pen, the space bar puts it down and lifts it",
    wipe: "Wipe the drawing", dark: "light on dark", words: "Words with blanks between them",
    nothing: "Nothing has been asked yet.", working: "Answering ...", explaining: "Explaining; this takes some seconds ...",
    explained: "The explanation stands below.", done: "{n} answered.", some: "{n} answered, {m} not.",
    noSample: "There is nothing to answer for yet: drop or draw a picture, or fill in the fields.",
    tooLarge: "{name} and the others have more than {size} MiB together; take smaller or fewer ones.",
    tooMany: "{n} at once; at most {most} are answered together.", notPicture: "{name} is no picture.",
    gone: "The server does not answer. Is it still running? Try again.", late: "There was no answer within a minute. Try again.",
    needsToken: "This server needs a token.", busy: "The server is busy; try again in {n} s.", empty: "(not known)",
    task: "Task", model: "Network", parameters: "Parameters", version: "Version", target: "Answers", labels: "Classes",
    figure: "Figure", value: "Value", figuresOf: "Figures on the {split} split", row: "Row {n}", why_none: "(none)",
    share: "Probability", numbers: "{n} numbers", what: "A run of {task}.",
  },
  zh: {
    skip: "跳到答案", run: "模型", language: "语言", docs: "编程接口", token: "令牌", enter: "确定",
    input: "要回答的内容", answer: "回答", clear: "清空", answers: "答案",
    why: "答案从何而来", card: "关于这个模型", because: "为什么？",
    drop: "把图片拖到这里，或选择文件", draw: "画一张", drawing: "绘图区：键盘方向键移动画笔，空格键落笔或抬笔",
    wipe: "擦掉", dark: "深底浅笔", words: "用空格分开的词",
    nothing: "还没有提问。", working: "正在回答……", explaining: "正在解释，需要几秒钟……",
    explained: "解释在下方。", done: "已回答 {n} 个。", some: "已回答 {n} 个，{m} 个没有。",
    noSample: "还没有可回答的内容：请拖入或画一张图片，或填写各栏。",
    tooLarge: "{name} 等文件合计超过 {size} MiB，请换小一些或少一些的。",
    tooMany: "一次有 {n} 个，最多只能 {most} 个。", notPicture: "{name} 不是图片。",
    gone: "服务器没有回应。它还在运行吗？请再试一次。", late: "一分钟内没有答案，请再试一次。",
    needsToken: "这个服务器需要令牌。", busy: "服务器正忙，请在 {n} 秒后再试。", empty: "（未知）",
    task: "任务", model: "网络", parameters: "参数个数", version: "版本", target: "回答的列", labels: "类别",
    figure: "指标", value: "数值", figuresOf: "在 {split} 数据上的指标", row: "第 {n} 行", why_none: "（无）",
    share: "概率", numbers: "{n} 个数", what: "{task} 的模型。",
  },
};

let chosen = "en";

/** The word of this name, with {n} and the like filled in. */
export function word(name, values = {}) {
  return WORDS[chosen][name].replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/** Takes a language, puts it on the page and keeps it for the next visit. */
export function speak(language) {
  chosen = language in WORDS ? language : "en";
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  try { localStorage.setItem("language", chosen); } catch { /* a browser that keeps nothing */ }
}

/** The language of the last visit, else the browser's. */
export function preferred() {
  let kept = null;
  try { kept = localStorage.getItem("language"); } catch { /* a browser that keeps nothing */ }
  return kept ?? (navigator.language.startsWith("zh") ? "zh" : "en");
}

/** A number for people: six digits at most. */
export function number(value) {
  return Number.isInteger(value) ? value.toLocaleString(chosen) : Number(value.toPrecision(6)).toLocaleString(chosen, { maximumSignificantDigits: 6 });
}
