/** Reads files that people write, in YAML or JSON, and reports errors in them with line and column. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { errorMessage, integer, isNestedDeeper, optionError } from "#ir";
import type { KeyPath } from "./option-schedules.ts";

export interface YamlText {
  readonly data: unknown;
  /** Returns a position such as "recipe.yaml:4:15"; for a missing value, that of the nearest parent. */
  locate(path: KeyPath, part: "key" | "value"): string;
}

/** Valid options have fewer levels. */
const maxDepth = 20;
const tooDeepText = `expected at most ${maxDepth} levels, got values nested deeper, or one that contains itself by a reference`;

/** Parsing cannot be interrupted. */
const maxText = 2 ** 20;

/** Reads YAML or JSON. @param name of the file. @param shortenHint how to shorten a long text. @throws PithError E_OPTION with file, line and column. */
export function readYaml(text: string, name: string, shortenHint?: string): YamlText {
  if (text.length > maxText) {
    const reason = `expected at most 1 MiB of text, got ${integer(text.length)} characters`;
    throw optionError(`${name}: ${reason}.`, { hint: shortenHint });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const positionOf = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const [firstError] = document.errors;
  if (firstError !== undefined) {
    const reason = firstError.code === "RESOURCE_EXHAUSTION" ? tooDeepText : `invalid YAML: ${firstError.message}`;
    throw optionError(`${positionOf(firstError.pos[0])}: ${reason}.`);
  }
  let data: unknown;
  try {
    data = document.toJS();
  } catch (cause) {
    // For example aliases that expand exponentially.
    throw optionError(`${name}: invalid YAML: ${errorMessage(cause)}.`, { cause });
  }
  const resolveAlias = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return {
    data,
    locate(path, part) {
      let node: unknown = document.contents;
      let offset = startOf(node) ?? 0;
      path.forEach((key, depth) => {
        const parent = resolveAlias(node);
        if (isMap(parent)) {
          const pair = parent.items.find((item) =>
            isScalar(item.key) ? String(item.key.value) === String(key) : false,
          );
          node = pair?.value;
          const target = part === "key" && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
          offset = startOf(target) ?? offset;
        } else {
          node = isSeq(parent) ? parent.items[Number(key)] : undefined;
          offset = startOf(node) ?? offset;
        }
      });
      return positionOf(offset);
    },
  };
}

/** @throws PithError E_OPTION for values that are nested too deep, or that contain themselves by an alias. */
export function requireShallow(source: YamlText): void {
  if (isNestedDeeper(source.data, maxDepth)) fail(source, [], "value", tooDeepText);
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range)) return undefined;
  const [start]: unknown[] = node.range;
  return typeof start === "number" ? start : undefined;
}

export function fail(source: YamlText, path: KeyPath, part: "key" | "value", sentence: string, hint?: string): never {
  const steps = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
  const stepText = steps === "" ? "" : ` ${steps.slice(1)}:`;
  throw optionError(`${source.locate(path, part)}:${stepText} ${sentence}.`, { hint });
}
