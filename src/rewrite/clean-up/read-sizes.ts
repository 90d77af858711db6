/**
 * Reads named sizes from the model's inputs instead of intermediate values: a value whose size is read cannot be cut along its other axes.
 *      n = Gather(Shape(h), 0)    h: [batch, 2, 8]     →     n = Gather(Shape(x), [0])    x: [batch, 3]
 *      s = Concat(n, [16])                                   s = Concat(n, [16])
 */
import { type Inference, infer } from "../../core/analysis/infer.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { describe, type Value } from "../../core/graph/graph.ts";
import { removeUnusedEverywhere } from "../../core/graph/remove-unused.ts";
import { type Change, definePass, noOptions } from "../../core/pass/pass.ts";
import { isSymbolic, productParts, type Symbolic } from "../../core/tensor/dims.ts";

export const readSizes = definePass({
  id: "read-sizes",
  summary: "Read named sizes from the inputs",
  options: noOptions,
  async run(model) {
    const { graph } = model;
    const inference = infer(model);
    const inputs = new Set(graph.feeds);
    const places = new Map<string, Place>();
    for (const input of graph.feeds)
      for (const [axis, dim] of (input.type?.dims ?? []).entries())
        if (isSymbolic(dim) && !places.has(dim.text)) places.set(dim.text, [input, axis]);
    const [first] = graph.nodes();
    const emit = emitInto(model, { before: first, by: "read-sizes" });
    const sizes = new Map<string, Value>();
    const write = ({ text, factor, place: [input, axis] }: NamedSize): Value => {
      const before = sizes.get(text);
      if (before !== undefined) return before;
      const size = emit.Gather([emit.Shape([input]), [axis]]);
      const made = factor === 1 ? size : emit.Mul([size, [factor]]);
      sizes.set(text, made);
      return made;
    };
    const changes: Change[] = [];
    for (const node of [...graph.nodes()]) {
      if (node.outputs.every((output) => output === undefined || inference.operand(output)?.elements !== undefined))
        continue;
      for (const [index, value] of node.inputs.entries()) {
        if (value === undefined || !isNamedSize(value, inference) || readsOnly(value, inputs, inference)) continue;
        const parts = inference.operand(value)?.elements?.map((dim) => (isSymbolic(dim) ? named(dim, places) : [dim]));
        if (parts === undefined || !parts.every((part) => part !== undefined)) continue;
        const vector = emit.Concat(
          parts.map((part) => ("text" in part ? write(part) : part)),
          { axis: 0 },
        );
        graph.setInput(node, index, value.type?.dims?.length === 0 ? emit.Reshape([vector, []]) : vector);
        changes.push({ at: describe(node), what: `reads "${value.name}" off the inputs`, decidedBy: "global" });
      }
    }
    if (changes.length > 0) removeUnusedEverywhere(model);
    return { changes, misses: [] };
  },
});

type Place = readonly [input: Value, axis: number];

interface NamedSize {
  readonly text: string;
  readonly factor: number;
  readonly place: Place;
}

function named(dim: Symbolic, places: ReadonlyMap<string, Place>): NamedSize | undefined {
  const [factor, name] = productParts(dim) ?? [1, dim.text];
  const place = places.get(name);
  return place === undefined ? undefined : { text: dim.text, factor, place };
}

/** Returns whether a value is a computed scalar or vector whose elements are known, some of them symbolic. */
function isNamedSize(value: Value, inference: Inference): boolean {
  const { type, dims, elements } = inference.operand(value) ?? {};
  if (value.producer === undefined || value.role !== undefined || type !== "int64" || dims === undefined) return false;
  return dims.length <= 1 && elements?.some(isSymbolic) === true;
}

/** Returns whether sizes come only from these values. */
function readsOnly({ producer }: Value, inputs: ReadonlySet<Value>, inference: Inference): boolean {
  return (producer?.inputs ?? []).every(
    (input) =>
      input === undefined ||
      inputs.has(input) ||
      (inference.operand(input)?.elements !== undefined && readsOnly(input, inputs, inference)),
  );
}
