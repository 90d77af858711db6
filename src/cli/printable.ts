/**
 * Text that a terminal shows as it is. Names in a file may hold anything: escape sequences that clear the screen or colour what follows, line
 * ends that forge a line of the result, characters that reverse the text around them. Each is printed as JSON writes it, `\u001b`, `\n`.
 */
import { randomUUID } from "node:crypto";
import picocolors from "picocolors";
import { escapeUnprintable } from "../report/printable.ts";

/** Stands before each code of the command's own colours. It is drawn at random, so that no name in a file can have it. */
const mark = randomUUID();
const styled = new RegExp(`(${mark}\\u001b\\[\\d+m)`);

type Style = "bold" | "dim" | "green" | "red" | "yellow";

export type Colors = Readonly<Record<Style, (text: string) => string>>;

/** Colours whose codes `printable` lets through where it is asked to, and none besides. */
export function markedColors(enabled: boolean): Colors {
  const plain = picocolors.createColors(enabled);
  const marked = (style: Style) => (text: string) => {
    const [open = "", close = ""] = plain[style]("|").split("|");
    return open === "" ? text : `${mark}${open}${text}${mark}${close}`;
  };
  return {
    bold: marked("bold"),
    dim: marked("dim"),
    green: marked("green"),
    red: marked("red"),
    yellow: marked("yellow"),
  };
}

export interface PrintableOptions {
  /** Whether codes of `markedColors` stay. */
  readonly colors?: boolean;
  readonly lines?: boolean;
}

/** A text in which nothing but printed characters is left, and marked codes of colours. */
export function printable(text: string, { colors = false, lines = false }: PrintableOptions = {}): string {
  const pieces = colors ? text.split(styled) : [text];
  // Every second piece is a code.
  return pieces.map((piece, index) => (index % 2 === 1 ? piece : escapeUnprintable(piece, lines))).join("");
}

export function unmarked(text: string): string {
  return text.replaceAll(mark, "");
}
