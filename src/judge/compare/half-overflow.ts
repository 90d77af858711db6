/** Finds values that overflow float16, in the float32 original: runtimes without float16 kernels compute the result in float32, without overflow. */
import { convertsQuantization, infer } from "#analysis";
import type { Dataset } from "#batches";
import type { Dense, Graph, Model, Tensor, Value } from "#ir";
import {
  allNodes,
  allValues,
  clampToHalf,
  count,
  emitInto,
  emitter,
  float32,
  inMemory,
  isInfiniteInHalf,
  Miss,
  nodeText,
  subgraphs,
  toFloats,
  toNumbers,
  zeros,
} from "#ir";
import { constantOf, storeInPlace } from "../../rewrite/clean-up/store-constants.ts";
import { type ComparedModels, inputsFor } from "../../runtime/paired/paired-runs.ts";
import { infinityTest } from "../../runtime/run/mask-values.ts";
import { runOverSamples } from "../../runtime/run/run-over-samples.ts";
import { hasLargeWeights } from "../../runtime/run/size-limits.ts";
import { inputsPhraseOf } from "./output-comparison.ts";

const maxFloat16 = 65_504;
const maxSamples = 8;
/** Maximum bytes of a stored tensor that can be a mask; larger ones are weights. */
const maxMaskBytes = 2 ** 24;

/** @param data default: random inputs. @throws PithError as the original's runs. */
export async function findHalfOverflow(
  models: ComparedModels,
  data: Dataset | undefined,
  { seed = 0, signal }: { readonly seed?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<string | undefined> {
  const names = halfValues(models.result);
  if (names.size === 0) return undefined;
  const inputs = await inputsFor(models, data, { samples: maxSamples, seed, signal });
  if (inputs instanceof Miss) return undefined;
  const model = inputs.original.clone();
  await clampConstants(model);
  const producers = addMaxima(model, names);
  if (producers.size === 0) return undefined;
  const maxima = new Map<string, number>();
  const observed = [...producers.keys()];
  const options = { batch: hasLargeWeights(model) ? 1 : 4, samples: maxSamples, signal };
  await runOverSamples(models.engine, [{ model, observed }], inputs.samples, options, ([outputs = {}]) => {
    for (const [name, producer] of producers)
      for (const value of toNumbers(outputs[name] ?? zeros("float32", [0])))
        maxima.set(producer, Math.max(value, maxima.get(producer) ?? 0));
  });
  const isFill = infinityTest("float32");
  const [worst] = [...maxima]
    .filter(([, value]) => value > maxFloat16 && !isFill(value))
    .toSorted((a, b) => b[1] - a[1]);
  if (worst === undefined) return undefined;
  return `on ${inputsPhraseOf(data)} ${worst[0]} computes values up to ${count(worst[1])} in the original, above the float16 maximum of 65,504`;
}

/** @returns the added outputs of the main graph, each with a description of the node whose maximum magnitude it is. Subgraphs return their maxima. */
function addMaxima(model: Model, names: ReadonlySet<string>): ReadonlyMap<string, string> {
  const inference = infer(model);
  const { opsets } = model.header;
  const zero = emitInto(model).constant(float32([1], [0]), "zero");
  const addToGraph = (graph: Graph): (readonly [maximum: Value, producer: string])[] => {
    const emit = emitter(graph, { by: "half-overflow", opsets });
    // ReduceMax fails for an empty tensor.
    const maximum = (value: Value): Value =>
      emit.ReduceMax([emit.Concat([emit.Reshape([emit.Abs([value]), [-1]]), zero], { axis: 0 })], { keepdims: 1 });
    return [...graph.nodes()].flatMap((node) => {
      const maxima = node.outputs.flatMap((value) =>
        value !== undefined && names.has(value.name) && inference.operand(value)?.type === "float32"
          ? [[maximum(value), nodeText(node)] as const]
          : [],
      );
      const hasSequenceOutput = node.outputs.some(
        (value) => value && inference.operand(value)?.container !== undefined,
      );
      const bodies = hasSequenceOutput ? [] : subgraphs(node);
      const inner = bodies.flatMap((body) =>
        addToGraph(body).map(([value, producer]) => {
          for (const other of bodies)
            other.addOutput(other === body ? value : emitter(other, { opsets }).Identity([zero]));
          for (const [name, { kind, value: list }] of node.attributes)
            if (kind === "ints" && name.startsWith("scan_output_"))
              graph.setAttribute(node, name, { kind, value: [...list, 0] });
          return [maximum(graph.addNodeOutput(node, graph.freshName("largest"))), producer] as const;
        }),
      );
      return [...maxima, ...inner];
    });
  };
  return new Map(addToGraph(model.graph).map(([{ name }, producer]) => [name, producer]));
}

/** A mask of −1e9 is not an overflow: the conversion to float16 clamps it. */
async function clampConstants({ graph }: Model): Promise<void> {
  const clampTensor = async (tensor: Tensor | undefined): Promise<Dense | undefined> => {
    if (tensor?.type !== "float32" || tensor.bytes > maxMaskBytes) return undefined;
    const values = toFloats(await tensor.read());
    return values.some(isInfiniteInHalf) ? float32(tensor.dims, values.map(clampToHalf)) : undefined;
  };
  for (const node of [...allNodes(graph)]) {
    const [output] = node.outputs;
    const dense = await clampTensor(constantOf(node));
    if (output !== undefined && dense !== undefined) storeInPlace(output, dense);
  }
  for (const value of allValues(graph)) {
    const dense = await clampTensor(value.tensor);
    if (dense !== undefined) value.tensor = inMemory(dense);
  }
}

/** Returns the names of values computed in float16, and of float32 values that are converted from float16. */
function halfValues(model: Model): ReadonlySet<string> {
  // The result of a pass has inferred types.
  if ([...allValues(model.graph)].some(({ type, foreign }) => type === undefined && foreign === undefined))
    infer(model);
  const isHalf = (value: Value | undefined): boolean =>
    value !== undefined && value.tensor === undefined && value.type?.type === "float16";
  const float16Names = new Set<string>();
  for (const node of allNodes(model.graph)) {
    const isFloat16Source = isHalf(node.inputs[0]) && convertsQuantization(node, infer(model));
    for (const value of node.outputs)
      if (value !== undefined && (isFloat16Source || isHalf(value))) float16Names.add(value.name);
  }
  return float16Names;
}
