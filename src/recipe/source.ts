/** A recipe's text: its data, and where in it each part stands, so that an error can point there. JSON is YAML too. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { PithError } from "../errors.ts";

/** Keys and positions from the top down. */
export type Path = readonly (string | number)[];

export interface Source {
  readonly data: unknown;
  /** "recipe.yaml:4:15": of the value at a path, or of the key that ends it; the nearest place above where there is none. */
  at(path: Path, part: "key" | "value"): string;
}

/** @throws PithError E_OPTION with the place where the text is no YAML. */
export function readSource(text: string, name: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const [broken] = document.errors;
  if (broken !== undefined)
    throw new PithError("E_OPTION", `${place(broken.pos[0])}: no valid YAML: ${broken.message}.`);
  let data: unknown;
  try {
    data = document.toJS();
  } catch (cause) {
    // Aliases that multiply, for instance.
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PithError("E_OPTION", `${name}: no valid YAML: ${message}.`, { cause });
  }
  const resolved = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return {
    data,
    at(path, part) {
      let node: unknown = document.contents;
      let offset = startOf(node) ?? 0;
      path.forEach((key, depth) => {
        const parent = resolved(node);
        if (isMap(parent)) {
          const pair = parent.items.find((item) =>
            isScalar(item.key) ? String(item.key.value) === String(key) : false,
          );
          node = pair?.value;
          const chosen = part === "key" && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
          offset = startOf(chosen) ?? offset;
        } else {
          node = isSeq(parent) ? parent.items[Number(key)] : undefined;
          offset = startOf(node) ?? offset;
        }
      });
      return place(offset);
    },
  };
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range)) return undefined;
  const [start]: unknown[] = node.range;
  return typeof start === "number" ? start : undefined;
}
