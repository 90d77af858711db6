/** All entries: the one file that sees every family. */

import type { Model, Node } from "../graph/index.ts";
import { attentionOperators } from "./attention.ts";
import { batchNormOperators } from "./batch-norm.ts";
import { binaryOperators } from "./binary.ts";
import { controlOperators } from "./control.ts";
import { convOperators } from "./conv.ts";
import { dataDependentOperators } from "./data-dependent.ts";
import type { Op } from "./define.ts";
import { deformConvOperators } from "./deform-conv.ts";
import { dropoutOperators } from "./dropout.ts";
import { einsumOperators } from "./einsum.ts";
import { gatherOperators } from "./gather.ts";
import { generateOperators } from "./generate.ts";
import { layoutOperators } from "./layout.ts";
import { linearAttentionOperators } from "./linear-attention.ts";
import { logicOperators } from "./logic.ts";
import { lossOperators } from "./loss.ts";
import { matmulOperators } from "./matmul.ts";
import { microsoftAttentionOperators } from "./microsoft/attention.ts";
import { microsoftBlockOperators } from "./microsoft/blocks.ts";
import { microsoftCacheOperators } from "./microsoft/cache.ts";
import { microsoftConvOperators } from "./microsoft/conv.ts";
import { microsoftGeluOperators } from "./microsoft/gelu.ts";
import { microsoftIntegerOperators } from "./microsoft/integers.ts";
import { microsoftLayoutOperators } from "./microsoft/layout.ts";
import { microsoftMatmulOperators } from "./microsoft/matmul.ts";
import { microsoftMiscOperators } from "./microsoft/misc.ts";
import { microsoftNormOperators } from "./microsoft/norm.ts";
import { microsoftQuantizedOperators } from "./microsoft/quantized.ts";
import { microsoftRotaryOperators } from "./microsoft/rotary.ts";
import { mlOperators } from "./ml.ts";
import { noiseOperators } from "./noise.ts";
import { normalizationOperators } from "./normalization.ts";
import { orderOperators } from "./order.ts";
import { poolOperators } from "./pool.ts";
import { quantizeOperators } from "./quantize.ts";
import { quantizedProductOperators } from "./quantized-products.ts";
import { rearrangeOperators } from "./rearrange.ts";
import { recurrentOperators } from "./recurrent.ts";
import { reduceOperators } from "./reduce.ts";
import { Registry } from "./registry.ts";
import { reshapeOperators } from "./reshape.ts";
import { resizeOperators } from "./resize.ts";
import { roiOperators } from "./roi.ts";
import { rotaryOperators } from "./rotary.ts";
import { scanOperators } from "./scan.ts";
import { scatterOperators } from "./scatter.ts";
import { selectOperators } from "./select.ts";
import { sequenceOperators } from "./sequence.ts";
import { shapeOperators } from "./shape.ts";
import { signalOperators } from "./signal.ts";
import { sliceOperators } from "./slice.ts";
import { softmaxOperators } from "./softmax.ts";
import { stringOperators } from "./strings.ts";
import { unaryOperators } from "./unary.ts";

export const operators = new Registry([
  ...unaryOperators,
  ...binaryOperators,
  ...logicOperators,
  ...matmulOperators,
  ...einsumOperators,
  ...convOperators,
  ...poolOperators,
  ...batchNormOperators,
  ...normalizationOperators,
  ...recurrentOperators,
  ...softmaxOperators,
  ...generateOperators,
  ...stringOperators,
  ...noiseOperators,
  ...dataDependentOperators,
  ...orderOperators,
  ...scanOperators,
  ...rearrangeOperators,
  ...reduceOperators,
  ...reshapeOperators,
  ...layoutOperators,
  ...sliceOperators,
  ...gatherOperators,
  ...scatterOperators,
  ...shapeOperators,
  ...selectOperators,
  ...quantizeOperators,
  ...controlOperators,
  ...sequenceOperators,
  ...microsoftMatmulOperators,
  ...microsoftGeluOperators,
  ...microsoftConvOperators,
  ...microsoftLayoutOperators,
  ...microsoftMiscOperators,
  ...microsoftBlockOperators,
  ...microsoftIntegerOperators,
  ...microsoftQuantizedOperators,
  ...quantizedProductOperators,
  ...microsoftRotaryOperators,
  ...microsoftCacheOperators,
  ...microsoftAttentionOperators,
  ...microsoftNormOperators,
  ...resizeOperators,
  ...attentionOperators,
  ...rotaryOperators,
  ...dropoutOperators,
  ...lossOperators,
  ...roiOperators,
  ...deformConvOperators,
  ...signalOperators,
  ...linearAttentionOperators,
  ...mlOperators,
]);

/**
 * Makes operators known to a model, its copies and its parts: every analysis, pass and technique asks these entries, before those of Pith.
 * A function of the model of the same name stays, for the runtime. Entries are not saved.
 * @throws PithError E_NAME if two of the entries are for the same operator.
 *
 * @example
 * ```ts
 * const gate = defineOp({
 *   domain: "my.company",
 *   name: "Gate",
 *   infer: (_, { inputs: [x] }) => [x],
 *   axes: new Miss("channels stay"),
 *   lower: (_, emit, [x]) => [emit.Mul([x, emit.Sigmoid([x])])],
 * });
 * addOperators(model, gate);
 * ```
 */
export function addOperators({ graph }: Model, ...entries: readonly Op[]): void {
  graph.operators = (graph.operators instanceof Registry ? graph.operators : new Registry([])).with(...entries);
}

/** What a node's operator means; undefined where nothing is known of it. */
export function entryOf(node: Node): Op | undefined {
  return ownEntryOf(node) ?? operators.find(node.domain, node.op);
}

/** The entry that was added to the node's model. */
export function ownEntryOf({ graph, domain, op }: Node): Op | undefined {
  return graph.operators instanceof Registry ? graph.operators.find(domain, op) : undefined;
}

export type {
  Affine,
  AxisEnd,
  AxisLink,
  AxisRule,
  Body,
  Bound,
  Contribution,
  Cut,
  Facet,
  FacetName,
  Factored,
  GradientScope,
  Inferred,
  NodeChange,
  Op,
  OpDef,
  Operand,
  QuantizeRule,
  Site,
  WeightRole,
} from "./define.ts";
export { defineOp } from "./define.ts";
export { Registry } from "./registry.ts";
