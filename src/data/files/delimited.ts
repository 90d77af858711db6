/** Parses .csv (RFC 4180) and .tsv files. In .tsv files, each line is a record, and quotation marks count only around a complete field. */
import { PithError } from "../../core/errors.ts";
import { requireShortLines } from "./lines.ts";

export interface TextRecord {
  readonly fields: readonly string[];
  /** The number of the record's first line, from 1. */
  readonly line: number;
}

/**
 * Returns the records of a table. The separator is a tab if the first line contains one, otherwise a comma.
 * @throws PithError E_DATA for an unclosed quotation mark, or a line longer than 32 MiB.
 */
export function records(text: string, name: string): TextRecord[] {
  const source = text.startsWith("\uFEFF") ? text.slice(1) : text;
  requireShortLines(source, name);
  const firstEnd = source.indexOf("\n");
  const tabs = source.slice(0, firstEnd < 0 ? undefined : firstEnd).includes("\t");
  return tabs ? tabRecords(source) : commaRecords(source, name);
}

function tabRecords(source: string): TextRecord[] {
  return source.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === "") return [];
    const fields = line.split("\t").map((field) => (/^"(?:[^"]|"")*"$/.test(field) ? unquoted(field) : field));
    return [{ fields, line: index + 1 }];
  });
}

function unquoted(field: string): string {
  return field.slice(1, -1).replaceAll('""', '"');
}

function commaRecords(source: string, name: string): TextRecord[] {
  const result: TextRecord[] = [];
  let at = 0;
  let line = 1;
  while (at < source.length) {
    const fields: string[] = [];
    const firstLine = line;
    let hasMoreFields = true;
    while (hasMoreFields) {
      let field = "";
      if (source[at] === '"') {
        const end = closingQuote(source, at + 1);
        if (end < 0) throw new PithError("E_DATA", `${name}, line ${firstLine}: a quotation mark is never closed.`);
        const quoted = source.slice(at, end + 1);
        line += quoted.split("\n").length - 1;
        field = unquoted(quoted);
        at = end + 1;
      }
      const rest = /[,\n]/g;
      rest.lastIndex = at;
      const end = rest.exec(source)?.index ?? source.length;
      const last = source[end] !== ",";
      field += last ? source.slice(at, end).replace(/\r$/, "") : source.slice(at, end);
      fields.push(field);
      at = end + 1;
      hasMoreFields = !last;
    }
    line++;
    if (fields.length > 1 || fields[0]?.trim() !== "") result.push({ fields, line: firstLine });
  }
  return result;
}

/** Returns the index of the closing quotation mark, which is the next one that is not doubled; -1 if there is none. */
function closingQuote(source: string, from: number): number {
  let at = source.indexOf('"', from);
  while (at >= 0 && source[at + 1] === '"') at = source.indexOf('"', at + 2);
  return at;
}
