/**
 * 8-bit elementwise and pooling operators with a scale and a zero point per operand (QLinearAdd, QLinearAveragePool, …). They are lowered to the
 * float operator. ONNX Runtime's integer kernels can round ties differently.
 */
import { addDims, type Dim, type Emit, Miss, type Value } from "#graph";
import type { AxisLink, Facet, Inferred, Op, Site } from "../define.ts";
import { readFlag, readFloat, readInteger, wrapAxis } from "../shared/attributes.ts";
import { broadcastAxes, joinedAxes, sameAxes } from "../shared/axis-links.ts";
import { toChannelsFirst, toChannelsLast, transposeAround } from "../shared/convolution.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { lowerFirst, noRank, onIntegers, quantizedAlready } from "../shared/misses.ts";
import { mapLinksToInputs, pickInputs } from "../shared/products.ts";
import { broadcast, range, requireInput } from "../shared/shapes.ts";
import { channelAxes, poolAttributes, poolDims, readPool } from "../shared/window.ts";
import { quantizedTypeOf, writeDequantize, writeQuantize } from "../shared/write-quantize.ts";

type OperandInputs = readonly [codes: number, scale: number, zero: number];

interface QuantizedDefinition<S> {
  readonly name: string;
  /** Returns the quantized operands of a node with `count` inputs. */
  readonly operands: (count: number) => readonly OperandInputs[];
  readonly result: readonly [scale: number, zero: number];
  readonly read?: (site: Site) => S | Miss;
  dims(s: S, site: Site): readonly Dim[] | undefined | Miss;
  /** The inputs whose axes are linked, by default the quantized operands. */
  readonly linked?: readonly number[];
  /** Returns the links between the linked inputs, numbered from 0, and the output. */
  readonly links: Facet<(s: S, site: Site, dims: readonly Dim[]) => readonly AxisLink[] | Miss>;
  /** Writes the float operator. `numbers` are the dequantized operands. */
  compute(s: S, emit: Emit, numbers: readonly Value[], inputs: readonly (Value | undefined)[]): Value | Miss;
}

function defineQuantized<S = null>(row: QuantizedDefinition<S>): Op {
  const { name, operands, result, read = () => null as S, dims, linked, links, compute } = row;
  return defineMicrosoftOp<S>({
    name,
    read,
    infer: (s, site): readonly Inferred[] | Miss => {
      const out = dims(s, site);
      const type = quantizedTypeOf(site, result[1], operands(site.inputs.length)[0]?.[0] ?? 0);
      return out instanceof Miss ? out : [{ type, dims: out }];
    },
    ...onIntegers,
    axes:
      links instanceof Miss
        ? links
        : (s, site) => {
            const inputs = linked ?? operands(site.inputs.length).map(([codes]) => codes);
            const operandSite = pickInputs(site, inputs);
            const first = operandSite.inputs[0]?.dims;
            return mapLinksToInputs(first === undefined ? noRank : links(s, operandSite, first), inputs);
          },
    lower: (s, emit, inputs) => {
      const numbers = operands(inputs.length).map(([codes, scale, zero]) =>
        writeDequantize(emit, inputs[codes], inputs[scale], inputs[zero]),
      );
      const y = compute(s, emit, numbers, inputs);
      return y instanceof Miss ? y : [writeQuantize(emit, y, inputs[result[0]], inputs[result[1]])];
    },
  });
}

const oneOperand = { operands: (): readonly OperandInputs[] => [[0, 1, 2]], result: [3, 4] } as const;

function broadcastOf(site: Site, inputs: readonly number[]): readonly Dim[] | undefined | Miss {
  const shapes = inputs.flatMap((input) => (site.inputs[input]?.dims === undefined ? [] : [site.inputs[input].dims]));
  return shapes.length < inputs.length ? undefined : broadcast(...shapes);
}

const defineQuantizedBinary = (name: string, compute: (emit: Emit, operands: readonly Value[]) => Value): Op =>
  defineQuantized({
    name,
    operands: () => [
      [0, 1, 2],
      [3, 4, 5],
    ],
    result: [6, 7],
    dims: (_, site) => broadcastOf(site, [0, 3]),
    links: (_, site) => broadcastAxes(site),
    compute: (_, emit, operands) => compute(emit, operands),
  });

function defineQuantizedUnary<S>(
  name: string,
  read: (site: Site) => S,
  compute: (s: S, emit: Emit, x: Value | undefined) => Value | Miss,
  isNormalized: (s: S, axis: number) => boolean = () => false,
): Op {
  return defineQuantized<S>({
    ...oneOperand,
    name,
    read,
    dims: (_, site) => requireInput(site, 0).dims,
    links: (s, _, dims) => {
      const refused = (axis: number): boolean => isNormalized(s, axis);
      return sameAxes(dims, { refused, reason: `${name} normalizes over this axis` });
    },
    compute: (s, emit, [x]) => compute(s, emit, x),
  });
}

/** Before opset 13, Softmax normalizes jointly over all axes from `axis` on. Both forms are equal for the last axis. */
export const QLinearSoftmax = defineQuantizedUnary(
  "QLinearSoftmax",
  (site) => {
    const opset = readInteger(site, "opset", 13);
    const rank = site.inputs[0]?.dims?.length;
    const axis = readInteger(site, "axis", opset < 13 ? 1 : -1);
    return { axis: rank === undefined ? axis : wrapAxis(axis, rank), flattens: opset < 13, rank };
  },
  (s, emit, x) =>
    s.flattens && s.axis !== (s.rank ?? 0) - 1
      ? new Miss("flattens several axes (before opset 13)")
      : emit.Softmax([x], { axis: s.axis }),
  (s, axis) => axis === s.axis || (s.flattens && axis > s.axis),
);

export const QLinearWhere = defineQuantized({
  name: "QLinearWhere",
  operands: () => [
    [1, 2, 3],
    [4, 5, 6],
  ],
  result: [7, 8],
  dims: (_, site) => broadcastOf(site, [0, 1, 4]),
  linked: [0, 1, 4],
  links: (_, site) => broadcastAxes(site),
  compute: (_, emit, [x, y], [condition]) => emit.Where([condition, x, y]),
});

export const QLinearConcat = defineQuantized({
  name: "QLinearConcat",
  operands: (count) =>
    range(Math.floor((count - 2) / 3)).map((index): OperandInputs => [2 + 3 * index, 3 + 3 * index, 4 + 3 * index]),
  result: [0, 1],
  read: (site) => {
    const rank = site.inputs[2]?.dims?.length;
    return rank === undefined
      ? new Miss("the rank of an operand is not known")
      : wrapAxis(readInteger(site, "axis", 0), rank);
  },
  dims: (axis, site) => {
    const operands = site.inputs.filter((_, input) => input >= 2 && (input - 2) % 3 === 0);
    const shapes = operands.flatMap((operand) => (operand?.dims === undefined ? [] : [operand.dims]));
    const [first] = shapes;
    if (first === undefined || shapes.length < operands.length) return undefined;
    return first.with(axis, shapes.map((dims) => dims[axis] ?? 1).reduce(addDims, 0));
  },
  links: (axis, site) => joinedAxes(site, axis),
  compute: (axis, emit, numbers) => emit.Concat(numbers, { axis }),
});

export const QLinearAveragePool = defineQuantized({
  ...oneOperand,
  name: "QLinearAveragePool",
  read: (site) => {
    const window = readPool(site);
    if (window instanceof Miss) return window;
    return { ...window, last: readFlag(site, "channels_last"), counts: readFlag(site, "count_include_pad") };
  },
  dims: (s, site) => {
    const { dims } = requireInput(site, 0);
    return dims && (s.last ? toChannelsLast(poolDims(s, toChannelsFirst(dims))) : poolDims(s, dims));
  },
  links: ({ last }, _, dims) => channelAxes(last ? dims.length - 1 : 1),
  compute: (s, emit, [x]) => {
    const { dilations: _, ...attributes } = poolAttributes(s);
    const pool = (data: readonly (Value | undefined)[]): Value =>
      emit.AveragePool(data, { ...attributes, count_include_pad: s.counts ? 1 : 0 });
    return s.last ? transposeAround(emit, s.kernel.length + 2, [x], pool) : pool([x]);
  },
});

export const QLinearGlobalAveragePool = defineQuantized({
  ...oneOperand,
  name: "QLinearGlobalAveragePool",
  read: (site) => ({ last: readFlag(site, "channels_last") }),
  dims: ({ last }, site) =>
    requireInput(site, 0).dims?.map((dim, axis, dims) =>
      axis === 0 || axis === (last ? dims.length - 1 : 1) ? dim : 1,
    ),
  links: ({ last }, _, dims) => channelAxes(last ? dims.length - 1 : 1),
  compute: ({ last }, emit, [x]) => {
    const rank = x?.type?.dims?.length;
    if (rank === undefined) return noRank;
    return last ? transposeAround(emit, rank, [x], emit.GlobalAveragePool) : emit.GlobalAveragePool([x]);
  },
});

/** QuantizeLinear and DequantizeLinear of com.microsoft support more types than those of the default domain. */
function defineLinearQuantization(name: "QuantizeLinear" | "DequantizeLinear"): Op {
  const quantizes = name === "QuantizeLinear";
  return defineMicrosoftOp({
    name,
    read: (site) => {
      const types = site.inputs.flatMap((operand) => operand?.type ?? []);
      const laterType = types.find((type) => !["float32", "uint8", "int8", "int32"].includes(type));
      return {
        axis: readInteger(site, "axis", undefined),
        reason: laterType === undefined ? undefined : `the default domain has ${laterType} only from opset 19 or 21 on`,
      };
    },
    infer: (_, site) => {
      const type = quantizes ? (site.inputs[2]?.type ?? "uint8") : (site.inputs[1]?.type ?? "float32");
      return [{ type, dims: requireInput(site, 0).dims }];
    },
    axes: new Miss(`is not an operator of ai.onnx: ${lowerFirst}`),
    lower: (s, emit, [x, scale, zero]) => {
      if (s.reason !== undefined) return new Miss(s.reason);
      if (!quantizes) return [writeDequantize(emit, x, scale, zero, s.axis)];
      return [
        s.axis === undefined
          ? writeQuantize(emit, x, scale, zero)
          : emit.QuantizeLinear([x, scale, zero], { axis: s.axis }),
      ];
    },
    gradient: new Miss(quantizes ? "rounds to integers" : "its input is integers"),
    quantize: quantizedAlready,
  });
}

export const microsoftQuantizedOperators: readonly Op[] = [
  defineQuantizedBinary("QLinearAdd", (emit, operands) => emit.Add(operands)),
  defineQuantizedBinary("QLinearMul", (emit, operands) => emit.Mul(operands)),
  defineQuantizedUnary(
    "QLinearSigmoid",
    () => null,
    (_, emit, x) => emit.Sigmoid([x]),
  ),
  defineQuantizedUnary(
    "QLinearLeakyRelu",
    (site) => readFloat(site, "alpha", 0.01),
    (alpha, emit, x) => emit.LeakyRelu([x], { alpha }),
  ),
  defineLinearQuantization("QuantizeLinear"),
  defineLinearQuantization("DequantizeLinear"),
];
