/** Checks whether a technique can change a layer's weight, and says how the weight is stored. */
import { type DataType, elementCount, fixedDims, isFloat, Miss, type Model, type Value } from "#graph";
import { lowerFirst } from "../ops/shared/misses.ts";
import type { Inference } from "./infer.ts";
import { allLayers, isInSubgraph, type Layer } from "./layers.ts";
import { maskingOf } from "./masks.ts";
import { whyNotStored } from "./stored-root.ts";

/** Returns "holds NaN" or "holds infinity" if an unmasked element is not finite. */
export function describeNonFinite(values: ArrayLike<number>, mask?: ArrayLike<number>): string | undefined {
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value - value !== 0 && mask?.[index] !== 0) return `holds ${Number.isNaN(value) ? "NaN" : "infinity"}`;
  }
  return undefined;
}

/** Returns the storage of a weight: "float" (possibly masked), "quantized" with scales, "packed" by one operator, or "computed" by other nodes. */
export function weightStorage({
  weight,
  effective,
  role,
  isScale,
}: Layer): "float" | "quantized" | "packed" | "computed" {
  if (role.packed !== undefined) return "packed";
  // If a Constant node makes the weight, the value has a type but no tensor, because the tensor is in the node's attribute.
  const type = weight.tensor?.type ?? weight.type?.type;
  if (isScale || type === undefined || !isFloat(type)) return "quantized";
  return effective === weight || maskingOf(weight)?.product === effective ? "float" : "computed";
}

export const isQuantized = (layer: Layer): boolean => ["quantized", "packed"].includes(weightStorage(layer));

/** Returns whether a layer, other than a table, computes with a float weight. */
export const hasFloatWeights = (model: Model, inference: Inference): boolean =>
  allLayers(model, inference).some((layer) => layer.role.kind !== "lookup" && !isQuantized(layer));

/** Returns the name of the tensor that a value is tied to, or of its first tied copy. */
function tiedName({ role, graph, name }: Value): string | undefined {
  return role?.kind === "tied" ? role.name : graph.tiedTo(name)[0]?.value.name;
}

/** A technique's requirements for a weight. */
export interface WeightNeeds {
  /** The allowed stored types; any float type by default. */
  readonly types?: readonly DataType[];
  /** "stored": the node reads the stored tensor directly or through a mask. "unrounded": no fake quantization or cast is between tensor and node. */
  readonly read?: "stored" | "unrounded";
  /** "alone": the node computes only a product with the weight. "chain": consecutive layers with smaller weights can replace the node. */
  readonly product?: "alone" | "chain";
  /** The maximum number of nodes that read the weight; unlimited by default. */
  readonly readers?: number;
  readonly mustBeUntied?: true;
  readonly allowsSubgraphs?: true;
  /** The model's parameters (`parametersOf`); other tensors are rejected. Undefined allows all tensors. */
  readonly learned?: ReadonlySet<Value> | undefined;
}

export const weightNeeds = {
  // bfloat16 is excluded, because a mask cannot be multiplied in this type (quirk "bfloat16-product").
  prune: { types: ["float32", "float64", "float16"], mustBeUntied: true },
  quantize: { allowsSubgraphs: true },
  factorize: { types: ["float32", "float64", "float16"], read: "unrounded", product: "chain", mustBeUntied: true },
  solve: { read: "stored", product: "alone", readers: 1, mustBeUntied: true },
  fuse: { types: ["float32"], read: "stored", product: "alone", readers: 1 },
} as const satisfies Readonly<Record<string, WeightNeeds>>;

/** Types of sizes, positions and conditions. */
export const arithmeticTypes: ReadonlySet<DataType> = new Set(["int64", "uint64", "bool", "string"]);

const orderAdvice = (read: WeightNeeds["read"]): string =>
  read === "unrounded" ? ": `quantize` must be a later step" : "";

/** Returns why a stored weight or bias does not meet a technique's needs. @param name as the reason calls it. */
export function checkStored(
  value: Value,
  { types, mustBeUntied, allowsSubgraphs, learned, read }: WeightNeeds,
  name = "its weight",
): Miss | undefined {
  const type = value.tensor?.type;
  if (type === undefined || (allowsSubgraphs !== true && value.graph.parent !== undefined))
    return new Miss(`${name} is not stored in the main graph`);
  if (arithmeticTypes.has(type)) return new Miss(`${name} is ${type}, not floats`);
  if (!isFloat(type)) return new Miss(`${name} is quantized already${orderAdvice(read)}`);
  if (types?.includes(type) === false) return new Miss(`${name} is ${type}, not ${types.join(" or ")}`);
  const otherName = mustBeUntied === true ? tiedName(value) : undefined;
  if (otherName !== undefined) return new Miss(`${name} is tied to "${otherName}"`);
  return learned?.has(value) === false ? new Miss(`${name} contains constants, which are not trained`) : undefined;
}

/** Returns why a layer's weight does not meet a technique's needs. */
export function checkWeight(layer: Layer, needs: WeightNeeds): Miss | undefined {
  const reason = checkStored(layer.weight, needs)?.reason ?? unmetNeed(layer, needs);
  return reason === undefined ? undefined : new Miss(reason, layer.name);
}

export function checkProduct({ role, name, effective }: Layer): Miss | undefined {
  if (role.kind === "lookup") return new Miss("it is an embedding lookup, without a matrix product", name);
  if (role.fused !== undefined) return new Miss(`${role.fused} is fused into the layer: ${lowerFirst}`, name);
  if (role.stack === undefined) return undefined;
  const dims = fixedDims(effective.type?.dims) ?? [];
  const hasOneMatrix = role.stack.every((axis) => dims[axis] === 1);
  return new Miss(
    hasOneMatrix ? `its weight is [${dims.join(", ")}], not a matrix` : "it holds several matrices",
    name,
  );
}

function unmetNeed(layer: Layer, { read, product, readers, allowsSubgraphs }: WeightNeeds): string | undefined {
  if (allowsSubgraphs !== true && isInSubgraph(layer)) return "it is in a subgraph";
  const { effective, weight, role } = layer;
  const storage = weightStorage(layer);
  const type = effective.type?.type;
  const dims = fixedDims(effective.type?.dims) ?? [];
  if (storage === "packed" || (type !== undefined && !isFloat(type)))
    return `its weight is quantized already${orderAdvice(read)}`;
  // "chain" requires an operator whose definition states how a chain of layers replaces it.
  const productMiss =
    product === undefined || (product === "chain" && role.chain !== undefined) ? undefined : checkProduct(layer);
  if (productMiss !== undefined) return productMiss.reason;
  if (product === "chain" && role.chain === undefined) return "its operator cannot be written as a chain of layers";
  if (layer.isScale) return "it contains the scales of a table that is quantized already";
  const readMiss = whyNotStored(effective);
  if (readMiss !== undefined) return `its weight ${readMiss.reason}`;
  if (read === "stored" && storage === "computed") return "its weight is computed";
  if (read === "unrounded" && isRounded(effective))
    return "its weight has fake quantization: `fake-quantize` must be a later step";
  if (read === "unrounded" && type !== weight.tensor?.type)
    return `its weight is ${weight.tensor?.type}, but used as ${type}`;
  // Replacing the values would change a model output.
  if (
    (readers !== undefined || product === "chain") &&
    [weight, effective].some((value) => value.graph.isOutput(value))
  )
    return "its weight is also an output of the model";
  if (readers !== undefined && (weight.uses.size > readers || effective.uses.size > readers))
    return "its weight is shared";
  return elementCount(dims) === 0 ? "its weight has no elements" : undefined;
}

/** Returns whether a value passes through integer types, or through rounding with a straight-through gradient. */
function isRounded({ role, producer, type }: Value): boolean {
  return (
    role?.kind === "straight-through" ||
    (type !== undefined && !isFloat(type.type) && !arithmeticTypes.has(type.type)) ||
    (producer?.inputs ?? []).some((input) => input !== undefined && isRounded(input))
  );
}
