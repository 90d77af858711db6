/**
 * Rules that merge two consecutive products with stored weights, if the merged weight has at most as many elements as both weights:
 *     (x · A + a) · B + b = x · (A · B) + (a · B + b)
 * A convolution with a 1 × 1 kernel after another convolution is such a product for each position. `fold-constants` stores the new weight.
 */
import { type Emit, elementCount, fixedDims, type Node, type Value } from "#graph";
import type { Operand, Site } from "../define.ts";
import { readFlag, readFloat, readInteger, readIntegers, readString } from "../shared/attributes.ts";
import { integersConstant } from "../shared/rules.ts";
import { emitNamed, type Pair, type PairScope, replaceBy } from "./rule.ts";

/** Returns the dimensions of a stored float weight that only this node reads and that can change. */
function weightDims({ canChange }: PairScope, value: Value | undefined, operand: Operand | undefined) {
  if (value?.tensor === undefined || value.uses.size > 1 || !canChange(value)) return undefined;
  return operand?.type === "float32" || operand?.type === "float64" ? fixedDims(operand.dims) : undefined;
}

/** Returns whether a bias can be merged: it is absent, or a stored vector that can change. */
function canMergeBias({ canChange }: PairScope, value: Value | undefined, operand: Operand | undefined, count: number) {
  if (value === undefined) return true;
  const dims = fixedDims(operand?.dims);
  return value.tensor !== undefined && canChange(value) && dims?.length === 1 && dims[0] === count;
}

/** A matrix product x · W + bias. */
interface Product {
  readonly x: Value;
  readonly weight: Value;
  readonly isTransposed: boolean;
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: Value | undefined;
}

function productOf(scope: PairScope, node: Node, site: Site): Product | undefined {
  const [x, weight, bias] = node.inputs;
  const dims = weightDims(scope, weight, site.inputs[1]);
  const [rows, columns] = dims ?? [];
  if (x === undefined || weight === undefined || rows === undefined || columns === undefined || dims?.length !== 2)
    return undefined;
  if (site.inputs[0]?.stored !== false || site.version < 11) return undefined;
  const isPlain = !readFlag(site, "transA") && readFloat(site, "alpha", 1) === 1 && readFloat(site, "beta", 1) === 1;
  const isTransposed = readFlag(site, "transB");
  const [inputs, outputs] = isTransposed ? [columns, rows] : [rows, columns];
  if (!isPlain || !canMergeBias(scope, bias, site.inputs[2], outputs)) return undefined;
  return { x, weight, isTransposed, inputs, outputs, bias };
}

/** Writes the bias of merged products: inner · matrix + outer. Either bias can be undefined. */
function mergeBias(emit: Emit, matrix: Value, inner: Value | undefined, outer: Value | undefined): Value | undefined {
  if (inner === undefined) return outer;
  const innerProduct = emit.MatMul([inner, matrix]);
  return outer === undefined ? innerProduct : emit.Add([innerProduct, outer]);
}

const chainedProducts: Pair = {
  id: "chained-products",
  description: "two products with stored matrices are one, if it is not larger",
  first: ["MatMul", "Gemm"],
  second: ["MatMul", "Gemm"],
  reorders: true,
  mergesParameters: true,
  fuse(scope) {
    const { first, second, firstSite, secondSite, input, isOnlyReader, emit } = scope;
    if (!isOnlyReader || input !== 0) return undefined;
    const [inner, outer] = [productOf(scope, first, firstSite), productOf(scope, second, secondSite)];
    if (inner === undefined || outer === undefined || inner.weight === outer.weight) return undefined;
    const { inputs, outputs: between } = inner;
    if (inputs * outer.outputs > inputs * between + between * outer.outputs) return undefined;
    // A bias requires Gemm, whose input must be a matrix.
    const isMatrix = firstSite.inputs[0]?.dims?.length === 2;
    if (!isMatrix && (inner.bias !== undefined || outer.bias !== undefined)) return undefined;
    const writeMatrix = ({ weight, isTransposed }: Product): Value =>
      isTransposed ? emit.Transpose([weight]) : weight;
    const matrix = writeMatrix(outer);
    const merged = emit.named(outer.weight.name).MatMul([writeMatrix(inner), matrix]);
    const bias = mergeBias(emit, matrix, inner.bias, outer.bias);
    const write = emitNamed(scope);
    const value = bias === undefined ? write.MatMul([inner.x, merged]) : write.Gemm([inner.x, merged, bias]);
    if (value.producer !== undefined) value.producer.name = second.name;
    return { value };
  },
};

const chainedConvolutions: Pair = {
  id: "chained-convolutions",
  description: "a convolution and the 1 × 1 convolution after it are one, if it is not larger",
  first: ["Conv"],
  second: ["Conv"],
  reorders: true,
  mergesParameters: true,
  fuse(scope) {
    const { first, second, firstSite, secondSite, input, isOnlyReader, emit } = scope;
    const [x, innerWeight, innerBias] = first.inputs;
    const [, outerWeight, outerBias] = second.inputs;
    const inner = weightDims(scope, innerWeight, firstSite.inputs[1]);
    const outer = weightDims(scope, outerWeight, secondSite.inputs[1]);
    if (!isOnlyReader || input !== 0 || inner === undefined || outer === undefined || innerWeight === outerWeight)
      return undefined;
    const [between = 0, ...kernel] = inner;
    const [outputs = 0, channels, ...window] = outer;
    if (channels !== between || !window.every((size) => size === 1)) return undefined;
    if (readInteger(firstSite, "group", 1) !== 1 || readInteger(secondSite, "group", 1) !== 1) return undefined;
    if (isPadded(secondSite) || outputs * elementCount(kernel) > elementCount(inner) + elementCount(outer))
      return undefined;
    if (!canMergeBias(scope, innerBias, firstSite.inputs[2], between)) return undefined;
    if (!canMergeBias(scope, outerBias, secondSite.inputs[2], outputs)) return undefined;
    const [strides, outerStrides] = [stridesOf(firstSite, window), stridesOf(secondSite, window)];
    const hasSamePadding = readString(firstSite, "auto_pad", "NOTSET").startsWith("SAME");
    // The padding that `auto_pad` SAME implies depends on the stride.
    if (hasSamePadding && outerStrides.some((stride) => stride !== 1)) return undefined;
    const flatten = (value: Value | undefined, rows: number): Value =>
      emit.Reshape([value, integersConstant(emit, [rows, -1])]);
    const matrix = flatten(outerWeight, outputs);
    const product = emit.MatMul([matrix, flatten(innerWeight, between)]);
    const shape = integersConstant(emit, [outputs, ...kernel]);
    const merged = emit.named(outerWeight?.name ?? "weight").Reshape([product, shape]);
    const bias = mergeBias(emit, emit.Transpose([matrix]), innerBias, outerBias);
    const value = emitNamed(scope).Conv([x, merged, bias], {
      strides: strides.map((stride, axis) => stride * (outerStrides[axis] ?? 1)),
    });
    const result = replaceBy(value, first);
    if (value.producer !== undefined) value.producer.name = second.name;
    return result;
  },
};

const stridesOf = (site: Site, window: readonly number[]): readonly number[] =>
  readIntegers(site, "strides") ?? window.map(() => 1);

function isPadded(site: Site): boolean {
  const mode = readString(site, "auto_pad", "NOTSET");
  return mode.startsWith("SAME") || readIntegers(site, "pads")?.some((pad) => pad !== 0) === true;
}

export const productPairs: readonly Pair[] = [chainedProducts, chainedConvolutions];
