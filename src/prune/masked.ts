/**
 * Masks in the graph. Before and after masking `fc1.weight`:
 *
 *     fc1.weight: float32[128, 784] parameter            fc1.weight_orig: float32[128, 784] parameter
 *                                                        fc1.weight_mask: float32[128, 784] mask
 *                                                        fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 *     h = Gemm(x, fc1.weight, …)                         h = Gemm(x, fc1.weight, …)
 *
 * The product has the old name, so whatever read the weight reads the masked one, and training sees gradients through the mask.
 */
import { Miss, PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { mask as maskRole, parameter as parameterRole } from "../graph/role.ts";
import { fromNumbers, type NumericType, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { elementCount, sameDims } from "../tensor/dims.ts";
import type { DataType, Tensor } from "../tensor/types.ts";
import type { Mask } from "./mask.ts";

/** A parameter behind a mask. */
export interface Masked {
  /** `<name>_orig`: what is trained. */
  readonly parameter: Value;
  /** `<name>_mask` */
  readonly mask: Value;
  /** `<name>`: parameter times mask. */
  readonly product: Value;
  readonly node: Node;
}

/** What a stored parameter is masked by, if it is. */
export function maskedAt(parameter: Value): Masked | undefined {
  for (const { node } of parameter.uses) {
    const mask = node.inputs.find((input) => input !== parameter && input?.role?.kind === "mask");
    const [product] = node.outputs;
    if (node.op === "Mul" && node.domain === "" && mask?.tensor !== undefined && product !== undefined) {
      return { parameter, mask, product, node };
    }
  }
  return undefined;
}

/** All masked parameters of a graph, in the order of their products. */
export function allMasked(graph: Graph): readonly Masked[] {
  const found: Masked[] = [];
  for (const node of graph.nodes()) {
    const parameter = node.inputs.find((input) => input?.tensor !== undefined && input.role?.kind !== "mask");
    const masked = parameter === undefined ? undefined : maskedAt(parameter);
    if (masked?.node === node) found.push(masked);
  }
  return found;
}

/** The name of a parameter, masked or not: `fc1.weight`. */
export function plainName(parameter: Value): string {
  return maskedAt(parameter)?.product.name ?? parameter.name;
}

const floats: ReadonlySet<DataType> = new Set<DataType>(["float32", "float64", "float16", "bfloat16"]);

/** Why a stored value cannot be masked. */
export function refusal(model: Model, parameter: Value): Miss | undefined {
  const { tensor, role } = parameter;
  if (tensor === undefined || parameter.graph !== model.graph) return new Miss("it is not stored", parameter.name);
  if (!floats.has(tensor.type)) return new Miss(`it is stored as ${tensor.type}`, parameter.name);
  if (role?.kind === "tied") return new Miss(`it is tied to "${role.name}"`, parameter.name);
  for (const other of model.graph.values()) {
    if (other.role?.kind === "tied" && other.role.name === parameter.name) {
      return new Miss(`"${other.name}" is tied to it`, parameter.name);
    }
  }
  return undefined;
}

/** The mask of a parameter; all ones where it has none. */
export async function readMask(parameter: Value): Promise<Mask> {
  const tensor = maskedAt(parameter)?.mask.tensor;
  if (tensor === undefined) return new Uint8Array(elementCount(stored(parameter).dims)).fill(1);
  return Uint8Array.from(toFloat64(await tensor.read()), (kept) => (kept === 0 ? 0 : 1));
}

/** Puts a mask on a parameter, or replaces the one it has. */
export function setMask(model: Model, parameter: Value, mask: Mask): Masked {
  const { type, dims } = stored(parameter);
  const tensor = inMemory(fromNumbers(type as Exclude<NumericType, "float8e8m0">, dims, mask));
  const present = maskedAt(parameter);
  if (present !== undefined) {
    present.mask.tensor = tensor;
    return present;
  }
  const { graph } = model;
  const name = parameter.name;
  const readers = [...parameter.uses];
  const isOutput = graph.outputs.includes(parameter);
  graph.rename(parameter, `${name}_orig`);
  parameter.role = parameterRole;
  const value = graph.addTensor(`${name}_mask`, tensor, maskRole);
  const [before] = graph.nodes();
  const emit = emitInto(model, before === undefined ? { by: "prune" } : { before, by: "prune" });
  const product = emit.named(name).Mul([parameter, value]);
  product.type = { type, dims };
  for (const { node, input } of readers) node.graph.setInput(node, input, product);
  if (isOutput) graph.setOutputs(graph.outputs.map((output) => (output === parameter ? product : output)));
  const masked = maskedAt(parameter);
  if (masked === undefined) throw new Error("internal: the mask was not found again");
  return masked;
}

/** Folds a mask into its parameter, which takes its old name back and stays a parameter. */
export async function foldMask(model: Model, masked: Masked): Promise<Value> {
  const { parameter, mask, product, node } = masked;
  const { graph } = model;
  const tensor = stored(parameter);
  const values = toFloat64(await tensor.read());
  const kept = toFloat64(await stored(mask).read());
  const folded = inMemory(
    fromNumbers(
      tensor.type as Exclude<NumericType, "float8e8m0">,
      tensor.dims,
      // A negative weight times 0 is -0: adding 0 makes all pruned entries the same bits, which compress.
      values.map((value, index) => value * (kept[index] ?? 0) + 0),
    ),
  );
  const name = product.name;
  for (const { node: reader, input } of [...product.uses]) reader.graph.setInput(reader, input, parameter);
  graph.setOutputs(graph.outputs.map((output) => (output === product ? parameter : output)));
  graph.removeNode(node);
  graph.rename(parameter, name);
  parameter.tensor = folded;
  if (mask.uses.size === 0) graph.removeValue(mask);
  return parameter;
}

/** @throws PithError E_SHAPE_MISMATCH if a tensor that goes with a parameter has other dimensions. */
export function checkSameDims(what: string, dims: readonly number[], parameter: Value): void {
  const expected = stored(parameter).dims;
  if (sameDims(dims, expected)) return;
  throw new PithError(
    "E_SHAPE_MISMATCH",
    `${what} for "${plainName(parameter)}" must have its dimensions [${expected.join(", ")}], got [${dims.join(", ")}].`,
  );
}

export function stored(value: Value): Tensor {
  if (value.tensor === undefined) throw new PithError("E_MODEL", `"${value.name}" is not stored.`);
  return value.tensor;
}
