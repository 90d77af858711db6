/** Builds HTML that is escaped by construction, so that a layer named `<script>` is only a name. */
import { unprintable } from "./unprintable.ts";

/** HTML or SVG that only `html` and `trusted` create. */
export interface Markup {
  readonly markup: string;
}

export type Content = Markup | string | number | undefined | false | readonly Content[];

/**
 * Returns a piece of HTML. Attribute values must be in double quotes.
 * @example html`<td title="${name}">${name}</td>`
 */
export function html(parts: TemplateStringsArray, ...contents: readonly Content[]): Markup {
  const pieces = parts.map((part, index) => part + textOf(contents[index]));
  return { markup: pieces.join("") };
}

/** Returns text in which lines do not break inside flags, and not between a number and its unit. */
export function keepTermsWhole(text: string): Content {
  return text
    .split(/(--[a-z][a-z-]*|[−+\d][\d.,]* (?:[%×]|[kMGT]?B\b|m?s\b|dB\b|points?\b))/)
    .map((piece, index) => (index % 2 === 1 ? html`<span class="flag">${piece}</span>` : piece));
}

/** Returns HTML, CSS or JavaScript without escaping it. Never pass text from a file. */
export function trusted(markup: string): Markup {
  return { markup };
}

/** Escapes HTML. Replaces invisible characters by a visible one, because they could make two names look the same. */
export function escapeText(text: string): string {
  return text
    .replace(unprintable, (character) => (character === "\n" || character === "\t" ? character : "\ufffd"))
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function textOf(content: Content): string {
  if (content === undefined || content === false) return "";
  if (typeof content === "string") return escapeText(content);
  if (typeof content === "number") return String(content);
  return "markup" in content ? content.markup : content.map(textOf).join("");
}

const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

export function pageMarkup(parts: { readonly title: string; readonly style: string; readonly body: Content }): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="Pith">
<meta http-equiv="Content-Security-Policy" content="${trusted(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${parts.title}</title>
<style>${trusted(parts.style)}</style>
</head>
<body>
${parts.body}
</body>
</html>
`.markup;
}
