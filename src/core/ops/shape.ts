/** Operators that output dimensions or constants, and casts between element types. */
import {
  type DataType,
  type Dense,
  type Dim,
  elementCount,
  fixedDims,
  float32,
  fromNumbers,
  inMemory,
  int64,
  isFloat,
  Miss,
  type Tensor,
  toNumbers,
  typeCodes,
} from "#graph";
import { type AxisLink, defineOp, type Inferred, type Op, type OpDef, type Site } from "./define.ts";
import { decodeText, readElementType, readInteger } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import {
  describeStored,
  exactElements,
  isIntegerOrBool,
  isPlainFloat,
  maxElements,
  roundQuotient,
  withElements,
  withUncheckedElements,
} from "./shared/elements.ts";
import { noLowering } from "./shared/misses.ts";
import { dimsAt, forwardWanted, range, requireInput, shapeChange } from "./shared/shapes.ts";

const ignoresElements = new Miss("does not depend on its input's elements");

export const Shape = defineOp({
  name: "Shape",
  read: (site) => ({ start: readInteger(site, "start", 0), end: readInteger(site, "end", Number.MAX_SAFE_INTEGER) }),
  infer: (s, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return [{ type: "int64", dims: undefined }];
    const elements = dims.slice(s.start, s.end);
    return [{ type: "int64", dims: [elements.length], elements }];
  },
  // The output depends on the dimensions in the range, not on elements.
  axes: (s, _site, dims) => {
    const requestedAxes = [...dims.keys()].slice(s.start, s.end);
    return dims.map((_, axis): AxisLink => {
      const element = requestedAxes.indexOf(axis);
      return element < 0
        ? { absorbs: ["in0", axis] }
        : { refuses: ["in0", axis], reason: "reports dimensions", element };
    });
  },
  gradient: ignoresElements,
});

export const Size = defineOp({
  name: "Size",
  infer: (_, site) => {
    const dims = dimsAt(site, 0);
    return [
      dims instanceof Miss ? { type: "int64", dims: [] } : { type: "int64", dims: [], elements: [elementCount(dims)] },
    ];
  },
  axes: new Miss("reports dimensions"),
  gradient: ignoresElements,
});

function constantTensor(attribute: Site["attribute"]): Tensor | undefined {
  const value = attribute("value");
  if (value?.kind === "tensor") return value.value;
  const [float, floats, int, ints] = ["value_float", "value_floats", "value_int", "value_ints"].map(attribute);
  if (float?.kind === "float") return inMemory(float32([], [float.value]));
  if (floats?.kind === "floats") return inMemory(float32([floats.value.length], floats.value));
  if (int?.kind === "int") return inMemory(int64([], [int.value]));
  if (ints?.kind === "ints") return inMemory(int64([ints.value.length], ints.value));
  const [text, texts] = [attribute("value_string"), attribute("value_strings")];
  if (text?.kind === "string") return inMemory({ type: "string", dims: [], data: [decodeText(text.value)] });
  if (texts?.kind !== "strings") return undefined;
  return inMemory({ type: "string", dims: [texts.value.length], data: texts.value.map(decodeText) });
}

export const Constant = defineOp<Inferred | undefined>({
  name: "Constant",
  holds: constantTensor,
  // Pith keeps a sparse tensor without reading it.
  read: ({ attribute }) => {
    const tensor = constantTensor(attribute);
    if (tensor !== undefined) return describeStored(tensor.type, tensor.dims, tensor.small);
    return attribute("sparse_value") === undefined ? new Miss("contains a constant of an unsupported kind") : undefined;
  },
  infer: (inferred) => [inferred],
  axes: new Miss("is a constant"),
  gradient: new Miss("is a constant"),
});

export const ConstantOfShape = defineOp<{ readonly type: DataType; readonly value: Dense | undefined }>({
  name: "ConstantOfShape",
  defaults: { value: { kind: "tensor", value: inMemory(float32([1], [0])) } },
  read: (site) => {
    const value = site.attribute("value");
    return value?.kind === "tensor"
      ? { type: value.value.type, value: value.value.small }
      : { type: "float32", value: undefined };
  },
  infer: (s, site) => {
    // The length of the shape is the rank; an empty shape gives a scalar.
    const [count] = site.inputs[0]?.dims ?? [];
    const openDims = typeof count === "number" ? range(count).map((axis) => site.open(0, axis)) : undefined;
    const dims = site.inputs[0]?.elements ?? openDims;
    const output = { type: s.type, dims };
    const value = isIntegerOrBool(s.type) && s.value !== undefined ? toNumbers(s.value)[0] : undefined;
    const fixedSizes = fixedDims(dims);
    const size = fixedSizes === undefined ? undefined : elementCount(fixedSizes);
    if (value === undefined || size === undefined || size > maxElements) return [output];
    return [withElements(output, new Array<number>(size).fill(value))];
  },
  axes: (_, site) => {
    const shape = site.inputs[0]?.elements;
    if (shape === undefined) return new Miss("its shape is computed at run time");
    return {
      links: shape.map((_, axis): AxisLink => ({ from: ["out0", axis], to: ["out0", axis] })),
      resize: (removal) => {
        const newDims = removal.dims("out0");
        const sizes = fixedDims(newDims);
        return sizes === undefined ? { shifts: { 0: shapeChange(shape, newDims) } } : { inputs: { 0: sizes } };
      },
    };
  },
  gradient: ignoresElements,
});

function defineCast(
  name: "Cast" | "CastLike",
  targetType: (site: Site) => DataType | undefined,
  facets: Pick<OpDef<{ readonly to: DataType }>, "lower" | "typeOnly">,
): Op {
  return defineOp({
    name,
    read: (site) => {
      const to = targetType(site);
      return to === undefined ? new Miss("casts to a type that is not known") : { to };
    },
    infer: (s, site) => {
      const { type, dims } = requireInput(site, 0);
      const output = { type: s.to, dims };
      if (type === s.to) return [withUncheckedElements(output, site.inputs[0]?.elements)];
      const elements = exactElements(site.inputs[0]);
      if (elements === undefined || (!isIntegerOrBool(s.to) && !isPlainFloat(s.to))) return [output];
      // A symbolic dimension can be 0.
      const truthOf = (element: Dim) => (typeof element === "number" ? Number(element !== 0) : undefined);
      if (s.to === "bool") return [withUncheckedElements(output, elements.map(truthOf))];
      // Quotients of dimensions are nonnegative.
      const truncate = (quotient: Dim): Dim =>
        typeof quotient === "number" ? Math.trunc(quotient) : roundQuotient(quotient, "down");
      if (isIntegerOrBool(s.to))
        return [withElements(output, isIntegerOrBool(type) ? elements : elements.map(truncate))];
      const roundedElements = elements.map((element) => roundTo(element, s.to));
      return [withUncheckedElements(output, roundedElements)];
    },
    unchanged: (s, site) => (site.inputs[0]?.type === s.to ? 0 : undefined),
    // Integers that are cast to floats or booleans are probably flags, unless readers of the output use them as indices.
    wants: (s, site, output) =>
      isIntegerOrBool(site.inputs[0]?.type ?? s.to) &&
      (s.to === "bool" || !isIntegerOrBool(s.to)) &&
      output.every(({ strict }) => !strict)
        ? [{ input: 0, low: 0, high: 1, strict: false }]
        : forwardWanted(output, 0),
    homogeneous: (s, site) =>
      isFloat(s.to) && isFloat(site.inputs[0]?.type ?? "bool") ? { products: [[0]] } : undefined,
    // Only the type of the second input of CastLike matters.
    axes: (_, site, dims) => [
      ...sameAxes(dims),
      ...(site.inputs[1]?.dims ?? []).map((_, axis): AxisLink => ({ absorbs: ["in1", axis] })),
    ],
    gradient: (s, { emit, inputs: [x], up, wanted }) => {
      if (x?.type === undefined || up === undefined || !wanted(0)) return [];
      // Casts to integers and booleans are step functions.
      if (!isFloat(x.type.type) || !isFloat(s.to)) return [];
      return [x.type.type === s.to ? up : emit.CastLike([up, x])];
    },
    ...facets,
  });
}

/** Symbolic sizes are assumed to be exact in float32, but not in float16, which skips integers above 2048. */
function roundTo(element: Dim, type: DataType): Dim | undefined {
  if (typeof element !== "number") return type === "float16" ? undefined : element;
  if (type !== "float16" && type !== "float32") return element;
  const [rounded = element] = toNumbers(fromNumbers(type, [1], [element]));
  return Number.isFinite(rounded) ? rounded : undefined;
}

export const shapeOperators: readonly Op[] = [
  defineCast("Cast", (site) => readElementType(site, "to"), { lower: noLowering }),
  defineCast("CastLike", (site) => site.inputs[1]?.type, {
    typeOnly: 1,
    lower: (s, emit, [x]) => [emit.Cast([x], { to: typeCodes[s.to] })],
  }),
];
