/**
 * Every operator that other tools differentiate has a gradient, or a stated reason why it has none:
 * - every operator for which onnxruntime-training has a gradient builder (`orttraining/core/graph/gradient_builder_registry.cc` of
 *   github.com/microsoft/onnxruntime, read in the state of its last release, with the additions since 2021);
 * - every rule of onnxsim's `graph_grad` (`docs/graph_grad-ops.md` of github.com/onnxsim/onnxsim);
 * - the other operators of issue 4.
 */
import { describe, expect, it } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Node } from "../../src/core/graph/graph.ts";
import { removeUnused } from "../../src/core/graph/remove-unused.ts";
import { operators } from "../../src/core/ops/index.ts";
import { isFloat } from "../../src/core/tensor/convert.ts";
import { examples } from "./examples.ts";
import { lastNode, loweredModel, symbolicModel } from "./harness.ts";

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

const onnxruntime = words(`
  Cast Sin Log Tanh Sqrt Erf MatMul com.microsoft.FusedMatMul Split Relu Pow ReduceMean ReduceSum ReduceLogSumExp ReduceL2 Add Sub Mul Div Neg
  Concat Reshape Transpose Gemm MaxPool Gather Conv Squeeze Unsqueeze Sigmoid Softmax LogSoftmax GlobalAveragePool
  AveragePool Dropout GatherND GatherElements com.microsoft.Gelu com.microsoft.BiasGelu com.microsoft.FastGelu LayerNormalization
  SimplifiedLayerNormalization Slice Where Expand Exp Flatten TopK Clip Abs Min Max Tile Pad Identity ScatterND`);

/** Operators of the registry that models do not contain: the training build creates them, or they send tensors to other machines and languages. */
const internal = words(`
  ConcatTraining SoftmaxCrossEntropy SparseSoftmaxCrossEntropy SoftmaxCrossEntropyLossInternal BatchNormInternal MegatronF MegatronG Send Recv
  ATenOp PythonOp ExternalGradient`);

const onnxsim = words(`
  Add AveragePool BatchNormalization Clip Conv Div Erf Exp Gather Gemm Identity InstanceNormalization LayerNormalization Log MatMul MaxPool Mul Neg
  ReduceMean ReduceSum Relu Reshape Sigmoid Softmax Sqrt Sub Tanh Transpose Concat DepthToSpace Elu Expand GlobalAveragePool LeakyRelu Pad PRelu
  Slice Softplus Squeeze Unsqueeze Where Split Dropout`);

/** onnxsim differentiates rounding as the identity. Pith does so only for float rounding nodes whose value has a role that requests it. */
const notTrained = { QuantizeLinear: "train with `fake-quantize` instead", DequantizeLinear: "its input is integers" };

const asked = words(`
  ConvTranspose GroupNormalization RMSNormalization HardSigmoid HardSwish Selu Celu Mish Gelu Softsign ThresholdedRelu Einsum ScatterElements
  Resize CumSum ReduceMax ReduceMin ReduceL1 ReduceSumSquare ReduceLogSum LSTM GRU RNN RotaryEmbedding Attention
  com.microsoft.Attention com.microsoft.MultiHeadAttention com.microsoft.GroupQueryAttention com.microsoft.RotaryEmbedding
  com.microsoft.SkipLayerNormalization com.microsoft.SkipSimplifiedLayerNormalization Trilu Sign Floor Ceil Round Hardmax
  SequenceAt SplitToSequence`);

function facetsOf(name: string) {
  const dot = name.lastIndexOf(".");
  const op = operators.find(dot < 0 ? "" : name.slice(0, dot), name.slice(dot + 1));
  if (op === undefined) throw new Error(`there is no entry for ${name}`);
  return op.facets;
}

const isMissing = (node: Node): boolean => {
  const { gradient, lower } = facetsOf(node.domain === "" ? node.op : `${node.domain}.${node.op}`);
  return gradient instanceof Miss && lower instanceof Miss;
};

const floats = (values: Node["inputs"]): boolean => values.some((value) => value?.type && isFloat(value.type.type));

/** Returns the nodes with float inputs and float outputs that an operator is lowered to in its examples. */
function partsOf(name: string): readonly Node[] {
  return examples.flatMap((example) => {
    const refused = example.except.sequence ?? example.misses.read;
    if (refused !== undefined || example.opset < 18 || !example.text.includes(`${name}(`)) return [];
    const model = symbolicModel(example);
    const { op, domain } = lastNode(model);
    const lowered = (domain === "" ? op : `${domain}.${op}`) === name ? loweredModel(model) : undefined;
    if (lowered === undefined) return [];
    removeUnused(lowered.graph);
    infer(lowered);
    return [...lowered.graph.nodes()].filter(({ inputs, outputs }) => floats(inputs) && floats(outputs));
  });
}

describe("operators with a gradient in other tools", () => {
  it.each([...new Set([...onnxruntime, ...onnxsim, ...asked])])("%s has a gradient", (name) => {
    const { gradient, lower } = facetsOf(name);
    expect(gradient instanceof Miss && lower instanceof Miss, "neither a gradient nor a lowering").toBe(false);
    if (!(gradient instanceof Miss)) return;
    const parts = partsOf(name);
    // Lowering removes sequence operators: SequenceAt becomes the tensor itself.
    if (!name.startsWith("Sequence") && name !== "SplitToSequence") expect(parts.length).toBeGreaterThan(0);
    expect(parts.filter(isMissing).map(({ op }) => op)).toEqual([]);
  });

  it.each(Object.entries(notTrained))("%s has no gradient, and gives the reason", (name, reason) => {
    const { gradient } = facetsOf(name);
    expect(gradient instanceof Miss ? gradient.reason : "").toContain(reason);
  });

  it("operators of the training build do not exist in models", () => {
    for (const name of internal)
      expect(operators.find("com.microsoft", name) ?? operators.find("", name)).toBeUndefined();
  });
});
