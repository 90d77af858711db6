/** Extracts code, sentences and links from pages in Markdown. */
import { headingAnchor } from "../../scripts/generate/heading-anchor.ts";

export interface Code {
  /** "ts", "yaml" or "sh"; "" if the block does not state it. */
  readonly language: string;
  readonly text: string;
}

/** Returns the code blocks of a page, or of one of its second-level sections, such as `## In code`. */
export function codeBlocks(page: string, section?: string): readonly Code[] {
  const part = section === undefined ? page : sectionOf(page, section);
  return [...part.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = "", text = ""]) => ({ language, text }));
}

function sectionOf(page: string, title: string): string {
  const [, section] = page.split(new RegExp(`^## ${title}$`, "m"));
  if (section === undefined) throw new Error(`The page has no section "${title}".`);
  return section.split(/^## /m)[0] ?? "";
}

export interface CommandLine {
  /** Without the words that start Pith. */
  readonly words: readonly string[];
  /** Text after the `#`. */
  readonly comment: string;
}

/** Returns every `npx pith …` and `npx --no-install pith …` of a page, in code blocks and in sentences, without placeholders and redirections. */
export function commandLines(page: string): readonly CommandLine[] {
  const lines = page.replaceAll(/\\\n\s*/g, " ").matchAll(/npx (?:--no-install )?pith (?!<)([^\n`#]*)(?:#([^\n]*))?/g);
  return [...lines].map(([, text = "", comment = ""]) => ({
    words: (text.replace(/ >>? .*/, "").match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) =>
      word.replaceAll(/^["']|["']$/g, ""),
    ),
    comment: comment.trim(),
  }));
}

/** Returns a page without code blocks, tables, headings and comments, and with inline code as one word. */
function proseOf(page: string): string {
  return page
    .replaceAll(/^( *)```.*?^ *```$/gms, "")
    .replaceAll(/<!--.*?-->/gs, "")
    .replaceAll(/^ *(\||#).*$/gm, "")
    .replaceAll(/`[^`]*`/g, "Code")
    .replaceAll(/\]\([^)]*\)/g, "]");
}

/** Returns the sentences of paragraphs and list items. A colon before a new line or a list also ends a sentence. */
export function sentences(page: string): readonly string[] {
  const paragraphs = proseOf(page).split(/\n\s*\n|^ *(?:-|\d+\.) /m);
  return paragraphs.flatMap((paragraph) => {
    const text = paragraph.replaceAll(/\s+/g, " ").trim();
    return [...new Intl.Segmenter("en", { granularity: "sentence" }).segment(text)].map(({ segment }) =>
      segment.trim(),
    );
  });
}

/** Returns the link targets of a page, without web addresses. */
export function links(page: string): readonly string[] {
  const text = page.replaceAll(/^( *)```.*?^ *```$/gms, "");
  return [...text.matchAll(/\]\((?!\w+:)([^)\s]+)\)/g)].map(([, target = ""]) => target);
}

/** Returns the anchors that GitHub generates for the headings of a page. */
export function anchors(page: string): ReadonlySet<string> {
  const text = page.replaceAll(/^( *)```.*?^ *```$/gms, "");
  const fragments = new Set<string>();
  for (const [, title = ""] of text.matchAll(/^#+ (.*)$/gm)) {
    const stem = headingAnchor(title.replaceAll(/\]\([^)]*\)/g, ""));
    for (let repeat = 0; ; repeat += 1) {
      const anchor = repeat === 0 ? stem : `${stem}-${repeat}`;
      if (fragments.has(anchor)) continue;
      fragments.add(anchor);
      break;
    }
  }
  return fragments;
}
