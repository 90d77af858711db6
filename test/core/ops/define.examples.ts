/**
 * Examples of operators: what the laws (`test/laws/`) are tried on, and what the documentation shows.
 *
 * An example is one node with its operands, in the text form of models: inputs in parentheses, stored tensors, the node. Named dimensions of
 * inputs stand for `sizes`. Every law runs for every example; an entry's "no" has to be foretold here (`misses`), and so has what a law
 * cannot be tried on (`except`), each with its reason.
 */
import type { FacetName } from "../../../src/core/ops/define.ts";

export type Law = "types" | "lower" | "gradient" | "channels" | "cost" | "quantize" | "half" | "file";

export interface Example {
  readonly title: string;
  /** `(x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); y = MatMul(x, w)`; the last node is the one that is meant. */
  readonly text: string;
  readonly opset: number;
  /** Sizes of the named dimensions. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Values of the inputs, or the range of random values (default: ±1 for floats, 0 to 4 for integers). */
  readonly feeds: Readonly<Record<string, readonly number[] | Range>>;
  /** Facets that say no to this example though the operator has them (`read` refuses the node altogether): part of the reason. */
  readonly misses: Readonly<Partial<Record<FacetName | "read", string>>>;
  /**
   * Laws that cannot be tried on it, and why. "run" is all of them: ONNX Runtime has no kernel for it on CPU. Then the example states the
   * types of the outputs (`y: float32[batch, 3] = …`), and what is inferred must equal them. "sequence" is all of them too: output 0 is a
   * sequence or an optional, which is taken apart to be looked at.
   */
  readonly except: Readonly<Partial<Record<Law | "run" | "sequence", string>>>;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** An example from its text; opset 21, and two samples where a dimension is called `batch`, unless said otherwise. */
export function example(title: string, text: string, more: More = {}): Example {
  const { opset = 21, sizes = {}, feeds = {}, misses = {}, except = {} } = more;
  return { title, text, opset, sizes: { batch: 2, ...sizes }, feeds, misses, except };
}

export function between(from: number, to: number): Range {
  return { from, to };
}

type More = Partial<Omit<Example, "title" | "text">>;

/**
 * A row for each example: its title and its text, which may begin with its opset, or what `write` makes a text of; then what it says no to, is
 * fed, or is not tried on. A row continues in lines that are indented further. All rows share `more`.
 *
 *     Gemm of opset 7 | opset 7 (x: float32[batch, 3]) w: float32[3, 4] = zeros; y = Gemm(x, w)
 *     Mod of a dimension | (x: float32[batch, 3]) n: int64[] = 4; s = Shape(x); y = Mod(s, n) | sizes batch: 6 | except channels: …
 *     Log of positive numbers | (x: float32[2]) y = Log(x) | feeds x: from 0.5 to 2
 *     MatMul with a stored weight on the left |
 *       (x: float32[3, 5]) w: float32[4, 3] = random(seed 1); y = MatMul(w, x) | no quantize: the weight is the left operand
 */
export function table(more: More = {}, write: (...cells: readonly string[]) => string = (text = "") => text) {
  return (parts: TemplateStringsArray, ...values: readonly (string | number | bigint)[]): readonly Example[] => {
    const inLine = values.map((value) => String(value).replaceAll(/\s+/g, " "));
    const lines = String.raw({ raw: parts }, ...inLine)
      .split("\n")
      .filter((line) => line.trim() !== "");
    const depth = Math.min(...lines.map((line) => line.search(/\S/)));
    const rows: string[] = [];
    for (const line of lines) {
      if (line.search(/\S/) === depth) rows.push(line.trim());
      else rows.push(`${rows.pop()} ${line.trim()}`);
    }
    return rows.map((row) => rowOf(row, more, write));
  };
}

function rowOf(row: string, more: More, write: (...cells: readonly string[]) => string): Example {
  const [title = "", ...cells] = row.split("|").map((cell) => cell.trim());
  const misses: Record<string, string> = { ...more.misses };
  const except: Record<string, string> = { ...more.except };
  const [sizes, feeds] = [{ ...more.sizes }, { ...more.feeds }];
  let { opset = 21 } = more;
  const written = cells.flatMap((cell) => {
    const [, kind, name = "", value = ""] = /^(no|except|sizes|feeds) (\w+): (.*)$/.exec(cell) ?? [];
    const [, version, text = cell] = /^opset (\d+) ?(.*)$/.exec(cell) ?? [];
    if (version !== undefined) opset = Number(version);
    if (kind === undefined) return version === undefined || text !== "" ? [text] : [];
    const [, from, to] = /^from (\S+) to (\S+)$/.exec(value) ?? [];
    if (kind === "no") misses[name] = value;
    else if (kind === "except") except[name] = value;
    else if (kind === "sizes") sizes[name] = Number(value);
    else feeds[name] = to === undefined ? value.split(",").map(Number) : between(Number(from), Number(to));
    return [];
  });
  return example(title, write(...written), { opset, sizes, feeds, misses, except });
}
