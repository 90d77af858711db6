/** Data-dependent selection: NonZero, Compress, ArgMax, ArgMin, TopK. Output sizes that depend on the data are symbols (`Site.open`). */
import { Miss, toNumbers } from "#graph";
import { type AxisLink, defineOp, type Op, type Operand } from "./define.ts";
import { readFlag, readInteger, wrapAxis } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { fillWith, inferShape, requireInput, sizesOf, typeOf } from "./shared/shapes.ts";

const sizeDependsOnData = new Miss("its size depends on the data");
const outputsIndices = new Miss("outputs indices");

function nonzerosOf(operand: Operand | undefined): readonly number[] | undefined {
  if (operand?.dims === undefined || operand.dims.length > 1) return undefined;
  const { small } = operand;
  const elements = operand.elements ?? (small === undefined || !isNumeric(small.type) ? undefined : toNumbers(small));
  if (!elements?.every((element) => typeof element === "number")) return undefined;
  return elements.flatMap((element, position) => (element === 0 ? [] : [position]));
}

const isNumeric = (type: string): boolean => type !== "string" && !type.startsWith("complex");

/** Outputs the coordinates of nonzero elements, one element per column. */
export const NonZero = defineOp({
  name: "NonZero",
  infer: (_, site) => {
    const operand = requireInput(site, 0);
    const { dims } = operand;
    if (dims === undefined) return [{ type: "int64", dims: [site.open(0, 0), site.open(0, 1)] }];
    const rank = Math.max(1, dims.length);
    const positions = rank === 1 ? nonzerosOf(operand) : undefined;
    if (positions === undefined) return [{ type: "int64", dims: [rank, site.open(0, 1)] }];
    return [{ type: "int64", dims: [rank, positions.length], elements: positions }];
  },
  axes: sizeDependsOnData,
  gradient: outputsIndices,
  quantize: outputsIndices,
});

export const Compress = defineOp({
  name: "Compress",
  read: (site) => ({ axis: readInteger(site, "axis", undefined) }),
  infer: ({ axis }, site) => {
    const { type, dims, elements } = requireInput(site, 0);
    const positions = nonzerosOf(site.inputs[1]);
    if (axis === undefined) {
      const outDims = [positions?.length ?? site.open(0, 0)];
      const selectedElements =
        dims?.length === 1 ? positions?.flatMap((position) => elements?.[position] ?? []) : undefined;
      return [
        selectedElements === undefined || selectedElements.length !== outDims[0]
          ? { type, dims: outDims }
          : { type, dims: outDims, elements: selectedElements },
      ];
    }
    return inferShape(site, (x) => {
      const selectedAxis = wrapAxis(axis, x.length);
      return x.with(selectedAxis, positions?.length ?? site.open(0, selectedAxis));
    });
  },
  axes: ({ axis }, _site, dims) => {
    const selectedAxis = axis === undefined ? undefined : wrapAxis(axis, dims.length);
    const refused = (other: number): boolean => selectedAxis === undefined || other === selectedAxis;
    return sameAxes(dims, { refused, reason: "Compress selects by position along this axis" });
  },
  gradient: inferenceOnly,
  quantize: () => ({ kind: "transparent" }),
});

function defineArgOperator(name: "ArgMax" | "ArgMin"): Op {
  return defineOp({
    name,
    read: (site) => ({ axis: readInteger(site, "axis", 0), keepsAxis: readFlag(site, "keepdims", true) }),
    infer: (s, site) =>
      inferShape(
        site,
        (dims = []) => dims.toSpliced(wrapAxis(s.axis, dims.length), 1, ...(s.keepsAxis ? [1] : [])),
        "int64",
      ),
    axes: (s, _, dims) => {
      const reducedAxis = wrapAxis(s.axis, dims.length);
      return dims.map((_, axis): AxisLink => {
        if (axis === reducedAxis) return { refuses: ["in0", axis], reason: `${name} outputs indices along this axis` };
        return { from: ["in0", axis], to: ["out0", s.keepsAxis || axis < reducedAxis ? axis : axis - 1] };
      });
    },
    gradient: outputsIndices,
    quantize: outputsIndices,
  });
}

export const TopK = defineOp({
  name: "TopK",
  read: (site) => ({
    axis: readInteger(site, "axis", -1),
    count: site.version < 10 ? readInteger(site, "k", 1) : site.inputs[1]?.elements?.[0],
    largest: readFlag(site, "largest", true),
    sorted: readFlag(site, "sorted", true),
  }),
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const sortedAxis = dims === undefined ? 0 : wrapAxis(s.axis, dims.length);
    const outDims = dims?.with(sortedAxis, s.count ?? site.open(0, sortedAxis));
    return [
      { type, dims: outDims },
      { type: "int64", dims: outDims },
    ];
  },
  axes: (s, _site, dims) => {
    const sortedAxis = wrapAxis(s.axis, dims.length);
    return dims.flatMap((_, axis): AxisLink[] => {
      if (axis === sortedAxis) return [{ refuses: ["in0", axis], reason: "TopK picks along this axis" }];
      return [
        { from: ["in0", axis], to: ["out0", axis] },
        { from: ["in0", axis], to: ["out1", axis] },
      ];
    });
  },
  gradient: (s, { emit, inputs: [x], outputs: [, positions], up }) => {
    if (positions === undefined) return new Miss("the positions that it selects are not an output");
    const dims = sizesOf(x);
    const zeros = fillWith(emit, typeOf(x), dims, 0);
    return [emit.ScatterElements([zeros, positions, up], { axis: wrapAxis(s.axis, dims.length), reduction: "add" })];
  },
});

export const orderOperators: readonly Op[] = [defineArgOperator("ArgMax"), defineArgOperator("ArgMin")];
