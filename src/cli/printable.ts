/**
 * Text that a terminal shows as it is. Names in a file may hold anything: escape sequences that clear the screen, line ends that
 * forge a line of the result, characters that reverse the text around them. Each is printed as JSON writes it, `\u001b`, `\n`.
 */

/** Control characters (C0, C1), line and paragraph separators, marks and overrides of writing direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Codes as the command line writes them for colour and weight of the text, and nothing else: they move and hide nothing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const styled = /(\u001b\[(?:[012]|22|3\d|9\d)m)/;

export interface PrintableOptions {
  /** Whether codes of colours stay. */
  readonly colors?: boolean;
  /** Whether it has several lines. */
  readonly lines?: boolean;
}

/** A text in which nothing but printed characters is left. */
export function printable(text: string, { colors = false, lines = false }: PrintableOptions = {}): string {
  const pieces = colors ? text.split(styled) : [text];
  // Every second piece is a code.
  return pieces.map((piece, index) => (index % 2 === 1 ? piece : escaped(piece, lines))).join("");
}

const escaped = (text: string, lines: boolean): string =>
  text.replace(unprintable, (character) => (lines && character === "\n" ? character : written(character)));

/** JSON leaves those above U+001F as they are. */
function written(character: string): string {
  const json = JSON.stringify(character).slice(1, -1);
  return json === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}` : json;
}
