/**
 * Rules that replace the arithmetic of attention by one operator (Vaswani et al. 2017). `npm run bench -- forms` compares the speed of both forms.
 *
 *     y = softmax(s · q kᵀ) v     q, k, v: batch × heads × tokens × width
 */
import type { Emit } from "../../graph/emit.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { structure } from "../../graph/pattern.ts";
import { fixedDims, multiplyDims, sameDims } from "../../tensor/dims.ts";
import { readFloat, readInteger, readIntegers } from "../shared/attributes.ts";
import { elementOf } from "./constants.ts";
import type { Structure, StructureScope } from "./rule.ts";

type Operand = "q" | "k" | "v";
type Part = "transposed" | "softmax";

const writeAttention = (
  emit: Emit,
  { q, k, v }: Readonly<Record<Operand, Value>>,
  scale: (products: Value) => Value,
) => {
  const transposed = emit.Transpose([k]);
  const softmax = emit.Softmax([scale(emit.MatMul([q, transposed]))]);
  return { last: emit.MatMul([softmax, v]), parts: { transposed, softmax } };
};

const findUnscaled = structure<Operand, Part>(["q", "k", "v"], (emit, operands) =>
  writeAttention(emit, operands, (products) => products),
);

const findScaled = structure<Operand | "factor", Part | "scaled">(
  ["q", "k", "v", "factor"],
  ...[
    (emit: Emit, products: Value, factor: Value) => emit.Mul([products, factor]),
    (emit: Emit, products: Value, factor: Value) => emit.Div([products, factor]),
  ].map((write) => (emit: Emit, operands: Readonly<Record<Operand | "factor", Value>>) => {
    let scaled = operands.q;
    const { last, parts } = writeAttention(emit, operands, (products) => {
      scaled = write(emit, products, operands.factor);
      return scaled;
    });
    return { last, parts: { ...parts, scaled } };
  }),
);

/** Returns the match with its scale; undefined if the value is no attention, or the scale is not a constant number. */
function findAttention({ match, operand }: StructureScope) {
  const unscaled = match(findUnscaled);
  if (unscaled !== undefined) return { ...unscaled, scale: 1 };
  const scaled = match(findScaled);
  const factor = scaled && elementOf(operand(scaled.operands.factor));
  if (scaled === undefined || factor === undefined) return undefined;
  return { ...scaled, scale: scaled.parts.scaled.op === "Div" ? 1 / factor : factor };
}

/** Returns the value whose last two axes a Transpose swaps; a new Transpose writes it if the node also swaps other axes. */
function untransposed({ emit, site }: StructureScope, node: Node): Value | undefined {
  const [source] = node.inputs;
  const [batch, heads, width, tokens] = readIntegers(site(node), "perm") ?? [];
  if (source === undefined || batch === undefined || heads === undefined) return undefined;
  if (width === undefined || tokens === undefined) return undefined;
  const perm = [batch, heads, tokens, width];
  return perm.every((axis, index) => axis === index) ? source : emit.Transpose([source], { perm });
}

const attention: Structure = {
  id: "attention",
  description: "the arithmetic of attention becomes one operator",
  last: ["MatMul"],
  reorders: true,
  fuse(scope) {
    const { last, site, operand, emit } = scope;
    const matched = site(last).version < 23 ? undefined : findAttention(scope);
    if (matched === undefined) return undefined;
    const { operands, parts, scale } = matched;
    const { q, v } = operands;
    const [key] = parts.transposed.outputs;
    const facts = [q, key, v].map((value) => value && operand(value));
    const [first] = facts;
    const outer = first?.dims?.slice(0, 2);
    // The operator Attention does not broadcast the batch and head axes. The number of heads must be known.
    if (typeof outer?.[1] !== "number" || !facts.every((fact) => fact?.type === "float32" && fact.dims?.length === 4))
      return undefined;
    if (!facts.every((fact) => sameDims(fact?.dims?.slice(0, 2) ?? [], outer))) return undefined;
    // ONNX Runtime's Attention rejects empty operands.
    if (facts.some((fact) => fact?.dims?.includes(0))) return undefined;
    const axis = readInteger(site(parts.softmax), "axis", -1);
    if ((axis !== -1 && axis !== 3) || !(scale > 0) || !Number.isFinite(scale)) return undefined;
    const k = untransposed(scope, parts.transposed);
    return k && { value: emit.named(last.outputs[0]?.name ?? "attention").Attention([q, k, v], { scale }) };
  },
};

type HeadPart = "attended" | "merged" | `${Operand}${"Split" | "Moved"}`;

const findHeads = structure<Operand, HeadPart>(["q", "k", "v"], (emit, { q, k, v }, any) => {
  const split = (value: Value) => {
    const pieces = emit.Reshape([value, any()]);
    return [pieces, emit.Transpose([pieces])] as const;
  };
  const [[qSplit, qMoved], [kSplit, kMoved], [vSplit, vMoved]] = [split(q), split(k), split(v)];
  const attended = emit.Attention([qMoved, kMoved, vMoved]);
  const merged = emit.Transpose([attended]);
  const parts = { attended, merged, qSplit, qMoved, kSplit, kMoved, vSplit, vMoved };
  return { last: emit.Reshape([merged, any()]), parts };
});

/** Attention of batch × tokens × (heads · width) splits and merges the heads itself. */
const attentionHeads: Structure = {
  id: "attention-heads",
  description: "attention splits and merges its heads",
  last: ["Reshape"],
  fuse({ last, site, operand, match, emit }) {
    const matched = site(last).version < 23 ? undefined : match(findHeads);
    if (matched === undefined) return undefined;
    const { operands, parts } = matched;
    const { q, k, v } = operands;
    const movesHeads = [parts.merged, parts.qMoved, parts.kMoved, parts.vMoved].every(
      (node) => readIntegers(site(node), "perm")?.join() === "0,2,1,3",
    );
    const heads = (
      [
        [q, parts.qSplit],
        [k, parts.kSplit],
        [v, parts.vSplit],
      ] as const
    ).map(([value, { outputs }]) => {
      const [inputDims, splitDims] = [operand(value)?.dims, outputs[0] && operand(outputs[0])?.dims];
      const [count, width] = fixedDims(splitDims?.slice(2)) ?? [];
      if (inputDims === undefined || splitDims?.length !== 4 || count === undefined || width === undefined)
        return undefined;
      return sameDims(inputDims, [...splitDims.slice(0, 2), multiplyDims(count, width)]) ? count : undefined;
    });
    const [merged] = last.outputs;
    const isMerged = merged !== undefined && operand(merged)?.dims?.length === 3;
    const [count] = heads;
    if (!movesHeads || !isMerged || count === undefined || heads.some((other) => other !== count)) return undefined;
    const dims = operand(q)?.dims;
    const result = operand(merged)?.dims;
    if (dims === undefined || result === undefined || !sameDims(dims.slice(0, 2), result.slice(0, 2))) return undefined;
    const { attended } = parts;
    const hasOnlyScale =
      attended.inputs.length === 3 && attended.outputs.length === 1 && attended.attributes.size === 1;
    const scale = readFloat(site(attended), "scale", undefined);
    if (!hasOnlyScale || scale === undefined) return undefined;
    const write = emit.named(merged.name);
    return { value: write.Attention([q, k, v], { q_num_heads: count, kv_num_heads: count, scale }) };
  },
};

export const attentionStructures: readonly Structure[] = [attention, attentionHeads];
