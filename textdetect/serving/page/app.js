// The page of textdetect: posts in, verdicts out. What a post or a file says reaches the document
// as text only, never as markup; nothing is kept, neither here nor in the browser's storage.
"use strict";

const PIECE = 250; // posts in a request, where the server takes as many: so that progress shows
const [ENVELOPE_BYTES, ITEM_BYTES] = [256, 10]; // of a request beside its texts
const MAX_TRIES = 10;
const MAX_WAIT_S = 300;
const MAX_FILE_BYTES = 50e6;
const PAGE_ROWS = 200;
const SHORT = 140; // characters of a post that its row shows at first
const SHAPES = { machine: "▲", not_flagged: "○", uncertain: "?" };
const TEXT_COLUMNS = [
  ..."text full_text post tweet content body message comment review post_text".split(" "),
  ..."tweet_text comment_text review_text caption selftext".split(" "),
  ..."正文 微博正文 内容 文本 评论 评论内容".split(" "),
];
const SHOWN_FIELDS = ["number", "post", "label", "probability", "p_value", "language", "reason"];
const CSV_FIELDS = ["label", "probability", "logit", "p_value", "flagged", "language", "reason",
  "n_tokens", "truncated", "notes", "max_fpr", "model", "version", "fingerprint", "numerics"];
const UNREADABLE = { label: "uncertain", probability: null, logit: null, p_value: null,
  flagged: false, language: "und", reason: "unreadable", n_tokens: null, truncated: false, notes: [] };

const count = (n) => n.toLocaleString("en");
const posts = (n) => `${count(n)} ${n === 1 ? "post" : "posts"}`;
const LANGUAGES = ["en", "zh-Hans"];

/** What the page says, in each of LANGUAGES; a function where it has something to fill in. */
const WORDS = {
  name: ["English", "简体中文"],
  languages: ["Language of this page", "页面语言"],
  skip: ["Skip to the form", "跳到表单"],
  title: ["Did a machine write this post?", "这条帖子是机器写的吗？"],
  lead: ["Paste posts, or choose a file. Each post gets a verdict with a stated error rate.",
    "粘贴帖子，或选择文件。每条帖子都会得到一个判断，并附有明确的错误率。"],
  caution: ["A flag is a statistical statement about a text, not about a person. It is never the sole "
    + "ground for a sanction or a legal claim, and not for grading essays, hiring or asylum.",
  "标记是对一段文本的统计判断，而不是对某个人的判断。它绝不能单独作为处罚或法律主张的依据，也不得用于论文评分、招聘或庇护审查。"],
  about: ["What a verdict says, and doesn’t", "判断说明什么，不说明什么"],
  posts: ["Posts", "帖子"],
  unit: ["Plain text:", "纯文本："],
  lines: ["each line is a post", "每行是一条帖子"],
  whole: ["all of it is one post", "全部是一条帖子"],
  choose: ["Choose a file", "选择文件"],
  kinds: ["or drop it here: CSV, TSV, JSONL or TXT, up to 50 MB",
    "或拖放到此处：CSV、TSV、JSONL 或 TXT，不超过 50 MB"],
  column: ["Column of the posts", "帖子所在的列"],
  unnamed: [(i) => `column ${i}`, (i) => `第 ${i} 列`],
  pick: ["choose one", "请选择"],
  begins: ["Begins with:", "开头："],
  remove: ["Remove the file", "移除文件"],
  file_posts: [(n) => `· ${posts(n)}`, (n) => `· ${count(n)} 条帖子`],
  max_fpr: ["Human posts flagged, at most", "人写的帖子被标记的比例不超过"],
  key: ["API key", "API 密钥"],
  key_hint: ["Kept in memory only, until this page closes.", "只保存在内存中，关闭页面即消失。"],
  judge: ["Judge", "判断"],
  stop: ["Stop", "停止"],
  privacy: ["Posts go to this server only. This page keeps nothing.",
    "帖子只发送到本服务器。本页面不保存任何内容。"],
  progress: [(n, all) => `${count(n)} of ${posts(all)} judged …`,
    (n, all) => `已判断 ${count(n)} / ${count(all)} 条……`],
  waiting: [(seconds) => `The server is busy; going on in ${seconds} s.`,
    (seconds) => `服务器繁忙，${seconds} 秒后继续。`],
  done: ["Done.", "完成。"],
  stopped: [(n, all) => `Stopped: ${count(n)} of ${posts(all)} judged.`,
    (n, all) => `已停止：共 ${count(all)} 条，已判断 ${count(n)} 条。`],
  results: ["Verdicts", "判断结果"],
  summary: [(n, flagged, uncertain, rest, rate) => `${posts(n)}: ${count(flagged)} flagged as `
    + `machine-written, ${count(uncertain)} uncertain, ${count(rest)} not flagged. Set to flag at `
    + `most ${rate} of the posts by people like those of the calibration.`,
  (n, flagged, uncertain, rest, rate) => `共 ${count(n)} 条：${count(flagged)} 条标记为机器所写，`
    + `${count(uncertain)} 条不确定，${count(rest)} 条未标记。设定为：在与校准人群相似的人所写的帖子中，最多标记 ${rate}。`],
  show: ["Show", "显示"],
  all: ["all", "全部"],
  download: ["Download CSV", "下载 CSV"],
  more: [(shown, n) => `Show more (${count(shown)} of ${count(n)} shown)`,
    (shown, n) => `显示更多（已显示 ${count(shown)} / ${count(n)}）`],
  number: ["No.", "序号"],
  post: ["Post", "帖子"],
  label: ["Verdict", "判断"],
  machine: ["machine", "机器"],
  not_flagged: ["not flagged", "未标记"],
  uncertain: ["uncertain", "不确定"],
  probability: ["Probability", "概率"],
  p_value: ["p-value", "p 值"],
  language: ["Language", "语言"],
  reason: ["Why uncertain", "不确定的原因"],
  unknown: ["unknown", "未知"],
  nothing_there: ["(empty)", "（空）"],
  truncated: ["only its beginning was read", "只读取了开头部分"],
  html: ["has HTML", "含 HTML"],
  hidden_characters: ["has hidden characters", "含隐藏字符"],
  model_leftovers: ["has a model’s leftovers", "含模型残留文字"],
  mostly_quotation: ["mostly quotation", "大部分是引用"],
  model: ["The model", "模型"],
  model_name: ["Name", "名称"],
  version: ["Version", "版本"],
  numerics: ["Numerics", "数值类别"],
  fingerprint: ["Fingerprint", "指纹"],
  model_languages: ["Languages", "语言"],
  no_model: ["Not known yet: the server has not said.", "尚不清楚：服务器还没有给出信息。"],
  nothing: ["There is nothing to judge: paste a post or choose a file.",
    "没有可判断的内容：请粘贴帖子或选择文件。"],
  no_column: ["Choose the column of the posts.", "请选择帖子所在的列。"],
  wrong_kind: ["This file can’t be read here: a name that ends in .csv, .tsv, .jsonl or .txt is expected.",
    "无法读取此文件：文件名应以 .csv、.tsv、.jsonl 或 .txt 结尾。"],
  too_large: ["This file is too large for the page. Send it to the API in parts.",
    "文件太大，本页面无法处理。请分批发送到 API。"],
  not_text: ["This file is not text in UTF-8. Save it again as UTF-8 (in a spreadsheet: “CSV UTF-8”).",
    "此文件不是 UTF-8 文本。请另存为 UTF-8（在电子表格中选择“CSV UTF-8”）。"],
  no_rows: ["This file has no rows.", "此文件没有数据行。"],
  open_quote: [(line) => `The quote that opens on line ${count(line)} is never closed.`,
    (line) => `第 ${count(line)} 行开始的引号没有结束。`],
  unreachable: ["The server can’t be reached.", "无法连接服务器。"],
  key_needed: ["This server asks for an API key. Enter it, then judge again.",
    "此服务器需要 API 密钥。请输入密钥，然后重新判断。"],
  key_refused: ["The server does not accept this API key.", "服务器不接受此 API 密钥。"],
  refused: [(status, message) => `The server refused (${status}): ${message}`,
    (status, message) => `服务器拒绝了请求（${status}）：${message}`],
  odd_answer: ["The server’s answer can’t be understood.", "无法理解服务器的回答。"],
  about_p_value: ["How rarely a post by a person, in this language and of this length, scores as high.",
    "由人所写、语言和长度相同的帖子中，得分达到这么高的有多少见。"],
  about_max_fpr: ["You choose it: max_fpr. A post is flagged if its p-value is at most this share. It is promised, "
    + "with 95% confidence, for people like those of the calibration; for others it may be higher.",
  "由您选择（max_fpr）。p 值不超过此比例的帖子会被标记。对于与校准人群相似的人，这一比例以 95% 的置信度得到保证；对于其他人群，实际比例可能更高。"],
  about_probability: ["For reading only: of a machine, if half of all posts were by machines. The p-value "
    + "decides.", "仅供参考：假设一半帖子由机器所写，这条帖子是机器所写的概率。判断以 p 值为准。"],
  about_machine: ["The post scores as high as hardly any post by a person: it is flagged.",
    "得分之高，在人写的帖子中极为罕见：帖子被标记。"],
  about_not_flagged: ["The score is low. It does not prove that a person wrote the post.",
    "得分低。这并不证明帖子是人写的。"],
  about_uncertain: ["Neither can be said; the reason says why.", "两者都无法判断；原因见说明。"],
  base_rate: ["Mind the base rate", "注意基础比例"],
  about_base_rate: ["With 1% machines among the posts, a detector that finds half of them at 1% false "
    + "positives is right in one flag of three.",
  "如果帖子中有 1% 由机器所写，而检测器以 1% 的误报率找出其中一半，那么每三个标记中只有一个是对的。"],
  about_reasons: ["Why a verdict is uncertain", "判断为何不确定"],
  empty: ["nothing to read", "没有可读的内容"],
  about_empty: ["The post is empty, or holds nothing but spaces and signs.", "帖子是空的，或只有空格和符号。"],
  no_own_words: ["no words of the account’s own", "没有账号自己的文字"],
  about_no_own_words: ["All of it is quoted, reposted or a platform’s placeholder.",
    "全部是引用、转发或平台占位文字。"],
  too_short: ["too few words to tell", "字数太少，无法判断"],
  about_too_short: ["In so few words people and machines write alike.", "这么短的文字，人和机器写出来没有差别。"],
  unsupported_language: ["the model does not know this language", "模型不支持这种语言"],
  about_unsupported_language: ["Its languages are listed at the end of this page.", "支持的语言列在页面末尾。"],
  too_few_calibration: ["too few calibration posts for this rate", "校准文本太少，达不到此比例"],
  about_too_few_calibration: ["So small a share can’t be promised for this language and length; a larger "
    + "one may be.", "对于这种语言和长度，无法保证这么小的比例；较大的比例也许可以。"],
  inconclusive: ["looks machine-written, below the bar", "像机器所写，但未达到标记标准"],
  about_inconclusive: ["The score is high, but people’s posts score as high too often to flag it.",
    "得分较高，但人写的帖子也常有这么高的得分，因此不标记。"],
  unreadable: ["the row could not be read", "此行无法读取"],
  about_unreadable: ["A broken line of the file; it was not sent.", "文件中这一行已损坏，没有发送。"],
};
const REASONS = ["empty", "no_own_words", "too_short", "unsupported_language", "too_few_calibration",
  "inconclusive", "unreadable"];

/** What went wrong, as a key of WORDS and what fills it in. */
class Trouble extends Error {
  constructor(...said) {
    super(said[0]);
    this.said = said;
  }
}

const $ = (id) => document.getElementById(id);
const told = { status: [], error: [] };
let speech = 0; // a place in LANGUAGES
let model = null; // what the server says of it
let file = null; // {name, plain} or {name, columns, rows: [{cells, text?, unreadable?}], column}
let results = []; // {number, text, cells, verdict, model, max_fpr}
let columns = []; // of the results' cells
let stopper = null; // of the run that goes on
let next = 0; // the first result that the table has not looked at
let n_rows = PAGE_ROWS; // that the table may have

const say = (key, ...values) => {
  const word = WORDS[key][speech];
  return typeof word === "function" ? word(...values) : word;
};
const format = (value, options) => value.toLocaleString(LANGUAGES[speech], options);
const percent = (share) => format(share, { style: "percent", maximumFractionDigits: 2 });

function make(tag, content = "", attributes = {}) {
  const element = document.createElement(tag);
  element.append(content);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Say something in one of the live regions, "status" or "error"; without a key, fall silent. */
function tell(region, ...said) {
  told[region] = said;
  $(region).textContent = said.length ? say(...said) : "";
}

function speak(place) {
  speech = place;
  document.documentElement.lang = LANGUAGES[place];
  document.title = `textdetect · ${say("title")}`;
  for (const element of document.querySelectorAll("[data-t]")) {
    element.textContent = say(element.dataset.t);
  }
  for (const option of $("max-fpr").options) option.textContent = percent(Number(option.value));
  $("languages").setAttribute("aria-label", say("languages"));
  $("bar").setAttribute("aria-label", say("results"));
  [...$("languages").children].forEach((button, i) => button.setAttribute("aria-pressed", i === place));
  $("reasons").replaceChildren(
    ...REASONS.flatMap((name) => [make("dt", say(name)), make("dd", say(`about_${name}`))]),
  );
  for (const region of Object.keys(told)) tell(region, ...told[region]);
  showModel();
  showFile();
  showResults();
}

// Reading

/** Split delimited text (RFC 4180) into rows of cells; blank lines are none. */
function parseDelimited(text, delimiter) {
  const rows = [];
  let [row, cell, quoted, untouched, line, opened] = [[], "", false, true, 1, 0];
  const endRow = () => {
    if (row.length || !untouched) rows.push([...row, cell]);
    [row, cell, untouched] = [[], "", true];
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "\n" || (c === "\r" && text[i + 1] !== "\n")) line++;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[i++];
      else quoted = false;
    } else if (c === '"' && untouched) {
      [quoted, untouched, opened] = [true, false, line];
    } else if (c === delimiter) {
      row.push(cell);
      [cell, untouched] = ["", true];
    } else if (c === "\n" || c === "\r") {
      endRow();
    } else {
      cell += c;
      untouched = false;
    }
  }
  if (quoted) throw new Trouble("open_quote", opened);
  endRow();
  return rows;
}

/** Read a table; a row that has other than the header's number of cells can't be trusted. */
function readDelimited(text, delimiter) {
  let parsed = parseDelimited(text, delimiter);
  const other = [...",;\t"].find((c) => parsed[0]?.length === 1 && parsed[0][0].includes(c));
  if (other) parsed = parseDelimited(text, other);
  const [names = [], ...rows] = parsed;
  return {
    columns: names,
    rows: rows.map((cells) => (cells.length === names.length ? { cells }
      : { cells: names.map((_, i) => cells[i]), text: cells.join(" "), unreadable: true })),
  };
}

function readJsonl(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  const records = lines.map((line) => {
    try {
      const value = JSON.parse(line);
      return value instanceof Object && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  });
  const names = [...new Set(records.flatMap((record) => Object.keys(record ?? {})))];
  const cell = (record, name) => {
    const value = Object.hasOwn(record, name) ? record[name] : null;
    return value === null || typeof value === "string" ? value : JSON.stringify(value);
  };
  return {
    columns: names,
    rows: records.map((record, i) => (record ? { cells: names.map((name) => cell(record, name)) }
      : { cells: [], text: lines[i], unreadable: true })),
  };
}

function decode(bytes) {
  const [a, b] = new Uint8Array(bytes);
  const utf16 = { "255,254": "utf-16le", "254,255": "utf-16be" }[`${a},${b}`];
  try {
    return new TextDecoder(utf16 ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Trouble("not_text");
  }
}

async function takeFile(given) {
  tell("error");
  try {
    const kind = given.name.toLowerCase().match(/\.(csv|tsv|jsonl|ndjson|txt)$/)?.[1];
    if (!kind) throw new Trouble("wrong_kind");
    if (given.size > MAX_FILE_BYTES) throw new Trouble("too_large");
    const text = decode(await given.arrayBuffer());
    const delimiter = { csv: ",", tsv: "\t" }[kind];
    const read = kind === "txt" ? { plain: text }
      : delimiter ? readDelimited(text, delimiter) : readJsonl(text);
    if (kind !== "txt" && !(read.rows.length && read.columns.length)) throw new Trouble("no_rows");
    file = { name: given.name, column: findColumn(read.columns ?? []), ...read };
    showFile();
  } catch (error) {
    complain(error);
  }
}

function findColumn(names) {
  const folded = names.map((name) => name.trim().toLowerCase());
  const found = TEXT_COLUMNS.map((name) => folded.indexOf(name)).find((i) => i >= 0);
  return found ?? (names.length === 1 ? 0 : -1);
}

/** The posts of the file, or else of the text area: [{text, cells, unreadable?}]. */
function readPosts() {
  if (file?.columns) return file.rows.map((row) => ({ text: row.cells[file.column], ...row }));
  const plain = file ? file.plain : $("posts").value;
  const whole = document.querySelector("[name=unit]:checked").value === "whole";
  const texts = whole ? [plain.trim()] : plain.split(/\r\n|\r|\n/).filter((text) => text.trim());
  return texts.filter(Boolean).map((text) => ({ text, cells: [text] }));
}

function showFile() {
  const names = file?.columns;
  $("paste").hidden = Boolean(file);
  $("chosen").hidden = !file;
  $("unit").hidden = Boolean(names);
  $("column-field").hidden = !names;
  if (!file) return;
  if (names) {
    const options = names.map((name, i) => new Option(name.trim() || say("unnamed", i + 1), i));
    if (file.column < 0) options.unshift(new Option(say("pick"), -1));
    $("column").replaceChildren(...options);
    $("column").value = file.column;
  }
  const found = readPosts();
  $("file-name").textContent = file.name;
  $("file-count").textContent = say("file_posts", found.length);
  $("preview").textContent = shorten(found.find((post) => post.text?.trim())?.text ?? "–");
}

// Judging

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

/** Ask the server; where it is busy, wait as long as it says and ask again. */
async function ask(path, body) {
  const [key, before, signal] = [$("key").value.trim(), told.status, stopper?.signal];
  if (!/^[\x21-\x7e]*$/.test(key)) throw new Trouble("key_refused"); // no header can hold it
  const headers = { ...(body && { "Content-Type": "application/json" }),
    ...(key && { Authorization: `Bearer ${key}` }) };
  for (let tried = 1; ; tried++) {
    const request = { method: body ? "POST" : "GET", headers, body, signal, cache: "no-store" };
    const response = await fetch(path, request).catch((error) => {
      throw error.name === "AbortError" ? error : new Trouble("unreachable");
    });
    if (response.ok) return response.json();
    if (response.status === 401) throw new Trouble(key ? "key_refused" : "key_needed");
    const answer = await response.json().catch(() => null);
    const wait = Number(response.headers.get("Retry-After") ?? 2 ** tried);
    const busy = response.status === 429 || response.status === 503;
    if (!busy || tried === MAX_TRIES || !(wait <= MAX_WAIT_S)) {
      throw new Trouble("refused", response.status, answer?.error?.message ?? response.statusText);
    }
    tell("status", "waiting", Math.ceil(wait));
    await pause(wait, signal);
    tell("status", ...before);
  }
}

/** Cut posts into pieces that the server takes, each post to the characters that it takes. */
function* pieces(all, limits) {
  const size = (text) => new TextEncoder().encode(JSON.stringify(text)).length + ITEM_BYTES;
  let [piece, room] = [[], 0];
  for (const post of all) {
    let sent = post.unreadable ? null : post.text ?? null;
    const long = sent?.length > limits.characters && [...sent].length > limits.characters;
    if (long) sent = [...sent].slice(0, limits.characters).join("");
    room -= size(sent);
    if (piece.length === Math.min(PIECE, limits.posts) || room < 0) {
      if (piece.length) yield piece;
      [piece, room] = [[], limits.body_bytes - ENVELOPE_BYTES - size(sent)];
    }
    piece.push({ ...post, sent: sent?.toWellFormed?.() ?? sent, long });
  }
  if (piece.length) yield piece;
}

async function judgePiece(piece, max_fpr) {
  const sent = piece.filter((post) => !post.unreadable).map((post) => ({ text: post.sent }));
  const answer = sent.length ? await ask("v1/score", JSON.stringify({ posts: sent, max_fpr }))
    : { model, max_fpr, verdicts: [] };
  if (answer.verdicts?.length !== sent.length) throw new Trouble("odd_answer");
  const verdicts = answer.verdicts.values();
  for (const { text, cells, unreadable, long } of piece) {
    const verdict = unreadable ? UNREADABLE : verdicts.next().value;
    results.push({ number: results.length + 1, text, cells, model: answer.model,
      max_fpr: answer.max_fpr, verdict: long ? { ...verdict, truncated: true } : verdict });
  }
  model = { ...model, ...answer.model };
}

async function judge(event) {
  event.preventDefault();
  if (stopper) return;
  tell("error");
  const all = readPosts();
  try {
    if (file?.columns && file.column < 0) throw new Trouble("no_column");
    if (!all.length) throw new Trouble("nothing");
    stopper = new AbortController();
    [results, columns] = [[], file?.columns ?? ["text"]];
    showRunning();
    showResults();
    tell("status", "progress", 0, all.length);
    model ??= await ask("v1/model");
    showModel();
    const max_fpr = Number($("max-fpr").value);
    for (const piece of pieces(all, model.limits)) {
      await judgePiece(piece, max_fpr);
      tell("status", "progress", results.length, all.length);
      $("bar").value = results.length / all.length;
      fillTable();
    }
    tell("status", "done");
  } catch (error) {
    const stopped = error.name === "AbortError";
    const begun = stopper && (stopped || results.length);
    tell("status", ...(begun ? ["stopped", results.length, all.length] : []));
    if (!stopped) complain(error);
  } finally {
    stopper = null;
    showRunning();
    showModel();
    showSummary();
  }
}

function complain(error) {
  const said = error instanceof Trouble ? error.said : ["odd_answer"];
  tell("error", ...said);
  if (said[0].startsWith("key_")) $("key-field").hidden = false;
  const field = { key_needed: "key", key_refused: "key", no_column: "column", nothing: "posts" };
  if (said[0] in field) $(field[said[0]]).focus();
}

// Showing

function showRunning() {
  if (!stopper && document.activeElement === $("stop")) $("judge").focus();
  $("judge").setAttribute("aria-disabled", stopper !== null);
  $("stop").hidden = $("bar").hidden = !stopper;
  $("bar").value = 0;
}

function showModel() {
  const facts = model === null ? { model_name: say("no_model") } : {
    model_name: model.name,
    version: model.version,
    numerics: model.numerics,
    fingerprint: make("code", model.fingerprint.slice(0, 16)),
    model_languages: new Intl.ListFormat(LANGUAGES[speech]).format(model.languages.map(languageName)),
  };
  $("model").replaceChildren(...Object.entries(facts).flatMap(
    ([name, value]) => [make("dt", say(name)), make("dd", value)],
  ));
  const options = [...$("max-fpr").options];
  for (const option of options) option.disabled = Number(option.value) < model?.smallest_max_fpr;
  const usable = options.find((option) => !option.disabled);
  if ($("max-fpr").selectedOptions[0]?.disabled && usable) usable.selected = true;
}

function languageName(code) {
  if (code === "und" || !/^[a-z]{2,3}$/.test(code)) return say("unknown");
  return new Intl.DisplayNames([LANGUAGES[speech]], { type: "language" }).of(code);
}

function shorten(text) {
  const characters = [...text.slice(0, 4 * SHORT).replace(/\s+/g, " ").trim()];
  return characters.slice(0, SHORT).join("") + (characters.length > SHORT ? "…" : "");
}

function shownPost(text) {
  if (!text?.trim()) return make("span", say("nothing_there"), { class: "soft" });
  const short = shorten(text);
  if (short === text.trim()) return short;
  const details = make("details", make("summary", short));
  details.append(make("p", text, { class: "full", tabindex: 0 }));
  return details;
}

function shownLabel(label) {
  const shown = make("span", make("span", SHAPES[label], { "aria-hidden": true }),
    { class: `verdict ${label}` });
  shown.append(" ", say(label));
  return shown;
}

/** Show a share; what is not quite nothing or all is not rounded to it. */
function shownShare(value, least, options) {
  if (value === null) return "–";
  if (value > 0 && value < least) return `<${format(least, options)}`;
  return value < 1 && value > 1 - least ? `>${format(1 - least, options)}` : format(value, options);
}

function tableRow({ number, text, verdict }) {
  const cells = {
    number: format(number),
    post: shownPost(text),
    label: shownLabel(verdict.label),
    probability: shownShare(verdict.probability, 0.01, { style: "percent" }),
    p_value: shownShare(verdict.p_value, 0.0001, { maximumSignificantDigits: 4 }),
    language: languageName(verdict.language),
    reason: verdict.reason ? say(verdict.reason) : "",
  };
  const row = make("tr", "", { role: "row" });
  for (const [name, value] of Object.entries(cells)) {
    const cell = make("td", value, { role: "cell", class: name, "data-name": say(name) });
    if (name === "post") cell.dir = "auto";
    if (name === "post" && /^[a-z]{2}$/.test(verdict.language)) cell.lang = verdict.language;
    if (name === "label") {
      const notes = [...verdict.truncated ? ["truncated"] : [], ...verdict.notes];
      cell.append(...notes.map((note) => make("span", say(note), { class: "note" })));
    }
    row.append(cell);
  }
  return row;
}

/** Add rows for the results that the table has not looked at, up to as many as it may have. */
function fillTable() {
  const passes = ({ verdict }) => [verdict.label, ""].includes($("filter").value);
  const rows = $("rows");
  for (; next < results.length && rows.children.length < n_rows; next++) {
    if (passes(results[next])) rows.append(tableRow(results[next]));
  }
  const n_left = results.slice(next).filter(passes).length;
  $("verdicts").hidden = $("results-title").hidden = !results.length;
  $("more").hidden = !n_left;
  $("more").textContent = say("more", rows.children.length, rows.children.length + n_left);
}

function showMore() {
  const n_before = $("rows").children.length;
  n_rows += PAGE_ROWS;
  fillTable();
  const first = $("rows").children[n_before];
  first.tabIndex = -1;
  first.focus(); // the button may be gone now
}

function showResults() {
  [next, n_rows] = [0, PAGE_ROWS];
  $("rows").replaceChildren();
  $("head").replaceChildren(...SHOWN_FIELDS.map(
    (name) => make("th", say(name), { scope: "col", role: "columnheader", class: name }),
  ));
  fillTable();
  showSummary();
}

function showSummary() {
  const n = (label) => results.filter(({ verdict }) => verdict.label === label).length;
  $("summary").textContent = !results.length || stopper ? "" : say("summary", results.length,
    n("machine"), n("uncertain"), n("not_flagged"), percent(results[0].max_fpr));
}

/** A cell of CSV; a text that a spreadsheet would take for a formula gets a ' before it. */
function csvCell(value) {
  const risky = typeof value !== "number" && /^[=+\-@\t\r]/.test(value ?? "");
  const text = `${risky ? "'" : ""}${value ?? ""}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Each row's own columns, then the verdict's, which replace those that the file had already. */
function toCsv() {
  const kept = [...columns.keys()].filter((i) => !columns[i].startsWith("td_"));
  const lines = results.map(({ cells, verdict, model: { name, ...origin }, max_fpr }) => {
    const all = { ...verdict, notes: verdict.notes.join(" "), ...origin, model: name, max_fpr };
    return [...kept.map((i) => cells[i]), ...CSV_FIELDS.map((field) => all[field])];
  });
  const head = [...kept.map((i) => columns[i]), ...CSV_FIELDS.map((field) => `td_${field}`)];
  return [head, ...lines].map((line) => `${line.map(csvCell).join(",")}\r\n`).join("");
}

function download() {
  const blob = new Blob(["\ufeff", toCsv()], { type: "text/csv" });
  const link = make("a", "", { href: URL.createObjectURL(blob), download: "verdicts.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Starting

const on = (id, kind, what) => $(id).addEventListener(kind, what);
on("form", "submit", judge);
on("stop", "click", () => stopper?.abort());
on("download", "click", download);
on("more", "click", showMore);
on("filter", "change", showResults);
on("unit", "change", showFile);
on("column", "change", () => {
  file.column = Number($("column").value);
  showFile();
});
on("remove", "click", () => {
  file = null;
  showFile();
  $("posts").focus();
});
on("file", "change", async () => {
  if ($("file").files.length) await takeFile($("file").files[0]);
  $("file").value = ""; // so that the same file, changed, can be chosen again
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // or the browser would leave the page for the file
    const gone = kind === "drop" || (kind === "dragleave" && !event.relatedTarget);
    document.body.classList.toggle("dragging", !gone);
    if (kind === "drop" && event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
  });
}
LANGUAGES.forEach((lang, place) => {
  const button = make("button", WORDS.name[place], { type: "button", lang });
  button.addEventListener("click", () => speak(place));
  $("languages").append(button);
});
speak(navigator.language.toLowerCase().startsWith("zh") ? 1 : 0);
$("page").hidden = false;
ask("v1/model").then((answer) => {
  model = answer;
  showModel();
}, (error) => {
  if (error.said?.[0] === "key_needed") $("key-field").hidden = false;
  else complain(error);
});
