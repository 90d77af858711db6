/**
 * Rules that replace the arithmetic of attention by one operator (Vaswani et al. 2017). `npm run bench -- forms` compares the speed of both forms.
 *
 *     y = softmax(s · q kᵀ + mask) v     q, k, v: batch × heads × tokens × width
 */
import { multiplyDims, type Node, sameDims, substitute, type Value } from "#graph";
import { readAttributeOrInput, readInteger, readIntegers } from "../shared/attributes.ts";
import { isConstant } from "../shared/shapes.ts";
import { elementOf } from "./constants.ts";
import { movesHeads, readSplit } from "./heads.ts";
import { emitNamed, inheritFrom, producerOf, type StructureRule, type StructureScope } from "./rule.ts";

interface Arithmetic {
  readonly operands: Readonly<Record<"q" | "k" | "v", Value>>;
  readonly parts: Readonly<Record<"transposed" | "softmax", Node>>;
  readonly nodes: ReadonlySet<Node>;
  readonly mask: Value | undefined;
  /** Whether NaN weights become 0. */
  readonly isGuarded: boolean;
  readonly scale: number;
}

/** Returns the factor by which a Mul or Div multiplies another value; otherwise the value and 1. */
function readScaled(value: Value | undefined, { operand }: StructureScope) {
  const node = producerOf(value, "Mul") ?? producerOf(value, "Div");
  for (const index of node === undefined ? [] : node.op === "Mul" ? [1, 0] : [1]) {
    const factor = elementOf(node?.inputs[index] && operand(node.inputs[index]));
    if (factor !== undefined)
      return { source: node?.inputs[1 - index], factor: node?.op === "Div" ? 1 / factor : factor, node };
  }
  return { source: value, factor: 1, node: undefined };
}

function findArithmetic(value: Value, scope: StructureScope): Arithmetic | undefined {
  const last = producerOf(value, "MatMul");
  const guard = producerOf(last?.inputs[0], "Where");
  const nanCheck = producerOf(guard?.inputs[0], "IsNaN");
  if (guard !== undefined && !(nanCheck?.inputs[0] === guard.inputs[2] && isZero(guard.inputs[1], scope)))
    return undefined;
  const softmax = producerOf((guard ?? last)?.inputs[guard === undefined ? 0 : 2], "Softmax");
  const sum = producerOf(softmax?.inputs[0], "Add");
  const candidates = sum === undefined ? [[softmax?.inputs[0], undefined]] : [sum.inputs, sum.inputs.toReversed()];
  for (const [scores, mask] of candidates) {
    const scaledScores = readScaled(scores, scope);
    const products = producerOf(scaledScores.source, "MatMul");
    const [queries, transposedKeys] = [readScaled(products?.inputs[0], scope), readScaled(products?.inputs[1], scope)];
    const transposed = producerOf(transposedKeys.source, "Transpose");
    const keys = readScaled(transposed?.inputs[0], scope);
    const [q, k, v] = [queries.source, keys.source, last?.inputs[1]];
    if (q === undefined || k === undefined || v === undefined) continue;
    if (last === undefined || softmax === undefined || products === undefined || transposed === undefined) continue;
    const factors = [scaledScores, queries, transposedKeys, keys];
    const nodes = [last, guard, nanCheck, softmax, sum, products, transposed, ...factors.map(({ node }) => node)];
    return {
      operands: { q, k, v },
      parts: { transposed, softmax },
      nodes: new Set(nodes.filter((node) => node !== undefined)),
      mask,
      isGuarded: guard !== undefined,
      scale: factors.reduce((scale, { factor }) => scale * factor, 1),
    };
  }
  return undefined;
}

const isZero = (value: Value | undefined, { operand }: StructureScope): boolean =>
  value !== undefined && isConstant(operand(value), 0);

/** Gives equal weights in float32 if it is added to any score. The operator counts the lowest float32 as -∞, but not this number. */
const maskedScore = -1e30;

/**
 * Returns the mask for the fused operator, which gives the weight 0 to all keys of a query if their masks are the lowest number or -∞. The matched nodes give
 * equal weights for the lowest number, so the mask is raised to `maskedScore`. For -∞ they give 0 with a guard, and NaN without one.
 */
function maskFor(scope: StructureScope, { mask, isGuarded, operands, parts }: Arithmetic): Value | undefined {
  const { operand, emit } = scope;
  const dims = mask && operand(mask)?.dims;
  const [batch = 0, heads = 0, queries = 0] = operand(operands.q)?.dims ?? [];
  const [key] = parts.transposed.outputs;
  const keys = (key && operand(key)?.dims?.[3]) ?? 0;
  if (mask === undefined || dims?.length !== 4 || operand(mask)?.type !== "float32") return undefined;
  const broadcastDims = [dims[0] === 1 ? 1 : batch, dims[1] === 1 ? 1 : heads, dims[2] === 1 ? 1 : queries, keys];
  if (!sameDims(dims, broadcastDims)) return undefined;
  // ONNX Runtime's operator broadcasts the mask along batch and heads only.
  const expand = (x: Value): Value => {
    if (dims[2] === queries) return x;
    // Layers that read the same mask then also share its expansion.
    const count = queries === keys ? emit.Shape([mask], { start: 3, end: 4 }) : countQueries(scope, operands.q);
    return emit.Expand([x, emit.Concat([[1, 1], count, [1]], { axis: 0 })]);
  };
  const choice = producerOf(mask, "Where");
  const [visible, hidden] = (choice?.inputs.slice(1) ?? []).map((value) => elementOf(value && operand(value)));
  const lowest = visible === undefined || hidden === undefined ? undefined : Math.min(visible, hidden);
  if (lowest !== undefined && (lowest === Number.NEGATIVE_INFINITY || lowest >= maskedScore)) return expand(mask);
  return isGuarded && lowest === undefined ? undefined : expand(emit.Max([mask, maskedScore]));
}

/** Returns the number of queries as a list, read before the heads are split, so that the split can be removed. */
function countQueries(scope: StructureScope, q: Value): Value {
  const { source } = readSplit(q, scope) ?? {};
  return source === undefined
    ? scope.emit.Shape([q], { start: 2, end: 3 })
    : scope.emit.Shape([source], { start: 1, end: 2 });
}

/** Returns the keys without the swap of their last two axes. */
function undoKeySwap({ emit, site }: StructureScope, { operands: { k }, parts }: Arithmetic): Value | undefined {
  const [batch, heads, width, tokens] = readIntegers(site(parts.transposed), "perm") ?? [];
  if (batch === undefined || heads === undefined || width === undefined || tokens === undefined) return undefined;
  const perm = [batch, heads, tokens, width];
  return perm.every((axis, index) => axis === index) ? k : emit.Transpose([k], { perm });
}

/** Returns the value whose heads a Reshape(Expand(Unsqueeze(value))) repeats. */
function findRepeatedSource(value: Value | undefined, { operand, site }: StructureScope): Value | undefined {
  const expand = producerOf(producerOf(value, "Reshape")?.inputs[0], "Expand");
  const unsqueeze = producerOf(expand?.inputs[0], "Unsqueeze");
  const [source] = unsqueeze?.inputs ?? [];
  const [expanded] = expand?.outputs ?? [];
  if (value === undefined || unsqueeze === undefined || source === undefined || expanded === undefined)
    return undefined;
  const axes = readAttributeOrInput(site(unsqueeze), "axes", 1);
  const [batch, heads, ...innerDims] = operand(source)?.dims ?? [];
  const count = operand(expanded)?.dims?.[2];
  if (axes === undefined || axes === "runtime" || axes.known.join() !== "2" || innerDims.length !== 2) return undefined;
  if (batch === undefined || heads === undefined || count === undefined) return undefined;
  if (!sameDims(operand(expanded)?.dims ?? [], [batch, heads, count, ...innerDims])) return undefined;
  const isMerged = sameDims(operand(value)?.dims ?? [], [batch, multiplyDims(heads, count), ...innerDims]);
  return typeof heads === "number" && isMerged ? source : undefined;
}

interface MatchedAttention extends Arithmetic {
  /** Keys and values with fewer heads than the queries. */
  readonly shared: readonly [keys: Value, values: Value] | undefined;
}

function matchArithmetic(scope: StructureScope): MatchedAttention | undefined {
  const { last, site, operand } = scope;
  const arithmetic = site(last).version < 23 ? undefined : scope.match((value) => findArithmetic(value, scope));
  const axis = arithmetic && readInteger(site(arithmetic.parts.softmax), "axis", -1);
  if (arithmetic === undefined || (axis !== -1 && axis !== 3)) return undefined;
  const { k, v } = arithmetic.operands;
  const [keys, values] = [findRepeatedSource(k, scope), findRepeatedSource(v, scope)];
  const [keyHeads, valueHeads] = [keys, values].map((value) => value && operand(value)?.dims?.[1]);
  const isShared =
    keyHeads === valueHeads && readIntegers(site(arithmetic.parts.transposed), "perm")?.join() === "0,1,3,2";
  return { ...arithmetic, shared: isShared && keys && values ? [keys, values] : undefined };
}

const attention: StructureRule = {
  id: "attention",
  description: "the arithmetic of attention becomes one operator, in which query heads can share a key head",
  last: ["MatMul"],
  reorders: true,
  lacksWebGpu: true,
  fuse(scope) {
    const { operand } = scope;
    const matchResult = matchArithmetic(scope);
    if (matchResult === undefined) return undefined;
    const { operands, parts, scale, shared } = matchResult;
    const { q, v } = operands;
    const [key] = parts.transposed.outputs;
    const facts = [q, key, v].map((value) => value && operand(value));
    const [first] = facts;
    const outer = first?.dims?.slice(0, 2);
    // The operator does not broadcast the batch and head axes.
    if (typeof outer?.[1] !== "number" || !facts.every((fact) => fact?.type === "float32" && fact.dims?.length === 4))
      return undefined;
    if (!facts.every((fact) => sameDims(fact?.dims?.slice(0, 2) ?? [], outer))) return undefined;
    // Quirk "empty-attention".
    if (facts.some((fact) => fact?.dims?.includes(0)) || !(scale > 0) || !Number.isFinite(scale)) return undefined;
    const mask = maskFor(scope, matchResult);
    if (mask === undefined && matchResult.mask !== undefined) return undefined;
    const [keys, values] = shared ?? [undoKeySwap(scope, matchResult), v];
    return keys && { value: emitNamed(scope).Attention([q, keys, values, mask], { scale }) };
  },
};

/** The query heads that share a key head become the rows of one product. */
const attentionRows: StructureRule = {
  id: "attention-rows",
  description: "query heads that share a key head are multiplied with it in one product",
  last: ["MatMul"],
  reorders: true,
  fuse(scope) {
    const { operand, emit } = scope;
    const matchResult = matchArithmetic(scope);
    if (matchResult?.shared === undefined) return undefined;
    const { mask, isGuarded, scale, operands, shared } = matchResult;
    const [keys, values] = shared;
    const [dims = [], keyDims, valueDims] = [operands.q, keys, values].map((value) => operand(value)?.dims);
    const [keyHeads, heads, width, valueWidth] = [keyDims?.[1], dims[1], dims[3], valueDims?.[3]];
    if (typeof keyHeads !== "number" || typeof heads !== "number") return undefined;
    if (typeof width !== "number" || typeof valueWidth !== "number") return undefined;
    if (!sameDims(dims.slice(0, 2), operand(operands.k)?.dims?.slice(0, 2) ?? [])) return undefined;
    const rows = emit.Reshape([emit.Mul([operands.q, scale]), [0, keyHeads, -1, width]]);
    const products = emit.MatMul([rows, emit.Transpose([keys], { perm: [0, 1, 3, 2] })]);
    const scores = emit.Reshape([products, [0, heads, -1, 0]]);
    const weights = emit.Softmax([mask === undefined ? scores : emit.Add([scores, mask])], { axis: -1 });
    const guardedWeights = isGuarded ? emit.Where([emit.IsNaN([weights]), 0, weights]) : weights;
    const outputs = emit.MatMul([emit.Reshape([guardedWeights, [0, keyHeads, -1, 0]]), values]);
    return { value: emitNamed(scope).Reshape([outputs, [0, heads, -1, valueWidth]]) };
  },
};

/** Returns past and new keys, or values, that a Concat joins for this attention alone. */
function readCache(value: Value | undefined, { last, site, operand }: StructureScope) {
  const concat = producerOf(value, "Concat");
  const [past, added, thirdPart] = concat?.inputs ?? [];
  if (value === undefined || concat === undefined || past === undefined || added === undefined) return undefined;
  const axis = readInteger(site(concat), "axis", 0);
  const isShared = value.uses.size > 1 || concat.graph !== last.graph || value.role !== undefined;
  if (thirdPart !== undefined || isShared || (axis !== 2 && axis !== -2)) return undefined;
  return operand(past)?.dims?.length === 4 ? { joined: value, past, added } : undefined;
}

const attentionCache: StructureRule = {
  id: "attention-cache",
  description: "attention appends keys and values to its cache",
  last: ["Attention"],
  fuse(scope) {
    const { last } = scope;
    const [q, k, v, mask, ...cache] = last.inputs;
    const [keys, values] = [readCache(k, scope), readCache(v, scope)];
    if (keys === undefined || values === undefined || last.outputs.length > 1 || cache.length > 0) return undefined;
    const inputs = [q, keys.added, values.added, mask, keys.past, values.past];
    const [y, presentKey, presentValue] = emitNamed(scope).many("Attention", inputs, {}, 3);
    substitute(keys.joined, presentKey);
    substitute(values.joined, presentValue);
    return inheritFrom(y, last);
  },
};

/** Attention of batch × tokens × (heads · width) splits and merges the heads itself. */
const attentionHeads: StructureRule = {
  id: "attention-heads",
  description: "attention splits and merges its heads",
  last: ["Reshape"],
  fuse(scope) {
    const { last, site, operand, match, canChange, visit } = scope;
    const transpose = producerOf(last.inputs[0], "Transpose");
    const attentionNode = producerOf(transpose?.inputs[0], "Attention");
    if (transpose === undefined || attentionNode === undefined || !movesHeads(site(transpose))) return undefined;
    const [q, k, v] = attentionNode.inputs.slice(0, 3).map((value) => readSplit(value, scope));
    const [y] = attentionNode.outputs;
    const [, shape] = last.inputs;
    if (q === undefined || k === undefined || v === undefined || k.heads !== v.heads) return undefined;
    if (y === undefined || y.uses.size > 1 || !canChange(y)) return undefined;
    // A 0 in the shape copies a dimension, and the third one changes.
    const sizes = shape && operand(shape)?.elements;
    if (sizes === undefined || sizes.slice(2).includes(0)) return undefined;
    const hasOnlyScale = attentionNode.attributes.size === 1 && attentionNode.attributes.has("scale");
    const isRemovable = match(() => ({ operands: {}, parts: {}, nodes: new Set([transpose, last]) }));
    if (!hasOnlyScale || isRemovable === undefined) return undefined;
    const { graph } = attentionNode;
    for (const [index, { source }] of [q, k, v].entries()) graph.setInput(attentionNode, index, source);
    graph.setAttribute(attentionNode, "q_num_heads", { kind: "int", value: q.heads });
    graph.setAttribute(attentionNode, "kv_num_heads", { kind: "int", value: k.heads });
    visit(attentionNode);
    return { inputs: [y, shape] };
  },
};

export const attentionStructures: readonly StructureRule[] = [attention, attentionRows, attentionCache, attentionHeads];
