/** What a page in Markdown shows as code. */

export interface Code {
  /** "ts", "yaml", "sh"; "" where it is not said. */
  readonly language: string;
  readonly text: string;
}

/** The blocks of code of a page, or of one of its sections of second order: `## In code`. */
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
  /** Without the leading `npx pith`. */
  readonly words: readonly string[];
  /** What stands behind the `#`. */
  readonly comment: string;
}

/** Every `npx pith …` of a page, in blocks of code and in sentences, without placeholders and without what a shell redirects. */
export function commandLines(page: string): readonly CommandLine[] {
  const lines = page.replaceAll(/\\\n\s*/g, " ").matchAll(/npx pith (?!<)([^\n`#]*)(?:#([^\n]*))?/g);
  return [...lines].map(([, text = "", comment = ""]) => ({
    words: (text.replace(/ >>? .*/, "").match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) =>
      word.replaceAll(/^["']|["']$/g, ""),
    ),
    comment: comment.trim(),
  }));
}

/** A page without code blocks, tables, headings and comments; inline code is one word. */
function proseOf(page: string): string {
  return page
    .replaceAll(/^( *)```.*?^ *```$/gms, "")
    .replaceAll(/<!--.*?-->/gs, "")
    .replaceAll(/^ *(\||#).*$/gm, "")
    .replaceAll(/`[^`]*`/g, "Code")
    .replaceAll(/\]\([^)]*\)/g, "]");
}

/** The sentences of the paragraphs and list items of a page. A colon that a new line or a list follows ends one, too. */
export function sentences(page: string): readonly string[] {
  const paragraphs = proseOf(page).split(/\n\s*\n|^ *(?:-|\d+\.) /m);
  return paragraphs.flatMap((paragraph) => {
    const text = paragraph.replaceAll(/\s+/g, " ").trim();
    return [...new Intl.Segmenter("en", { granularity: "sentence" }).segment(text)].map(({ segment }) =>
      segment.trim(),
    );
  });
}

/** Targets of the links of a page, without those into the web. */
export function links(page: string): readonly string[] {
  const text = page.replaceAll(/^( *)```.*?^ *```$/gms, "");
  return [...text.matchAll(/\]\((?!\w+:)([^)\s]+)\)/g)].map(([, target = ""]) => target);
}

/** The fragments that lead to the headings of a page, as GitHub forms them. */
export function anchors(page: string): ReadonlySet<string> {
  const text = page.replaceAll(/^( *)```.*?^ *```$/gms, "");
  const fragments = new Set<string>();
  for (const [, title = ""] of text.matchAll(/^#+ (.*)$/gm)) {
    const plain = title.replaceAll(/\]\([^)]*\)/g, "").toLowerCase();
    const stem = plain
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
    for (let repeat = 0; ; repeat += 1) {
      const anchor = repeat === 0 ? stem : `${stem}-${repeat}`;
      if (fragments.has(anchor)) continue;
      fragments.add(anchor);
      break;
    }
  }
  return fragments;
}
