/**
 * Law: an operator that is quantized as its definition declares computes the same outputs, up to a bound from its scales.
 * - weighted: the dequantized output of the integer form equals the operator on the dequantized operands; and the operator on the
 *   original numbers up to n · (max|x| · s_w/2 + max|w| · s_x/2 + s_x · s_w/4), where n products are summed into one output;
 * - transparent: between DequantizeLinear and QuantizeLinear of one scale, no number is rounded, nor if the operator runs on the quantized values;
 * - clamp: if the output is quantized over its range, removing the operator changes no quantized value by more than one;
 * - activation: the error is under Σ |∂y/∂x| · s_x/2 + s_y/2, with the derivatives by central differences.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import type { Op } from "../../src/core/ops/define.ts";
import type { QuantizeRule } from "../../src/core/ops/entry.ts";
import { operators } from "../../src/core/ops/index.ts";
import { stridesOf } from "../../src/core/tensor/axis-layout.ts";
import { fromNumbers, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { roundHalfEven } from "../../src/core/tensor/round.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import { fastWeight } from "../../src/techniques/quantize/formats/integer-operators.ts";
import type { Example } from "../core/ops/define.examples.ts";
import {
  difference,
  engine,
  examplesFor,
  feedsOf,
  fixedModel,
  lastNode,
  numberOf,
  operatorOf,
  run,
} from "./harness.ts";

type Weighted = Extract<QuantizeRule, { readonly kind: "weighted" }>;

/** 8-bit quantized values, which represent (code - zero) · scale. */
interface Codes {
  readonly codes: Dense;
  readonly scale: number;
  readonly zero: number;
  readonly dequantized: Dense;
}

interface Grid {
  readonly scale: number;
  readonly zero: number;
}

/**
 * Returns the uint8 grid over the range of the numbers and 0. Values that are multiplied by int8 are limited to 127, because sums of two products
 * saturate in 16 bits on x86 processors without VNNI.
 */
function gridOf(numbers: Float64Array, most: 127 | 255 = 255): Grid {
  const [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  const scale = high === low ? 1 : (high - low) / most;
  return { scale, zero: roundHalfEven(-low / scale) };
}

function quantized(dense: Dense, type: "int8" | "uint8", { scale, zero }: Grid): Codes {
  const [low, high] = type === "int8" ? [-128, 127] : [0, 255];
  const codes = toFloat64(dense).map((value) => Math.min(high, Math.max(low, roundHalfEven(value / scale) + zero)));
  return {
    codes: fromNumbers(type, dense.dims, codes),
    scale,
    zero,
    dequantized: fromNumbers(
      "float32",
      dense.dims,
      codes.map((code) => (code - zero) * scale),
    ),
  };
}

/** Quantizes each output channel of a weight symmetrically over its range. */
function quantizedChannels(dense: Dense, rule: Weighted) {
  const { out } = rule.weight;
  const type = fastWeight(rule);
  const zero = type === "int8" ? 0 : 128;
  const stride = stridesOf(dense.dims)[out] ?? 1;
  const count = dense.dims[out] ?? 1;
  const channelOf = (at: number): number => Math.floor(at / stride) % count;
  const numbers = toFloat64(dense);
  const scales = Array.from({ length: count }, (_, channel) =>
    numbers.reduce((most, value, at) => (channelOf(at) === channel ? Math.max(most, Math.abs(value) / 127) : most), 0),
  );
  const codes = numbers.map((value, at) => roundHalfEven(value / (scales[channelOf(at)] ?? 1)) + zero);
  const back = codes.map((code, at) => (code - zero) * (scales[channelOf(at)] ?? 1));
  return {
    codes: fromNumbers(type, dense.dims, codes),
    scales,
    zero,
    dequantized: fromNumbers("float32", dense.dims, back),
  };
}

const largest = (dense: Dense): number => toFloat64(dense).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

function setStored(model: Model, name: string, dense: Dense): void {
  const value = model.graph.value(name);
  if (value === undefined) throw new Error(`there is no "${name}"`);
  value.tensor = inMemory(dense);
}

/** Returns the quantization rule of an example, and all its operands. */
async function ruleOf(example: Example) {
  const model = fixedModel(example);
  const inference = infer(model);
  const node = lastNode(model);
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  const cost = bound instanceof Miss ? bound : bound.cost();
  const feeds = feedsOf(model, example);
  const operands: Record<string, Dense> = { ...feeds };
  for (const value of model.graph.values())
    if (value.tensor !== undefined) operands[value.name] = await value.tensor.read();
  return { model, node, rule, macs: cost instanceof Miss ? 0 : numberOf(cost.macs, example.sizes), feeds, operands };
}

type Tried = Awaited<ReturnType<typeof ruleOf>>;

function operandOf({ node, operands }: Tried, input: number): { readonly value: Value; readonly dense: Dense } {
  const value = node.inputs[input];
  const dense = value === undefined ? undefined : operands[value.name];
  if (value === undefined || dense === undefined) throw new Error(`input ${input} is missing`);
  return { value, dense };
}

function transposed(dense: Dense): Dense {
  const [rows = 0, columns = 0] = dense.dims;
  const from = toFloat64(dense);
  const numbers = Array.from(
    { length: from.length },
    (_, at) => from[(at % rows) * columns + Math.floor(at / rows)] ?? 0,
  );
  return fromNumbers(dense.type === "int8" ? "int8" : "uint8", [columns, rows], numbers);
}

const opsets = () => new Map([["", 21]]);

async function checkWeighted(tried: Tried, rule: Weighted): Promise<void> {
  const { model, node, feeds, macs } = tried;
  const [x, w] = [operandOf(tried, rule.weight.data), operandOf(tried, rule.weight.input)];
  const xCodes = quantized(x.dense, "uint8", gridOf(toFloat64(x.dense), 127));
  const wCodes = quantizedChannels(w.dense, rule);

  const integers = new Model(undefined, { opsets: opsets() });
  const emit = emitInto(integers);
  const input = integers.graph.addInput("x", { type: "uint8", dims: xCodes.codes.dims });
  const scalarCode = (type: "int8" | "uint8", code: number) => emit.constant(fromNumbers(type, [], [code]), "zero");
  const sum = rule.integer(emit, {
    x: input,
    weight: emit.constant(rule.integerTransposed ? transposed(wCodes.codes) : wCodes.codes, "weight"),
    xZeroPoint: scalarCode("uint8", xCodes.zero),
    ...(fastWeight(rule) === "int8" ? {} : { weightZeroPoint: scalarCode("uint8", wCodes.zero) }),
  });
  const channels = w.dense.dims[rule.weight.out] ?? 1;
  const channelDims = rule.channelDims(channels);
  const { productFactor = 1 } = layers(model, infer(model)).find((layer) => layer.node === node)?.role ?? {};
  const scales = wCodes.scales.map((scale) => productFactor * scale * xCodes.scale);
  let y = emit.Mul([emit.Cast([sum], { to: 1 }), emit.constant(fromNumbers("float32", channelDims, scales))]);
  if (rule.weight.bias !== undefined) {
    const bias = operandOf(tried, rule.weight.bias).dense;
    const dims = bias.dims.length === 1 ? channelDims : bias.dims;
    const scaled = toFloat64(bias).map((value) => value * (rule.biasFactor ?? Number.NaN));
    y = emit.Add([y, emit.constant(fromNumbers("float32", dims, scaled))]);
  }
  integers.graph.setOutputs([y]);
  expect(verify(integers)).toEqual([]);
  const actual = (await run(integers, { x: xCodes.codes }))[y.name] as Dense;

  const output = node.outputs[0]?.name ?? "";
  const rounded = model.clone();
  setStored(rounded, w.value.name, wCodes.dequantized);
  const same = (await run(rounded, { ...feeds, [x.value.name]: xCodes.dequantized }))[output] as Dense;
  expect(actual.dims).toEqual(same.dims);
  expect(difference(actual, same)).toBeLessThan(1e-5);

  const original = (await run(model, feeds))[output] as Dense;
  const products = macs / toFloat64(original).length;
  const [dx, dw] = [xCodes.scale / 2, Math.max(...wCodes.scales) / 2];
  const bound = products * (largest(x.dense) * dw + largest(w.dense) * dx + dx * dw);
  const error = toFloat64(actual).map((value, at) => value - (toFloat64(original)[at] ?? 0));
  expect(error.reduce((most, value) => Math.max(most, Math.abs(value)), 0)).toBeLessThanOrEqual(bound * 1.001 + 1e-6);
}

/** Runs the node between DequantizeLinear and QuantizeLinear, as in a quantized model, with quantized inputs and outputs. */
async function betweenCodes(
  tried: Tried,
  inputs: readonly number[],
  outGrids: readonly Grid[],
): Promise<readonly Dense[]> {
  const model = tried.model.clone();
  const node = lastNode(model);
  const emit = emitInto(model, { before: node });
  const after = emitInto(model);
  const feeds: Record<string, Dense> = { ...tried.feeds };
  const parameters = ({ scale, zero }: Grid) =>
    [
      after.constant(fromNumbers("float32", [], [scale]), "scale"),
      after.constant(fromNumbers("uint8", [], [zero]), "zero"),
    ] as const;
  for (const port of inputs) {
    const { value, dense } = operandOf(tried, port);
    const codes = quantized(dense, "uint8", gridOf(toFloat64(dense)));
    const name = `codes_${port}`;
    feeds[name] = codes.codes;
    const input = model.graph.addInput(name, { type: "uint8", dims: dense.dims });
    model.graph.setInput(node, port, emit.DequantizeLinear([input, ...parameters(codes)]));
    delete feeds[value.name];
  }
  model.graph.setInputs(model.graph.inputs.filter((value) => value.uses.size > 0));
  for (const [name] of Object.entries(feeds))
    if (!model.graph.inputs.some((value) => value.name === name)) delete feeds[name];
  const ends = node.outputs.flatMap((output, index) => {
    const grid = outGrids[index];
    if (output === undefined || grid === undefined) return [];
    const constants = parameters(grid);
    return [after.DequantizeLinear([after.QuantizeLinear([output, ...constants]), ...constants])];
  });
  model.graph.setOutputs(ends);
  expect(verify(model)).toEqual([]);
  const results = await run(model, feeds);
  return ends.map((end) => results[end.name] as Dense);
}

/** Returns the outputs of the node if some inputs are quantized and dequantized. */
async function onRounded(tried: Tried, inputs: readonly number[]): Promise<readonly Dense[]> {
  const model = tried.model.clone();
  const feeds: Record<string, Dense> = { ...tried.feeds };
  for (const port of inputs) {
    const { value, dense } = operandOf(tried, port);
    const { dequantized } = quantized(dense, "uint8", gridOf(toFloat64(dense)));
    if (value.tensor === undefined) feeds[value.name] = dequantized;
    else setStored(model, value.name, dequantized);
  }
  const results = await run(model, feeds);
  return model.graph.outputs.map(({ name }) => results[name] as Dense);
}

async function checkTransparent(tried: Tried): Promise<void> {
  const grid = gridOf(toFloat64(operandOf(tried, 0).dense));
  const floats = (await onRounded(tried, [0])).filter((dense) => dense.type === "float32");
  const through = await betweenCodes(
    tried,
    [0],
    floats.map(() => grid),
  );
  for (const [index, dense] of floats.entries()) expect(difference(through[index] as Dense, dense)).toBeLessThan(1e-6);
}

async function checkClamp(tried: Tried): Promise<void> {
  const output = (await onRounded(tried, []))[0] as Dense;
  const grid = gridOf(toFloat64(output));
  const [direct] = [quantized(operandOf(tried, 0).dense, "uint8", grid)];
  const clamped = quantized(output, "uint8", grid);
  const gaps = toFloat64(direct.codes).map((code, at) => Math.abs(code - (toFloat64(clamped.codes)[at] ?? 0)));
  expect(Math.max(0, ...gaps)).toBeLessThanOrEqual(1);
}

/** Returns Σ |∂y/∂x| · half a quantization step over all elements of the inputs, for each element of the output. */
async function errorBound(tried: Tried, inputs: readonly number[]): Promise<Float64Array> {
  const model = tried.model.clone();
  for (const value of [...model.graph.values()]) {
    if (value.tensor === undefined || value.type?.type !== "float32") continue;
    value.tensor = undefined;
    model.graph.setInputs([...model.graph.inputs, value]);
  }
  const feeds: Batch = Object.fromEntries(
    model.graph.inputs.map(({ name }) => [name, tried.operands[name] as Dense] as const),
  );
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const output = model.graph.outputs[0]?.name ?? "";
  const at = async (changed: Batch) => toFloat64((await session.run(changed))[output] as Dense);
  const bound = new Float64Array((await at(feeds)).length);
  for (const name of new Set(inputs.map((port) => operandOf(tried, port).value.name))) {
    const dense = feeds[name] as Dense;
    const half = gridOf(toFloat64(dense)).scale / 2;
    for (let index = 0; index < toFloat64(dense).length; index++) {
      const moved = (by: number): Batch => {
        const numbers = toFloat64(dense).slice();
        numbers[index] = (numbers[index] ?? 0) + by;
        return { ...feeds, [name]: fromNumbers("float32", dense.dims, numbers) };
      };
      const [up, down] = [await at(moved(half)), await at(moved(-half))];
      up.forEach((value, place) => {
        bound[place] = (bound[place] ?? 0) + Math.abs(value - (down[place] ?? 0)) / 2;
      });
    }
  }
  await session.release();
  return bound;
}

async function checkActivation(tried: Tried, inputs: readonly number[]): Promise<void> {
  const output = (await onRounded(tried, []))[0] as Dense;
  // The output range is that for the rounded inputs, as calibration on the quantized model measures it.
  const grid = gridOf(
    Float64Array.from([...toFloat64(output), ...toFloat64((await onRounded(tried, inputs))[0] as Dense)]),
  );
  const [actual] = await betweenCodes(tried, inputs, [grid]);
  const bound = await errorBound(tried, inputs);
  // Second-order terms of a product of two rounded operands are below a hundredth of the first.
  toFloat64(actual as Dense).forEach((value, at) => {
    const limit = (bound[at] ?? 0) * 1.05 + grid.scale * 0.501 + 1e-6;
    expect(Math.abs(value - (toFloat64(output)[at] ?? 0))).toBeLessThanOrEqual(limit);
  });
}

const kinds = new Map<Op, Set<string>>();

describe("the error of a quantized operator stays within the bound of its scales", () => {
  const offered = (example: Example): boolean => !(operatorOf(example).facets.quantize instanceof Miss);
  test.each(examplesFor("quantize", offered))("%s", async (_, example) => {
    const tried = await ruleOf(example);
    const { rule } = tried;
    const op = operatorOf(example);
    kinds.set(op, (kinds.get(op) ?? new Set()).add(rule instanceof Miss ? "no" : rule.kind));
    const foretold = example.misses.quantize;
    expect(rule instanceof Miss ? rule.reason : undefined).toEqual(
      foretold === undefined ? undefined : expect.stringContaining(foretold),
    );
    if (rule instanceof Miss || tried.operands[tried.node.inputs[0]?.name ?? ""]?.type !== "float32") return;
    if (rule.kind === "weighted") await checkWeighted(tried, rule);
    // QuantizeLinear requires opset 10, to which `quantize` raises the model.
    else if (example.opset < 10) return;
    else if (rule.kind === "transparent") await checkTransparent(tried);
    else if (rule.kind === "clamp") {
      if (rule.eachChannel !== true) await checkClamp(tried);
    } else await checkActivation(tried, rule.inputs);
  });

  test("the examples cover every operator with a quantization rule", () => {
    const offering = [...operators].filter((op) => op.facets.quantize === true);
    const untried = offering.filter((op) => [...(kinds.get(op) ?? [])].every((kind) => kind === "no"));
    expect(untried.map((op) => op.name)).toEqual([]);
  });
});
