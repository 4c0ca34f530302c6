// The API page of textdetect: the endpoints as the server's own OpenAPI document has them, to read
// and to try. What comes from elsewhere is set as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const json = (value) => JSON.stringify(value, null, 2);
let api = null; // the document

function make(name, options = {}, ...children) {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
}

function resolved(schema) {
  return schema.$ref ? resolved(api.components.schemas[schema.$ref.split("/").at(-1)]) : schema;
}

// A value that the schema allows.
function sample(given) {
  const schema = resolved(given);
  const kinds = schema.oneOf ?? schema.anyOf;
  if (schema.examples) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (kinds) return sample(kinds.find((kind) => kind.type !== "null"));
  if (schema.type === "array") return [sample(schema.items)];
  if (schema.type !== "object") return { string: "", boolean: false }[schema.type] ?? 1;
  const needed = Object.entries(schema.properties ?? {}).filter(
    ([name, part]) => schema.required?.includes(name) || (part.default ?? null) !== null);
  return Object.fromEntries(needed.map(([name, part]) => [name, part.default ?? sample(part)]));
}

const BOUNDS = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<",
  maxLength: "characters ≤", maxItems: "items ≤" };

function inWords(kind) {
  if (kind.const !== undefined) return JSON.stringify(kind.const);
  if (kind.enum) return kind.enum.map((each) => JSON.stringify(each)).join(" or ");
  const bounds = Object.entries(BOUNDS).filter(([name]) => name in kind);
  const type = { array: "list" }[kind.type] ?? kind.type ?? "anything";
  return [type, ...bounds.map(([name, sign]) => `${sign} ${kind[name]}`)].join(", ");
}

// What values the schema allows: a line each, what is within them below.
function outline(name, given, indent = "") {
  const schema = resolved(given);
  const kinds = (schema.oneOf ?? schema.anyOf ?? [schema]).map(resolved);
  const told = [schema, ...kinds].find((each) => each.description && !each.properties)?.description;
  const below = kinds.flatMap((kind) => [
    ...Object.entries(kind.properties ?? {}).map(
      ([part, of]) => [kind.required?.includes(part) ? part : `${part}?`, of]),
    ...(kind.items ? [["each", kind.items]] : []),
    ...(kind.additionalProperties?.type ? [["each name", kind.additionalProperties]] : []),
  ]);
  return [
    `${indent}${name}: ${kinds.map(inWords).join(" or ")}${told ? `. ${told}` : ""}`,
    ...below.flatMap(([part, of]) => outline(part, of, `${indent}  `)),
  ];
}

async function send(method, path, body) {
  const headers = body === null ? {} : { "Content-Type": "application/json" };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  const options = { method, headers, body, credentials: "omit", cache: "no-store" };
  const answer = await fetch(path.slice(1) || "./", options);
  const text = await answer.text();
  const after = answer.headers.get("retry-after");
  const wait = after ? `; again after ${after} s` : "";
  try {
    return [`${answer.status}${wait}`, json(JSON.parse(text))];
  } catch {
    return [`${answer.status}${wait}`, text];
  }
}

function code(text, label) {
  const box = make("pre", { className: "full", textContent: text, tabIndex: 0 });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", label);
  return box;
}

function endpoint(method, path, about) {
  const name = `${method.toUpperCase()} ${path}`;
  const id = name.replace(/\W+/g, "-").toLowerCase();
  const asked = about.requestBody?.content["application/json"].schema;
  const answered = about.responses["200"].content?.["application/json"]?.schema;
  const heading = make("h2", { id, tabIndex: -1 }, make("code", {}, name));
  const section = make("section", {}, heading, make("p", {}, about.description ?? about.summary));
  section.setAttribute("aria-labelledby", id);

  const form = make("form");
  const body = make("textarea", { id: `${id}-body`, className: "code", rows: 8, spellcheck: false });
  if (asked) {
    body.value = json(sample(asked));
    form.append(make("label", { htmlFor: body.id, className: "strong" }, "Request"), body);
  }
  const status = make("p", { className: "soft" });
  status.setAttribute("role", "status");
  const result = code("", `Answer of ${name}`);
  result.hidden = true;
  form.append(make("p", { className: "actions" }, make("button", { type: "submit" }, `Try ${name}`)), status, result);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    status.textContent = "Asking …";
    try {
      [status.textContent, result.textContent] = await send(method, path, asked ? body.value : null);
      result.hidden = false;
    } catch {
      status.textContent = "The server can’t be reached, or the key can’t be sent.";
      result.hidden = true;
    }
  });

  const details = make("details", {}, make("summary", {}, `What ${name} takes and gives`));
  for (const [title, schema] of [["Request", asked], ["Answer", answered]]) {
    if (schema) details.append(code(outline(title, schema).join("\n"), `${title} of ${name}`));
  }
  const others = Object.entries(about.responses).filter(([number]) => number !== "200");
  details.append(make("h3", {}, "Otherwise"), make("ul", {}, ...others.map(
    ([number, { description }]) => make("li", {}, `${number}: ${description}`))));
  section.append(form, details);
  $("paths").append(make("li", {}, make("a", { href: `#${id}` }, name)));
  return section;
}

async function start() {
  $("page").hidden = false;
  try {
    api = await (await fetch("openapi.json", { credentials: "omit" })).json();
  } catch {
    $("error").textContent = "The server does not answer: load this page again.";
    return;
  }
  $("lead").textContent = api.info.description;
  $("key-field").addEventListener("submit", (event) => event.preventDefault());
  $("key-field").hidden = !api.components.securitySchemes;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, about] of Object.entries(methods)) {
      if (!about.tags?.includes("page")) $("main").append(endpoint(method, path, about));
    }
  }
}

start();
