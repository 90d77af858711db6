/**
 * 8-bit elementwise and pooling operators with a scale and a zero point per operand (QLinearAdd, QLinearAveragePool, …), lowered to DequantizeLinear,
 * the float operator and QuantizeLinear. ONNX Runtime's integer kernels can round ties differently.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { addDims, type Dim, fixedDims } from "../../tensor/dims.ts";
import type { AxisLink, Facet, Inferred, Op, Site } from "../define.ts";
import { decimal, integer, integers, wrapAxis } from "../shared/attributes.ts";
import { codeType, decoded, encoded } from "../shared/codes.ts";
import { channelsFirst, channelsLast, withChannelsFirst } from "../shared/convolution.ts";
import { microsoftOp } from "../shared/inert.ts";
import { lowerFirst, noRank, onIntegers, quantizedAlready } from "../shared/misses.ts";
import { picked, unpicked } from "../shared/products.ts";
import { broadcast, broadcastAxes, need, sameAxes } from "../shared/rules.ts";
import { padding, pooledDims, readPool } from "../shared/window.ts";

type Port = readonly [codes: number, scale: number, zero: number];

interface OnCodes<S> {
  readonly name: string;
  readonly operands: (count: number) => readonly Port[];
  readonly result: readonly [scale: number, zero: number];
  readonly read?: (site: Site) => S | Miss;
  dims(s: S, site: Site): readonly Dim[] | undefined | Miss;
  readonly linked?: readonly number[];
  /** The links; `dims` are those of the first linked input. */
  readonly links: Facet<(s: S, site: Site, dims: readonly Dim[]) => readonly AxisLink[] | Miss>;
  /** Writes the float operator; `inputs` are the node's inputs, for those that are not quantized. */
  compute(s: S, emit: Emit, numbers: readonly Value[], inputs: readonly (Value | undefined)[]): Value | Miss;
}

function onCodes<S = null>(row: OnCodes<S>): Op {
  const { name, operands, result, read = () => null as S, dims, linked, links, compute } = row;
  return microsoftOp<S>({
    name,
    read,
    infer: (s, site): readonly Inferred[] | Miss => {
      const found = dims(s, site);
      const type = codeType(site, result[1], operands(site.inputs.length)[0]?.[0] ?? 0);
      return found instanceof Miss ? found : [{ type, dims: found }];
    },
    ...onIntegers,
    axes:
      links instanceof Miss
        ? links
        : (s, site) => {
            const places = linked ?? operands(site.inputs.length).map(([codes]) => codes);
            const plain = picked(site, places);
            const first = plain.inputs[0]?.dims;
            return unpicked(first === undefined ? noRank : links(s, plain, first), places);
          },
    lower: (s, emit, inputs) => {
      const numbers = operands(inputs.length).map(([codes, scale, zero]) =>
        decoded(emit, inputs[codes], inputs[scale], inputs[zero]),
      );
      const y = compute(s, emit, numbers, inputs);
      return y instanceof Miss ? y : [encoded(emit, y, inputs[result[0]], inputs[result[1]])];
    },
  });
}

const one = (): readonly Port[] => [[0, 1, 2]];
const two = (): readonly Port[] => [
  [0, 1, 2],
  [3, 4, 5],
];

function broadcastOf(site: Site, inputs: readonly number[]): readonly Dim[] | undefined | Miss {
  const shapes = inputs.map((input) => site.inputs[input]?.dims);
  const known = shapes.filter((dims) => dims !== undefined);
  return known.length < shapes.length ? undefined : broadcast(...known);
}

function binary(name: string, compute: (emit: Emit, a: Value | undefined, b: Value | undefined) => Value): Op {
  return onCodes({
    name,
    operands: two,
    result: [6, 7],
    dims: (_, site) => broadcastOf(site, [0, 3]),
    links: (_, site) => broadcastAxes(site),
    compute: (_, emit, [a, b]) => compute(emit, a, b),
  });
}

function unary<S>(
  name: string,
  read: (site: Site) => S,
  compute: (s: S, emit: Emit, x: Value | undefined) => Value | Miss,
  mixes: (s: S, axis: number) => boolean = () => false,
): Op {
  return onCodes<S>({
    name,
    operands: one,
    result: [3, 4],
    read,
    dims: (_, site) => need(site, 0).dims,
    links: (s, _, dims) =>
      sameAxes(dims, { refused: (axis) => mixes(s, axis), reason: `${name} normalizes over this axis` }),
    compute: (s, emit, [x]) => compute(s, emit, x),
  });
}

/** Before opset 13 all axes from `axis` on are normalized as one: equal if it is the last axis. */
export const QLinearSoftmax = unary(
  "QLinearSoftmax",
  (site) => {
    const opset = integer(site, "opset", 13);
    const rank = site.inputs[0]?.dims?.length;
    const axis = integer(site, "axis", opset < 13 ? 1 : -1);
    return { axis: rank === undefined ? axis : wrapAxis(axis, rank), flattens: opset < 13, rank };
  },
  (s, emit, x) =>
    s.flattens && s.axis !== (s.rank ?? 0) - 1
      ? new Miss("flattens several axes (before opset 13)")
      : emit.Softmax([x], { axis: s.axis }),
  (s, axis) => axis === s.axis || (s.flattens && axis > s.axis),
);

export const QLinearWhere = onCodes({
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

export const QLinearConcat = onCodes({
  name: "QLinearConcat",
  operands: (count) =>
    Array.from({ length: Math.floor((count - 2) / 3) }, (_, index): Port => {
      const first = 2 + 3 * index;
      return [first, first + 1, first + 2];
    }),
  result: [0, 1],
  read: (site) => {
    const rank = site.inputs[2]?.dims?.length;
    return rank === undefined
      ? new Miss("the rank of an operand is not known")
      : wrapAxis(integer(site, "axis", 0), rank);
  },
  dims: (axis, site) => {
    const shapes = site.inputs.flatMap((operand, input) =>
      input >= 2 && (input - 2) % 3 === 0 ? [operand?.dims] : [],
    );
    const known = shapes.filter((dims) => dims !== undefined);
    const [first] = known;
    if (first === undefined || known.length < shapes.length) return undefined;
    return first.map((dim, at) => (at === axis ? known.map((dims) => dims[at] as Dim).reduce(addDims, 0) : dim));
  },
  links: (axis, site, dims) => {
    const sizes = fixedDims(site.inputs.map((operand) => operand?.dims?.[axis] as Dim));
    if (sizes === undefined) return new Miss("the size of an input along the axis is not known");
    return site.inputs.flatMap((_, input) => {
      const start = sizes.slice(0, input).reduce((sum, size) => sum + size, 0);
      return dims.map((_, along): AxisLink => {
        const link: AxisLink = { from: [`in${input}`, along], to: ["out0", along] };
        return along === axis ? { ...link, map: (index) => [start + index] } : link;
      });
    });
  },
  compute: (axis, emit, numbers) => emit.Concat(numbers, { axis }),
});

export const QLinearReduceMean = onCodes({
  name: "QLinearReduceMean",
  operands: one,
  result: [3, 4],
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return noRank;
    const axes = (integers(site, "axes") ?? []).map((axis) => wrapAxis(axis, rank));
    return { axes, keep: integer(site, "keepdims", 1) !== 0 };
  },
  dims: (s, site) =>
    need(site, 0).dims?.flatMap((dim, axis): Dim[] => {
      if (!s.axes.includes(axis)) return [dim];
      return s.keep ? [1] : [];
    }),
  links: new Miss("ONNX Runtime has no kernel for it on CPU"),
  compute: (s, emit, [x]) => emit.ReduceMean([x, s.axes], { keepdims: s.keep ? 1 : 0 }),
});

const pooledAxes = (last: boolean, dims: readonly Dim[]): readonly AxisLink[] =>
  [0, last ? dims.length - 1 : 1].map((axis): AxisLink => ({ from: ["in0", axis], to: ["out0", axis] }));

export const QLinearAveragePool = onCodes({
  name: "QLinearAveragePool",
  operands: one,
  result: [3, 4],
  read: (site) => {
    const window = readPool(site);
    if (window instanceof Miss) return window;
    const last = integer(site, "channels_last", 0) !== 0;
    return { ...window, last, counts: integer(site, "count_include_pad", 0) !== 0 };
  },
  dims: (s, site) => {
    const { dims } = need(site, 0);
    return dims && (s.last ? channelsLast(pooledDims(s, channelsFirst(dims))) : pooledDims(s, dims));
  },
  links: ({ last }, _, dims) => pooledAxes(last, dims),
  compute: (s, emit, [x]) => {
    const { kernel, strides, ceil, counts } = s;
    const modes = { ceil_mode: ceil ? 1 : 0, count_include_pad: counts ? 1 : 0 };
    const pool = (data: readonly (Value | undefined)[]): Value =>
      emit.AveragePool(data, { kernel_shape: kernel, strides, ...modes, ...padding(s) });
    return s.last ? withChannelsFirst(emit, kernel.length + 2, [x], pool) : pool([x]);
  },
});

export const QLinearGlobalAveragePool = onCodes({
  name: "QLinearGlobalAveragePool",
  operands: one,
  result: [3, 4],
  read: (site) => ({ last: integer(site, "channels_last", 0) !== 0 }),
  dims: ({ last }, site) =>
    need(site, 0).dims?.map((dim, axis, dims) => (axis === 0 || axis === (last ? dims.length - 1 : 1) ? dim : 1)),
  links: ({ last }, _, dims) => pooledAxes(last, dims),
  compute: ({ last }, emit, [x]) => {
    const rank = x?.type?.dims?.length;
    if (rank === undefined) return noRank;
    return last ? withChannelsFirst(emit, rank, [x], emit.GlobalAveragePool) : emit.GlobalAveragePool([x]);
  },
});

/** The default domain has these per axis since opset 13, for fewer types. */
function rounding(name: "QuantizeLinear" | "DequantizeLinear"): Op {
  const quantizes = name === "QuantizeLinear";
  return microsoftOp({
    name,
    read: (site) => {
      const types = [need(site, 0).type, site.inputs[1]?.type, site.inputs[2]?.type];
      const wide = types.find((type) => type !== undefined && !["float32", "uint8", "int8", "int32"].includes(type));
      return {
        axis: site.attribute("axis") === undefined ? undefined : integer(site, "axis", 1),
        reason: wide === undefined ? undefined : `the default domain has ${wide} only from opset 19 or 21 on`,
      };
    },
    infer: (_, site) => {
      const type = quantizes ? (site.inputs[2]?.type ?? "uint8") : (site.inputs[1]?.type ?? "float32");
      return [{ type, dims: need(site, 0).dims }];
    },
    axes: new Miss(`is not an operator of ai.onnx: ${lowerFirst}`),
    lower: (s, emit, [x, scale, zero]) => {
      if (s.reason !== undefined) return new Miss(s.reason);
      if (!quantizes) return [decoded(emit, x, scale, zero, s.axis)];
      return [
        s.axis === undefined ? encoded(emit, x, scale, zero) : emit.QuantizeLinear([x, scale, zero], { axis: s.axis }),
      ];
    },
    gradient: new Miss(quantizes ? "rounds to integers" : "its input is integers"),
    quantize: quantizedAlready,
  });
}

export const microsoftQuantizedOperators: readonly Op[] = [
  binary("QLinearAdd", (emit, a, b) => emit.Add([a, b])),
  binary("QLinearMul", (emit, a, b) => emit.Mul([a, b])),
  unary(
    "QLinearSigmoid",
    () => null,
    (_, emit, x) => emit.Sigmoid([x]),
  ),
  unary(
    "QLinearLeakyRelu",
    (site) => decimal(site, "alpha", 0.01),
    (alpha, emit, x) => emit.LeakyRelu([x], { alpha }),
  ),
  rounding("QuantizeLinear"),
  rounding("DequantizeLinear"),
];
