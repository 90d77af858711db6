/**
 * Writes, finds and removes the nodes of fake quantization: rounding in float arithmetic, through which gradients can pass.
 *
 *     w' = Mul(Clip(Round(Div(w, s)), low, high), s)                                   the scale s is fixed
 *
 *     s  = Mul(Max(Abs(r), least), 2⁻ᵏ)     Max is straight-through(slope=4ᵏ·g)          the scale s is trained, as r
 *     w' = Mul(Round(Clip(Div(w, s), low, high)), s)
 *
 * The second form is learned step size quantization (Esser et al. 2020). The paper scales the gradient of s by g = 1/√(N · high), for N
 * values that share it. Adam moves every parameter by about the learning rate, and a scale, a hundredth of a weight, would vanish in a
 * few steps. So the stored parameter is the range r = 2ᵏ s, as large as its values, with 4ᵏ times the gradient by s.
 */
import { isStored, type Layer } from "#analysis";
import type { Emit, Model, Node, Operands, Role, Tensor, Value } from "#ir";
import { buffer, float32, parameter, patternMatcher, removeUnused, replaceUses, straightThrough, toNumbers } from "#ir";

/** Fake quantization with a single scale or a scale per channel. `low` and `high` are relative to the zero point. */
export interface FakeRounding {
  readonly scale: readonly number[];
  readonly low: number;
  readonly high: number;
  /** Number of values that share a scale, if the scale is trained. */
  readonly trainedFor?: number;
}

const fixedNames = ["value", "scale", "low", "high"] as const;
const trainedNames = ["value", "range", "least", "unit", "low", "high"] as const;

function writeFixed(
  emit: Emit,
  { value, scale, low, high }: Operands<(typeof fixedNames)[number]>,
  name = value.name,
): RoundingNodes {
  const quotient = emit.Div([value, scale]);
  const roundedValue = emit.named(`${name}_rounded`).Round([quotient]);
  roundedValue.role = straightThrough;
  const result = emit.named(`${name}_fake_quantized`).Mul([emit.Clip([roundedValue, low, high]), scale]);
  return { result, division: quotient.producer };
}

function writeTrained(
  emit: Emit,
  { value, range, least, unit, low, high }: Operands<(typeof trainedNames)[number]>,
  name = value.name,
  slope = 1,
): RoundingNodes {
  const positive = emit.Max([emit.Abs([range]), least]);
  positive.role = { ...straightThrough, slope };
  const scale = emit.named(`${name}_trained_scale`).Mul([positive, unit]);
  const quotient = emit.Div([value, scale]);
  const roundedValue = emit.named(`${name}_rounded`).Round([emit.Clip([quotient, low, high])]);
  roundedValue.role = straightThrough;
  const result = emit.named(`${name}_fake_quantized`).Mul([roundedValue, scale]);
  return { result, division: quotient.producer };
}

interface RoundingNodes {
  readonly result: Value;
  readonly division: Node | undefined;
}

const matchFixed = patternMatcher(fixedNames, (emit, operands) => writeFixed(emit, operands).result);
const matchTrained = patternMatcher(trainedNames, (emit, operands) => writeTrained(emit, operands).result);

/** Lower bound of a trained range, as a share of its initial value. */
const minShare = 2 ** -10;

/** Returns the shape in which `count` scales along an axis broadcast to a value. */
export const scaleDims = (dims: readonly number[], axis: number | undefined, count: number): readonly number[] =>
  axis === undefined ? [] : dims.map((_, index) => (index === axis ? count : 1));

export function writeFakeRounding(
  emit: Emit,
  name: string,
  value: Value,
  rounding: FakeRounding,
  dimsOfScales: readonly number[],
): RoundingNodes {
  const { trainedFor } = rounding;
  const store = (numbers: readonly number[], part: string, role: Role = buffer, shape: readonly number[] = []): Value =>
    emit.constant(float32(shape, numbers), `${name}_${part}`, role);
  const bounds = { low: store([rounding.low], "low"), high: store([rounding.high], "high") };
  if (trainedFor === undefined)
    return writeFixed(emit, { value, scale: store(rounding.scale, "scale", buffer, dimsOfScales), ...bounds }, name);
  const levels = rounding.high > 0 ? rounding.high : -rounding.low;
  const factor = 2 ** Math.ceil(Math.log2(Math.max(rounding.high, -rounding.low)));
  const ranges = rounding.scale.map((scale) => scale * factor);
  const operands = {
    range: store(ranges, "range", parameter, dimsOfScales),
    least: store(
      ranges.map((range) => range * minShare),
      "range_least",
      buffer,
      dimsOfScales,
    ),
    unit: store([1 / factor], "range_unit"),
  };
  return writeTrained(emit, { value, ...operands, ...bounds }, name, factor ** 2 / Math.sqrt(trainedFor * levels));
}

interface RoundingMatch {
  readonly value: Value;
  readonly low: number;
  readonly high: number;
  readonly axis: number | undefined;
  scales(): Promise<readonly number[]>;
}

export function findRounding(result: Value): RoundingMatch | undefined {
  const fixedMatch = matchFixed(result);
  const trainedMatch = fixedMatch === undefined ? matchTrained(result) : undefined;
  const { value, low, high } = fixedMatch ?? trainedMatch ?? {};
  const [lowest, highest] = [readNumber(low), readNumber(high)];
  if (value === undefined || lowest === undefined || highest === undefined) return undefined;
  const read = async (tensor: Tensor): Promise<readonly number[]> => toNumbers(await tensor.read());
  const [scale, range, least] = [fixedMatch?.scale.tensor, trainedMatch?.range.tensor, trainedMatch?.least.tensor];
  const axis = (scale ?? range)?.dims.findIndex((dim) => dim !== 1) ?? -1;
  const grid = { value, low: lowest, high: highest, axis: axis < 0 ? undefined : axis };
  const unit = readNumber(trainedMatch?.unit);
  if (scale !== undefined) return { ...grid, scales: () => read(scale) };
  if (range === undefined || least === undefined || unit === undefined) return undefined;
  const scales = async (): Promise<readonly number[]> => {
    const smallest = await read(least);
    return (await read(range)).map((value, index) => unit * Math.max(Math.abs(value), smallest[index] ?? 0));
  };
  return { ...grid, scales };
}

function readNumber(value: Value | undefined): number | undefined {
  const small = value?.tensor?.small;
  return small === undefined ? undefined : toNumbers(small)[0];
}

export interface WeightRounding extends FakeRounding {
  readonly axis: number | undefined;
}

export interface ModelRoundings {
  /** Layers that share a weight can round it along different axes. */
  readonly weights: ReadonlyMap<Value, readonly WeightRounding[]>;
  readonly activations: ReadonlyMap<Value, { readonly scale: number; readonly low: number }>;
  readonly roundings: readonly (readonly [rounded: Value, value: Value])[];
}

export const noRoundings: ModelRoundings = { weights: new Map(), activations: new Map(), roundings: [] };

export async function findRoundings(model: Model): Promise<ModelRoundings> {
  const weights = new Map<Value, WeightRounding[]>();
  const activations = new Map<Value, { readonly scale: number; readonly low: number }>();
  const roundings = roundingsOf(model);
  for (const [, rounding] of roundings) {
    const { value, low, high, axis } = rounding;
    const scale = await rounding.scales();
    if (isStored(value)) weights.set(value, [...(weights.get(value) ?? []), { scale, low, high, axis }]);
    else activations.set(value, { scale: scale[0] ?? 1, low });
  }
  return { weights, activations, roundings: roundings.map(([rounded, { value }]) => [rounded, value]) };
}

/** Removes all fake quantization of a model. */
export function removeAllRoundings(model: Model): void {
  for (const [rounded, { value }] of roundingsOf(model)) replaceUses(rounded, value);
  removeUnused(model.graph);
}

/** Removes the fake quantization of the weights of some layers, and of some activations. */
export function removeRoundings(
  model: Model,
  { roundings, activations }: ModelRoundings,
  layers: readonly Layer[],
  isRemoved: (activation: Value) => boolean,
): void {
  if (roundings.length === 0) return;
  const sourceOf = new Map(roundings);
  for (const { node, role, effective } of layers) {
    const value = sourceOf.get(effective);
    if (value !== undefined) node.graph.setInput(node, role.input, value);
  }
  for (const [rounded, value] of roundings) {
    if (activations.has(value) && isRemoved(value)) replaceUses(rounded, value);
  }
  removeUnused(model.graph);
}

function roundingsOf(model: Model): readonly (readonly [rounded: Value, rounding: RoundingMatch])[] {
  return [...model.graph.nodes()].flatMap(({ outputs: [output] }) => {
    const rounding = output === undefined ? undefined : findRounding(output);
    return output === undefined || rounding === undefined ? [] : [[output, rounding] as const];
  });
}
