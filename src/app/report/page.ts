/** The frame of self-contained pages, whose policy forbids loading anything. */
import { type Content, html, trusted } from "./markup.ts";

const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/** Identifies pages that Pith wrote. */
export const pageMark = '<meta name="generator" content="Pith">';

export function page(parts: {
  readonly title: string;
  readonly style: string;
  readonly body: Content;
  readonly script?: string;
}): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
${trusted(pageMark)}
<meta http-equiv="Content-Security-Policy" content="${trusted(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${parts.title}</title>
<style>${trusted(parts.style)}</style>
</head>
<body>
${parts.body}
${parts.script !== undefined && html`<script>${trusted(parts.script)}</script>`}
</body>
</html>
`.markup;
}
