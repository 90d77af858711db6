/** Escapes text for terminals and logs of GitHub Actions, because names in a file can contain escape sequences or commands to the runner. */
import { randomUUID } from "node:crypto";
import picocolors from "picocolors";
import { escapeUnprintable } from "../../report/unprintable.ts";

/** Mark before the command's own color codes. It is random, so that no name in a file can contain it. */
const colorMark = randomUUID();
const colorPattern = new RegExp(`(${colorMark}\\u001b\\[\\d+m)`);

type Style = "bold" | "dim" | "green" | "red" | "yellow";

export type Colors = Readonly<Record<Style, (text: string) => string>>;

/** Returns functions whose color codes `escapeForTerminal` keeps. */
export function markedColors(isEnabled: boolean): Colors {
  const plain = picocolors.createColors(isEnabled);
  const markStyle = (style: Style) => (text: string) => {
    const [open = "", close = ""] = plain[style]("|").split("|");
    return open === "" ? text : `${colorMark}${open}${text}${colorMark}${close}`;
  };
  return {
    bold: markStyle("bold"),
    dim: markStyle("dim"),
    green: markStyle("green"),
    red: markStyle("red"),
    yellow: markStyle("yellow"),
  };
}

export function escapeForTerminal(
  text: string,
  { keepsColors = false, keepsLines = false }: { readonly keepsColors?: boolean; readonly keepsLines?: boolean } = {},
): string {
  const pieces = keepsColors ? text.split(colorPattern) : [text];
  return pieces
    .map((piece, index) => (index % 2 === 1 ? piece : escapeWorkflowCommands(escapeUnprintable(piece, keepsLines))))
    .join("");
}

const escapeWorkflowCommands = (text: string): string =>
  text.replace(/^(\s*):(?=:)/gm, "$1\\u003a").replace(/##(?=\w*\[)/g, "#\\u0023");

export function removeMarks(text: string): string {
  return text.replaceAll(colorMark, "");
}
