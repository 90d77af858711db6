/** Splits .csv (RFC 4180) and .tsv files into records. In .tsv files, quotation marks count only around a whole field. */
import { dataError } from "#ir";
import { requireShortLines } from "./lines.ts";

export interface TextRecord {
  readonly fields: readonly string[];
  /** The record's first line, from 1. */
  readonly line: number;
}

/** The separator is a tab if the first line has one, else a comma. @throws PithError E_DATA for an open quote or long line. */
export function records(text: string, name: string): TextRecord[] {
  const source = text.startsWith("\uFEFF") ? text.slice(1) : text;
  requireShortLines(source, name);
  const firstEnd = source.indexOf("\n");
  const hasTabs = source.slice(0, firstEnd < 0 ? undefined : firstEnd).includes("\t");
  return hasTabs ? tabRecords(source) : commaRecords(source, name);
}

function tabRecords(source: string): TextRecord[] {
  return source.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === "") return [];
    const fields = line.split("\t").map((field) => (/^"(?:[^"]|"")*"$/.test(field) ? unquote(field) : field));
    return [{ fields, line: index + 1 }];
  });
}

function unquote(field: string): string {
  return field.slice(1, -1).replaceAll('""', '"');
}

function commaRecords(source: string, name: string): TextRecord[] {
  const result: TextRecord[] = [];
  let offset = 0;
  let line = 1;
  while (offset < source.length) {
    const fields: string[] = [];
    const firstLine = line;
    let hasMoreFields = true;
    while (hasMoreFields) {
      let field = "";
      if (source[offset] === '"') {
        const end = closingQuote(source, offset + 1);
        if (end < 0) throw dataError(`${name}, line ${firstLine}: a quotation mark is never closed.`);
        const quotedText = source.slice(offset, end + 1);
        line += quotedText.split("\n").length - 1;
        field = unquote(quotedText);
        offset = end + 1;
      }
      const delimiter = /[,\n]/g;
      delimiter.lastIndex = offset;
      const end = delimiter.exec(source)?.index ?? source.length;
      const isLastField = source[end] !== ",";
      field += isLastField ? source.slice(offset, end).replace(/\r$/, "") : source.slice(offset, end);
      fields.push(field);
      offset = end + 1;
      hasMoreFields = !isLastField;
    }
    line++;
    if (fields.length > 1 || fields[0]?.trim() !== "") result.push({ fields, line: firstLine });
  }
  return result;
}

/** Returns the index of the closing quotation mark, the next one that is not doubled; −1 without a closing one. */
function closingQuote(source: string, from: number): number {
  let index = source.indexOf('"', from);
  while (index >= 0 && source[index + 1] === '"') index = source.indexOf('"', index + 2);
  return index;
}
