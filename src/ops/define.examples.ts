/**
 * Examples of operators: what the laws (`test/laws/`) are tried on, and what the documentation shows.
 *
 * An example is one node with its operands, in the text form of models: inputs in parentheses, stored tensors, the node. Named dimensions of
 * inputs stand for `sizes`. Every law runs for every example; an entry's "no" has to be foretold here (`misses`), and so has what a law
 * cannot be tried on (`except`), each with its reason.
 */
import type { FacetName } from "./define.ts";

export type Law = "types" | "lower" | "gradient" | "channels" | "cost" | "quantize" | "file";

export interface Example {
  readonly title: string;
  /** `(x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); y = MatMul(x, w)`; the last node is the one that is meant. */
  readonly text: string;
  /** The version of the default operator set. */
  readonly opset: number;
  /** What named dimensions stand for. */
  readonly sizes: Readonly<Record<string, number>>;
  /** What inputs are fed: numbers, or the range of random ones (floats: ±1, integers: 0 to 4, if absent). */
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
export function example(title: string, text: string, more: Partial<Omit<Example, "title" | "text">> = {}): Example {
  const { opset = 21, sizes = {}, feeds = {}, misses = {}, except = {} } = more;
  return { title, text, opset, sizes: { batch: 2, ...sizes }, feeds, misses, except };
}

export function between(from: number, to: number): Range {
  return { from, to };
}
