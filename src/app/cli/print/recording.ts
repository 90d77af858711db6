/** Converts the result of a command to plain data and back, with what it prints. */
import { randomUUID } from "node:crypto";
import { asPithError } from "#ir";
import { type Fault, fromFault, toFault } from "../../../core/platform/serialized-error.ts";
import type { Column } from "../../report/tables.ts";
import type { Result } from "../command.ts";
import type { Colors } from "./terminal-escapes.ts";

export interface RecordedResult<D = unknown> extends Omit<Result<D>, "print" | "outcome" | "failure"> {
  readonly failure: Fault | undefined;
  readonly printed: Recording;
}

interface Recording {
  /** Encloses the name of a style before a styled text. It is random, so that no name in a file can contain it. */
  readonly mark: string;
  readonly entries: readonly (string | Table)[];
  readonly outcome: string | undefined;
}

interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
  readonly indent: string | undefined;
}

export function recordResult(result: Result): RecordedResult {
  const { print, outcome, failure, ...rest } = result;
  const mark = randomUUID();
  const style = (name: keyof Colors) => (text: string) => `${mark}${name}${mark}${text}${mark}${mark}`;
  const color: Colors = {
    bold: style("bold"),
    dim: style("dim"),
    green: style("green"),
    red: style("red"),
    yellow: style("yellow"),
  };
  const entries: (string | Table)[] = [];
  print({
    color,
    line: (text = "") => void entries.push(text),
    table: (columns, rows, indent) =>
      void entries.push({ columns: columns.map(({ title, align = "left" }) => ({ title, align })), rows, indent }),
  });
  return { ...rest, failure: failure && toFault(failure), printed: { mark, entries, outcome: outcome?.(color) } };
}

export function replay<D>({ printed: { mark, entries, outcome }, failure, ...rest }: RecordedResult<D>): Result<D> {
  const innermost = new RegExp(`${mark}(\\w+)${mark}((?:(?!${mark}).)*)${mark}${mark}`, "gs");
  const draw = (text: string, color: Colors): string => {
    const drawnText = text.replace(innermost, (_, style: keyof Colors, inner: string) => color[style](inner));
    return drawnText === text ? text : draw(drawnText, color);
  };
  return {
    ...rest,
    failure: failure && asPithError(fromFault(failure)),
    print(page) {
      for (const entry of entries) {
        if (typeof entry === "string") page.line(draw(entry, page.color));
        else {
          const rows = entry.rows.map((row) => row.map((cell) => draw(cell, page.color)));
          page.table(entry.columns, rows, entry.indent);
        }
      }
    },
    ...(outcome === undefined ? {} : { outcome: (color) => draw(outcome, color) }),
  };
}
