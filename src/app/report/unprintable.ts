/** Pattern of control characters (C0, C1), line and paragraph separators, bidirectional controls, zero-width characters, tags and noncharacters. */
export const unprintable =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names can contain control characters
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]/gu;

/** Escapes unprintable characters as in JSON: `\u001b`, `\n`. With `lines`, line ends are kept. */
export function escapeUnprintable(text: string, lines = false): string {
  return text.replace(unprintable, (character) =>
    lines && character === "\n" ? character : escapeCharacter(character),
  );
}

/** Escapes a character. `JSON.stringify` alone escapes only characters up to U+001F. */
function escapeCharacter(character: string): string {
  const json = JSON.stringify(character).slice(1, -1);
  if (json !== character) return json;
  return Array.from({ length: character.length }, (_, index) => unit(character.charCodeAt(index))).join("");
}

const unit = (code: number): string => `\\u${code.toString(16).padStart(4, "0")}`;
