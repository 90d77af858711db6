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

/** Every `npx pith …` of a page, in blocks of code and in sentences. */
export function commandLines(page: string): readonly CommandLine[] {
  const lines = page.replaceAll(/\\\n\s*/g, " ").matchAll(/npx pith ([^\n`#]*)(?:#([^\n]*))?/g);
  return [...lines].map(([, text = "", comment = ""]) => ({
    words: (text.match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll(/^["']|["']$/g, "")),
    comment: comment.trim(),
  }));
}
